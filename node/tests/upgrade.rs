//! Nodes of different versions: a cluster is upgraded node by node while it works, and a data directory that an earlier
//! release wrote is taken over as it is.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::desktop::Desktop;
use cluster::world::{agent, always_open, put};
use cluster::{Process, free_ports, node, persist, start_with, until};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use prost::Message as _;
use tokio::time::sleep;

/// What makes a node behave as one from before there were rules.
const OLD: [&str; 2] = ["--rules-max", "0"];

async fn start_chat(nodes: &[Process], request_id: &str) -> String {
    let ways: Vec<_> = nodes.iter().map(|n| n.channel.clone()).collect();
    let ask = StartChatRequest {
        request_id: request_id.into(),
        queue_id: "support".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let started = persist(&ways, 0, async |way| {
        VisitorServiceClient::new(way).start_chat(ask.clone()).await
    });
    let chat = started.await.expect("a chat is taken in").into_inner().chat;
    chat.expect("the chat").chat_id
}

async fn explain(node: &Process, chat_id: &str) -> ExplainChatResponse {
    let ask = ExplainChatRequest {
        consistency: Consistency::Linearizable.into(),
        chat_id: chat_id.into(),
        then: None,
    };
    let told = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        let mut client = SupervisorServiceClient::new(way);
        client.explain_chat(ask.clone()).await
    });
    told.await.expect("its story").into_inner()
}

/// Rules in force, and the newest known, as a node says.
async fn rules(node: &Process) -> Option<(u32, u32)> {
    let status = node.status().await?;
    Some((status.rules, status.rules_known))
}

#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node_and_newer_rules_wait_for_the_last() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start_with(dir.path(), &OLD).await;
    let anna = agent("anna", "r1", "en", 1);
    put(&nodes, always_open(Queue::default(), vec![anna])).await;
    let mut chats = vec![start_chat(&nodes, "before").await];
    let newest = meridian_routing::rules::NEWEST;
    for n in 0..3 {
        assert_eq!(rules(&nodes[n]).await, Some((0, 0)));
        nodes[n].kill();
        let arguments = &mut nodes[n].arguments;
        arguments.retain(|argument| !OLD.contains(&argument.as_str()));
        nodes[n].restart();
        until("the new version has joined", async || {
            let status = nodes[n].status().await;
            status.is_some_and(|s| s.leader_id != 0 && s.rules_known == newest)
        })
        .await;
        chats.push(start_chat(&nodes, &format!("upgrade {n}")).await);
        if n < 2 {
            // Time enough for every member to say what it knows, and for a leader to act on it: the old one would end.
            sleep(Duration::from_secs(8)).await;
            nodes.iter_mut().for_each(Process::assert_alive);
            for node in &nodes {
                assert_eq!(rules(node).await.map(|(in_force, _)| in_force), Some(0));
            }
        }
    }
    for node in &nodes {
        until("newer rules are in force", async || {
            rules(node).await == Some((newest, newest))
        })
        .await;
        for chat in &chats {
            assert_eq!(explain(node, chat).await.events[0].what, "arrived");
        }
    }

    // There is no way back.
    nodes[2].kill();
    nodes[2].arguments.extend(OLD.map(str::to_owned));
    nodes[2].restart();
    assert!(!nodes[2].exit().await.success());
    let words = nodes[2].last_words();
    assert!(words.contains("start a newer one"), "{words}");
}

/// Where data directories of earlier releases are kept, each with what was told of it.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => copy(&source, &target),
            false => drop(std::fs::copy(source, target).expect("a file")),
        }
    }
}

#[tokio::test]
async fn what_an_earlier_release_wrote_is_taken_over_as_it_is() {
    let mut releases = 0;
    for release in std::fs::read_dir(fixtures()).expect("fixtures").flatten() {
        let dir = tempfile::tempdir().expect("a directory");
        copy(&release.path().join("data"), &dir.path().join("1"));
        let ports = free_ports(2);
        let node = node(dir.path(), 1, ports[0], ports[1], &[]);
        let stories = std::fs::read(release.path().join("stories")).expect("its stories");
        let mut rest = stories.as_slice();
        let mut chats = 0;
        while !rest.is_empty() {
            let told = ExplainChatResponse::decode_length_delimited(&mut rest).expect("a story");
            let chat = told.chat.expect("its chat");
            let now = explain(&node, &chat.chat_id).await;
            // What came since is new: the agents of the node that stopped are gone.
            let events = now.events.get(..told.events.len());
            assert_eq!(events, Some(&told.events[..]), "{}", chat.chat_id);
            chats += 1;
        }
        assert!(chats > 3, "{:?}", release.path());
        // It goes on, however long ago that was.
        let mut anna = Desktop::open_at(std::slice::from_ref(&node), 2).await;
        anna.be_available().await;
        start_chat(std::slice::from_ref(&node), "now").await;
        anna.accept_next().await;
        until("newer rules are in force", async || {
            rules(&node).await.is_some_and(|(now, known)| now == known)
        })
        .await;
        releases += 1;
    }
    assert!(releases > 0, "no fixture");
}

/// Writes the fixture of the present build, once it is released: `cargo test -p meridian-node --test upgrade -- --ignored`.
#[tokio::test]
#[ignore = "writes into the sources"]
async fn make_the_fixture_of_this_release() {
    let release = fixtures().join(format!("rules-{}", meridian_routing::rules::NEWEST));
    let dir = tempfile::tempdir().expect("a directory");
    let ports = free_ports(2);
    let mut one = [node(dir.path(), 1, ports[0], ports[1], &[])];
    let members = vec![Member {
        node_id: 1,
        region_id: "r1".into(),
        peer_address: ports[1].to_string(),
        ..Default::default()
    }];
    until("the cluster forms", async || {
        let mut admin = AdminServiceClient::new(one[0].channel.clone());
        let members = members.clone();
        let ask = InitializeClusterRequest { members };
        admin.initialize_cluster(ask).await.is_ok()
    })
    .await;
    let agents = vec![agent("anna", "r1", "en", 2), agent("ben", "r1", "en", 2)];
    put(&one, always_open(Queue::default(), agents)).await;
    let mut anna = Desktop::open_at(&one, 1).await;
    let ended = anna.take_a_chat(&one[0]).await;
    let chat_id = ended.clone();
    anna.act(Action::EndChat(EndChat { chat_id })).await;
    assert_eq!(anna.reply().await.code, 0);
    let mut chats = vec![ended];
    for n in 0..6 {
        chats.push(start_chat(&one, &format!("chat {n}")).await);
    }
    chats.push(anna.accept_next().await);
    let mut stories = Vec::new();
    for chat in &chats {
        let told = explain(&one[0], chat).await;
        told.encode_length_delimited(&mut stories).expect("room");
    }
    one[0].signal("TERM");
    assert!(one[0].exit().await.success());
    let _ = std::fs::remove_dir_all(&release);
    copy(&dir.path().join("1"), &release.join("data"));
    // What the database tells of itself and of this machine is nobody's business.
    for own in ["LOG", "LOCK"] {
        std::fs::remove_file(release.join("data/db").join(own)).expect("it is there");
    }
    std::fs::write(release.join("stories"), stories).expect("the stories");
}
