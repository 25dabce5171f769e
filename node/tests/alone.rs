//! A node that the majority has left alone: it shows what it has and how old that may be, and refuses writes at once.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::time::{Duration, Instant};

use cluster::world::{agent, always_open, put};
use cluster::{Process, persist, start, until};
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tonic::{Code, Response, Status};

async fn chats(node: &Process) -> Response<ListChatsResponse> {
    let mut client = SupervisorServiceClient::new(node.channel.clone());
    let listed = client.list_chats(ListChatsRequest::default()).await;
    listed.expect("a local read needs nobody else")
}

fn stale_ms(answer: &Response<ListChatsResponse>) -> Option<u64> {
    let header = answer.metadata().get("meridian-stale-ms")?;
    header.to_str().ok()?.parse().ok()
}

async fn start_chat(node: &Process, request_id: &str) -> Result<StartChatResponse, Status> {
    let ask = StartChatRequest {
        request_id: request_id.into(),
        queue_id: "support".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let mut client = VisitorServiceClient::new(node.channel.clone());
    Ok(client.start_chat(ask).await?.into_inner())
}

#[tokio::test]
async fn a_node_left_alone_tells_its_age_and_refuses_writes_soon_until_a_majority_is_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    let anna = agent("anna", "r1", "en", 1);
    put(&nodes, always_open(Queue::default(), vec![anna])).await;
    let way = [nodes[0].channel.clone()];
    let first = persist(&way, 0, async |_| start_chat(&nodes[0], "first").await);
    first.await.expect("a chat is taken in");
    assert_eq!(stale_ms(&chats(&nodes[0]).await), None);

    nodes[1].kill();
    nodes[2].kill();
    until("the node knows that it is alone", async || {
        stale_ms(&chats(&nodes[0]).await).is_some()
    })
    .await;
    let shown = chats(&nodes[0]).await;
    let age = stale_ms(&shown).expect("its age");
    assert!(age > 1_000, "longer than an election takes: {age}");
    assert_eq!(shown.into_inner().chats.len(), 1);
    let began = Instant::now();
    let refused = start_chat(&nodes[0], "second").await;
    let refused = refused.expect_err("nobody decides");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("no leader with a majority"));
    // Seconds below the fifteen that a write waits for an election.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    nodes[1].restart();
    until("a majority decides again", async || {
        start_chat(&nodes[0], "second").await.is_ok()
    })
    .await;
    until("the node is alone no more", async || {
        stale_ms(&chats(&nodes[0]).await).is_none()
    })
    .await;
}
