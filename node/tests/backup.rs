//! Backups of a running cluster, clusters made of them, and of what one node left; on real processes and disks.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cluster::world::{agent, always_open, put};
use cluster::{Process, free_ports, node, persist, start, until};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::backup_request::Then;
use meridian_proto::livechat::v1::backup_response::Part;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tonic::Code;

async fn start_chat(nodes: &[Process], request_id: &str) -> Chat {
    let ask = StartChatRequest {
        request_id: request_id.into(),
        queue_id: "support".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let ways: Vec<_> = nodes.iter().map(|n| n.channel.clone()).collect();
    let started = persist(&ways, 0, async |way| {
        VisitorServiceClient::new(way).start_chat(ask.clone()).await
    });
    let chat = started.await.expect("a chat is taken in").into_inner().chat;
    chat.expect("the chat")
}

async fn leave(nodes: &[Process], chat_id: &str) {
    let ask = LeaveChatRequest {
        request_id: format!("leave {chat_id}"),
        chat_id: chat_id.to_owned(),
    };
    let left = persist(std::slice::from_ref(&nodes[0].channel), 0, async |way| {
        VisitorServiceClient::new(way).leave_chat(ask.clone()).await
    });
    left.await.expect("the visitor leaves");
}

/// The phase of a chat, closed ones of long ago included; `None` = there is no such chat.
async fn phase(node: &Process, chat_id: &str) -> Option<ChatPhase> {
    let ask = ExplainChatRequest {
        consistency: Consistency::Linearizable.into(),
        chat_id: chat_id.to_owned(),
        then: None,
    };
    let told = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        let mut client = SupervisorServiceClient::new(way);
        client.explain_chat(ask.clone()).await
    });
    match told.await {
        Ok(told) => Some(told.into_inner().chat.expect("the chat").phase()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

/// How the cluster of a node was made of others, once there is so much of that.
async fn foundings(node: &Process, count: usize) -> Vec<Founding> {
    let told = async || node.status().await.map_or(vec![], |s| s.foundings);
    until("it tells how it was made", async || {
        told().await.len() == count
    })
    .await;
    told().await
}

async fn backup(node: &Process, then: Option<Then>, file: &Path) -> BackupHead {
    let mut admin = AdminServiceClient::new(node.channel.clone());
    let stream = admin.backup(BackupRequest { then }).await;
    let mut stream = stream.expect("a backup").into_inner();
    let (mut head, mut bytes) = (None, Vec::new());
    while let Some(response) = stream.message().await.expect("a part") {
        match response.part.expect("a part") {
            Part::Head(told) => head = Some(told),
            Part::Data(data) => bytes.extend(data),
        }
    }
    let head = head.expect("the head");
    assert_eq!(bytes.len() as u64, head.bytes);
    assert_eq!(crc32c::crc32c(&bytes), head.crc32c);
    std::fs::write(file, bytes).expect("written");
    head
}

fn offline(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_meridian-node");
    let done = Command::new(program).args(arguments).output();
    done.expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Makes node `id` of a new cluster by `how`, and starts it.
fn found(dir: &Path, id: u64, how: &[&str]) -> (Process, SocketAddr) {
    let ports = free_ports(2);
    let data = dir.join(id.to_string()).display().to_string();
    let (id_given, peers) = (id.to_string(), ports[1].to_string());
    let first = [
        ["--data", &data],
        ["--node-id", &id_given],
        ["--region", "r1"],
        ["--peer-address", &peers],
        ["--actor", "ann"],
    ];
    let made = offline(&[how, first.as_flattened()].concat());
    assert!(made.status.success(), "{}", text(&made));
    assert!(text(&made).contains("of the new cluster 'meridian'"));
    // A second time would overwrite what is there.
    let again = offline(&[how, first.as_flattened()].concat());
    assert!(!again.status.success());
    assert!(text(&again).contains("is not empty"), "{}", text(&again));
    (node(dir, id, ports[0], ports[1], &[]), ports[1])
}

#[tokio::test]
async fn a_backup_is_of_now_or_of_then_and_makes_a_cluster_that_the_old_one_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let nodes = start(dir).await;
    let anna = agent("anna", "r1", "en", 1);
    put(&nodes, always_open(Queue::default(), vec![anna])).await;
    let early = start_chat(&nodes, "early").await;
    let gone = start_chat(&nodes, "gone").await;
    leave(&nodes, &gone.chat_id).await;
    let stays = start_chat(&nodes, "stays").await;
    // Enough for snapshots and a purged log between then and now.
    for n in 0..200 {
        let chat = start_chat(&nodes, &format!("visit {n}")).await;
        leave(&nodes, &chat.chat_id).await;
    }
    leave(&nodes, &early.chat_id).await;
    let late = start_chat(&nodes, "late").await;

    let (now, then) = (dir.join("now.backup"), dir.join("then.backup"));
    until("a follower has it all", async || {
        let status = nodes[2].status().await;
        status.is_some_and(|s| s.applied_index >= late.log_index)
    })
    .await;
    let of_now = backup(&nodes[2], None, &now).await;
    assert!(of_now.log_index >= late.log_index && of_now.node_id == 3);
    let at = Some(Then::AtIndex(stays.log_index));
    let of_then = backup(&nodes[0], at, &then).await;
    assert_eq!(of_then.log_index, stays.log_index);
    let status = nodes[2].status().await.expect("it answers");
    assert_eq!(of_now.founded, status.founded);
    if status.applied_index == of_now.log_index {
        assert_eq!(of_now.state_hash, status.state_hash);
    }

    let path = |file: &PathBuf| file.display().to_string();
    let whole = offline(&["verify", &path(&now)]);
    let hash = format!("{:016x}", of_now.state_hash);
    assert!(text(&whole).contains(&hash), "{}", text(&whole));
    let mut bytes = std::fs::read(&now).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = dir.join("bad.backup");
    std::fs::write(&bad, bytes).expect("written");
    let refused = offline(&["verify", &path(&bad)]);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("bad.backup"), "{}", text(&refused));

    let (one, _) = found(dir, 11, &["restore", "--from", &path(&now)]);
    assert_eq!(phase(&one, &early.chat_id).await, Some(ChatPhase::Closed));
    assert_eq!(phase(&one, &stays.chat_id).await, Some(ChatPhase::Waiting));
    assert_eq!(phase(&one, &late.chat_id).await, Some(ChatPhase::Waiting));
    let (two, _) = found(dir, 12, &["restore", "--from", &path(&then)]);
    assert_eq!(phase(&two, &early.chat_id).await, Some(ChatPhase::Waiting));
    assert_eq!(phase(&two, &gone.chat_id).await, Some(ChatPhase::Closed));
    assert_eq!(phase(&two, &stays.chat_id).await, Some(ChatPhase::Waiting));
    assert_eq!(phase(&two, &late.chat_id).await, None);

    // Its history tells how it was made, and so does that of every cluster made of it in turn.
    let made = &foundings(&one, 1).await[0];
    assert_eq!((&made.actor[..], &made.from), ("operator:ann", &path(&now)));
    assert_eq!(
        (made.log_index, made.state_hash, made.from_node_id),
        (of_now.log_index, of_now.state_hash, 3)
    );
    assert_eq!(made.from_founded, of_now.founded);
    assert!(!made.loss_accepted && made.at_ms >= made.state_at_ms);
    assert_eq!(nodes[0].status().await.expect("it answers").foundings, []);
    let child = dir.join("child.backup");
    let of_child = backup(&one, None, &child).await;
    let (grandchild, _) = found(dir, 14, &["restore", "--from", &path(&child)]);
    let line = foundings(&grandchild, 2).await;
    assert_eq!(&line[0], made);
    assert_eq!(line[1].from_founded, of_child.founded);
    assert_eq!(line[0].founded, of_child.founded);
    drop(grandchild);

    // It takes chats, and new members; but none of the cluster it came from.
    let next = start_chat(std::slice::from_ref(&one), "next").await;
    assert_eq!(next.position, 3);
    let ports = free_ports(2);
    let three = node(dir, 13, ports[0], ports[1], &[]);
    let add = async |id: u64, address: SocketAddr| {
        let member = Member {
            node_id: id,
            region_id: "r1".to_owned(),
            peer_address: address.to_string(),
            ..Default::default()
        };
        let ask = AddLearnerRequest {
            member: Some(member),
        };
        let mut admin = AdminServiceClient::new(one.channel.clone());
        admin.add_learner(ask).await.expect("it is added");
    };
    add(13, ports[1]).await;
    let before = nodes[1].status().await.expect("it answers");
    let old = before.members.iter().find(|m| m.node_id == 2);
    let old = old.expect("itself").peer_address.parse();
    add(2, old.expect("an address")).await;
    until("the new node follows", async || {
        let mut admin = AdminServiceClient::new(one.channel.clone());
        admin.promote(PromoteRequest { node_id: 13 }).await.is_ok()
    })
    .await;
    until("the old node has refused", async || {
        let log = std::fs::read_to_string(dir.join("11.log")).unwrap_or_default();
        log.contains("belongs to another cluster of that name")
    })
    .await;
    let after = nodes[1].status().await.expect("it answers");
    assert_eq!(after.founded, before.founded);
    assert_ne!(
        one.status().await.expect("it answers").founded,
        after.founded
    );
    assert_eq!(
        &foundings(&three, 1).await[0],
        made,
        "a new member knows too"
    );
    let still = start_chat(&nodes, "still").await;
    assert_eq!(
        phase(&nodes[1], &still.chat_id).await,
        Some(ChatPhase::Waiting)
    );
}

#[tokio::test]
async fn what_one_node_left_makes_a_cluster_when_the_majority_is_lost_for_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let mut nodes = start(dir).await;
    let anna = agent("anna", "r1", "en", 1);
    put(&nodes, always_open(Queue::default(), vec![anna])).await;
    let mut chats = Vec::new();
    for n in 0..40 {
        chats.push(start_chat(&nodes, &format!("visit {n}")).await.chat_id);
    }
    leave(&nodes, &chats[0]).await;
    until("the one that is left has it all", async || {
        let ahead = nodes[0].status().await.map(|s| s.applied_index);
        let last = nodes[2].status().await.map(|s| s.last_log_index);
        ahead.is_some() && ahead <= last
    })
    .await;
    nodes.iter_mut().for_each(Process::kill);

    let left = dir.join("3").display().to_string();
    let recover = ["recover", "--from", &left];
    let data = dir.join("21").display().to_string();
    let first = ["--data", &data, "--node-id", "21", "--region", "r1"];
    let rest = ["--peer-address", "127.0.0.1:1"];
    let unsure = offline(&[&recover[..], &first, &rest].concat());
    assert!(!unsure.status.success());
    assert!(text(&unsure).contains("--accept-loss"), "{}", text(&unsure));
    assert!(!dir.join("21").exists());

    let (one, _) = found(dir, 21, &[&recover[..], &["--accept-loss"]].concat());
    for chat in &chats[1..] {
        assert_eq!(phase(&one, chat).await, Some(ChatPhase::Waiting));
    }
    assert_eq!(phase(&one, &chats[0]).await, Some(ChatPhase::Closed));
    let made = &foundings(&one, 1).await[0];
    assert_eq!((&made.from, made.from_node_id), (&left, 3));
    assert!(made.loss_accepted);
    let next = start_chat(std::slice::from_ref(&one), "next").await;
    assert_eq!(next.position, 40);
    // What it was made of is as it was.
    nodes[2].restart();
    until("the survivor starts still", async || {
        nodes[2].status().await.is_some()
    })
    .await;
}
