//! What becomes of agents' sessions when their node freezes, loses the cluster, or stops in order; on real
//! processes.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::time::Duration;

use cluster::desktop::Desktop;
use cluster::world::{anna, annas, leader};
use cluster::{start, until};
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::*;
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test]
async fn a_frozen_nodes_agents_resume_elsewhere_with_their_chats_and_it_knows_when_it_wakes() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let frozen = (leader(&nodes).await + 1) % 3;
    let mut there = Desktop::open(&nodes[frozen], 0).await.expect("a session");
    let chat = there.take_a_chat(&nodes[frozen]).await;

    nodes[frozen].signal("STOP");
    let other = &nodes[(frozen + 1) % 3];
    until("the session is declared lost", async || {
        anna(other).await.presence == i32::from(Presence::Lost)
    })
    .await;
    let here = Desktop::open(other, there.epoch).await.expect("resumed");
    assert_eq!(here.epoch, there.epoch + 1);
    let held: Vec<_> = here.chats.iter().map(|c| c.chat_id.as_str()).collect();
    assert_eq!(
        held,
        [chat.as_str()],
        "within the grace nothing is taken away"
    );

    nodes[frozen].signal("CONT");
    // It learns of its loss first, or of the newer session: either way the old stream takes nothing more.
    let told = there.next(|event| match event {
        Event::Fenced(fenced) => Some(fenced.epoch),
        _ => None,
    });
    match told.await {
        Ok(epoch) => assert_eq!(epoch, here.epoch),
        Err(ended) => assert_eq!(ended.code(), Code::Unavailable, "{ended}"),
    }
    assert_eq!(anna(other).await.presence, i32::from(Presence::Available));
}

#[tokio::test]
async fn a_node_without_the_cluster_sends_its_agents_away_and_takes_them_back_after() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    annas(&nodes).await;
    let alone = (leader(&nodes).await + 1) % 3;
    let mut desktop = Desktop::open(&nodes[alone], 0).await.expect("a session");
    let chat = desktop.take_a_chat(&nodes[alone]).await;

    for other in [(alone + 1) % 3, (alone + 2) % 3] {
        nodes[other].kill();
    }
    let told = desktop.next(|_| None::<()>).await.expect_err("sent away");
    assert_eq!(told.code(), Code::Unavailable, "{told}");
    let details = told.get_error_details();
    assert_eq!(
        details.error_info().map(|i| i.reason.as_str()),
        Some("STREAM_ENDED")
    );
    assert!(details.retry_info().is_some(), "and told when to try again");
    let refused = Desktop::open(&nodes[alone], desktop.epoch).await;
    assert!(refused.is_err(), "nobody is let in meanwhile");

    for other in [(alone + 1) % 3, (alone + 2) % 3] {
        nodes[other].restart();
    }
    let back = Desktop::open_at(&nodes[alone..=alone], desktop.epoch).await;
    let held: Vec<_> = back.chats.iter().map(|c| c.chat_id.as_str()).collect();
    assert_eq!(
        held,
        [chat.as_str()],
        "the outage did not count against the grace"
    );
}

#[tokio::test]
async fn a_node_that_stops_in_order_hands_on_its_agents_and_its_office() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    annas(&nodes).await;
    let stops = leader(&nodes).await;
    let mut desktop = Desktop::open(&nodes[stops], 0).await.expect("a session");
    let chat = desktop.take_a_chat(&nodes[stops]).await;

    nodes[stops].signal("TERM");
    let told = desktop.next(|_| None::<()>).await.expect_err("sent away");
    assert_eq!(told.code(), Code::Unavailable, "{told}");
    let other = (stops + 1) % 3;
    let mut here = Desktop::open_at(&nodes[other..=other], desktop.epoch).await;
    assert_eq!(here.chats.len(), 1, "the chat stays with its agent");
    here.act(Action::EndChat(EndChat { chat_id: chat })).await;
    assert_eq!(here.reply().await.code, 0);
    assert!(nodes[stops].exit().await.success(), "it ends in order");
    let now = nodes[other].status().await.expect("a status").leader_id;
    assert_ne!(now, nodes[stops].id, "another leads");
}

#[tokio::test]
async fn a_desktop_that_hangs_up_during_its_hello_leaves_no_session_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    for _ in 0..20 {
        // Given up at some moment between the first byte and the welcome.
        let opening = Desktop::open(&nodes[0], 0);
        let _ = timeout(Duration::from_millis(1), opening).await;
    }
    until("every session is over", async || {
        let now = anna(&nodes[1]).await.presence;
        [Presence::Lost, Presence::Offline]
            .map(i32::from)
            .contains(&now)
    })
    .await;
}
