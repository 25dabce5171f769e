//! What was decided long ago, explained as of then, on real processes: across snapshots, a purged log and restarts.

#[allow(dead_code)] // each test uses its part
mod cluster;

use cluster::desktop::Desktop;
use cluster::world::{agent, always_open, put};
use cluster::{Process, persist, start, until};
use futures::StreamExt as _;
use meridian_proto::livechat::v1::explain_chat_request::Then;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tonic::{Code, Status};

/// How many agents serve the queue; more than a decision records.
const AGENTS: usize = 40;

async fn explain(
    node: &Process,
    chat_id: &str,
    then: Option<Then>,
) -> Result<ExplainChatResponse, Status> {
    let ask = ExplainChatRequest {
        consistency: Consistency::Linearizable.into(),
        chat_id: chat_id.into(),
        then,
    };
    let told = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        let mut client = SupervisorServiceClient::new(way);
        client.explain_chat(ask.clone()).await
    });
    Ok(told.await?.into_inner())
}

async fn start_chat(node: &Process, request_id: &str) -> String {
    let ask = StartChatRequest {
        request_id: request_id.into(),
        queue_id: "support".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let started = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        VisitorServiceClient::new(way).start_chat(ask.clone()).await
    });
    let chat = started.await.expect("a chat is taken in").into_inner().chat;
    chat.expect("the chat").chat_id
}

/// So many chats that come and go, so that snapshots are taken and the log is purged.
async fn traffic(node: &Process, chats: usize) {
    let visits = futures::stream::iter(0..chats).map(|n| async move {
        let chat_id = start_chat(node, &format!("visit {n}")).await;
        let leave = LeaveChatRequest {
            request_id: format!("leave {n}"),
            chat_id,
        };
        let left = persist(std::slice::from_ref(&node.channel), 0, async |way| {
            VisitorServiceClient::new(way)
                .leave_chat(leave.clone())
                .await
        });
        left.await.expect("the visitor leaves");
    });
    visits.buffer_unordered(50).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_decision_is_explained_as_of_then_with_everybody_who_was_weighed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    let mut agents = vec![agent("anna", "r1", "en", 2)];
    agents.extend((1..AGENTS).map(|n| {
        let language = if n % 2 == 0 { "en" } else { "de" };
        agent(&format!("b{n}"), "r2", language, 1)
    }));
    put(&nodes, always_open(Queue::default(), agents)).await;
    let early = start_chat(&nodes[0], "early").await;
    let mut anna = Desktop::open_at(&nodes, 0).await;
    anna.be_available().await;
    assert_eq!(anna.accept_next().await, early);
    let now = explain(&nodes[0], &early, None).await.expect("a story");
    let offered = now.events.iter().find(|e| e.what == "offered");
    let offered = offered.expect("it was offered").clone();
    assert!(offered.candidates.len() < AGENTS, "a sample is recorded");
    drop(anna);

    traffic(&nodes[1], 700).await;
    for node in &nodes {
        until("two snapshots are taken", async || {
            let status = node.status().await;
            status.is_some_and(|s| s.snapshot_index > 900)
        })
        .await;
    }

    // Before the offer it waited, and nobody was there.
    let mut stories = Vec::new();
    for node in &nodes {
        let then = Some(Then::AtIndex(offered.log_index - 1));
        let told = explain(node, &early, then).await.expect("kept");
        let chat = told.chat.as_ref().expect("the chat");
        assert_eq!(chat.phase(), ChatPhase::Waiting, "as it was then");
        assert_eq!(told.candidates.len(), AGENTS);
        let refused = |rule: &str| told.candidates.iter().filter(|c| c.rule == rule).count();
        assert_eq!((refused("presence"), refused("language")), (20, 20));
        assert!(told.waits.is_some() && told.events.len() == 1);
        stories.push(told);
    }
    assert!(stories.windows(2).all(|pair| pair[0] == pair[1]));

    // When it was offered everybody was weighed.
    let index = Some(Then::AtIndex(offered.log_index));
    let told = explain(&nodes[2], &early, index).await.expect("kept");
    assert_eq!(
        told.chat.as_ref().expect("the chat").phase(),
        ChatPhase::Offered
    );
    let weighed = &told.events.last().expect("the offer").candidates;
    assert_eq!(weighed.len(), AGENTS);
    assert!(told.events.last().expect("the offer").complete);
    assert_eq!(weighed[0], offered.candidates[0], "chosen, and why");
    assert_eq!(told.log_index, offered.log_index);

    // By the time of day; before it came there was nothing.
    let at = Some(Then::AtMs(offered.at_ms));
    let by_time = explain(&nodes[0], &early, at).await.expect("kept");
    assert!(by_time.log_index >= offered.log_index && by_time.at_ms <= offered.at_ms);
    let arrived = now.chat.as_ref().expect("the chat").arrived_ms;
    let before = explain(&nodes[0], &early, Some(Then::AtMs(arrived - 1))).await;
    let before = before.expect_err("it had not arrived");
    assert_eq!(before.code(), Code::InvalidArgument, "{before}");

    // A node that comes back knows it still; one that is told to keep nothing says so.
    nodes[2].kill();
    nodes[2].restart();
    let again = explain(&nodes[2], &early, index).await.expect("kept");
    assert_eq!(again, told);
    nodes[2].kill();
    nodes[2].arguments.extend(["--past-mib".into(), "0".into()]);
    nodes[2].restart();
    let gone = explain(&nodes[2], &early, index).await;
    let gone = gone.expect_err("nothing is kept");
    assert_eq!(gone.code(), Code::FailedPrecondition, "{gone}");
    assert!(explain(&nodes[0], &early, index).await.is_ok());
}
