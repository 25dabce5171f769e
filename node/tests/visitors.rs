//! What visitors are told and promised, on real processes: the outlook before a chat, and live chats whose page comes
//! and goes while nodes freeze and die.

#[allow(dead_code)] // each test uses its part
mod cluster;

use cluster::desktop::Desktop;
use cluster::world::{annas, leader};
use cluster::{Process, persist, start, until};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tonic::Streaming;

/// The shortest lease there is.
const LEASE_MS: u32 = 5_000;

fn ask(request_id: &str, lease_ms: u32) -> StartChatRequest {
    StartChatRequest {
        request_id: request_id.into(),
        queue_id: "support".into(),
        languages: vec!["en".into()],
        lease_ms,
        ..Default::default()
    }
}

async fn start_chat(node: &Process, request_id: &str, lease_ms: u32) -> String {
    let ask = ask(request_id, lease_ms);
    let started = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        VisitorServiceClient::new(way).start_chat(ask.clone()).await
    });
    let chat = started.await.expect("a chat is taken in").into_inner().chat;
    chat.expect("the chat").chat_id
}

/// A page that follows a chat until it is dropped.
async fn open_page(node: &Process, chat_id: &str) -> Streaming<Chat> {
    let ask = WatchChatRequest {
        chat_id: chat_id.into(),
    };
    let opened = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        let mut page = VisitorServiceClient::new(way)
            .watch_chat(ask.clone())
            .await?
            .into_inner();
        page.message().await?;
        Ok(page)
    });
    opened.await.expect("a page")
}

async fn chat_at(node: &Process, chat_id: &str) -> Chat {
    let ask = GetChatRequest {
        consistency: Consistency::Linearizable.into(),
        chat_id: chat_id.into(),
    };
    let got = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        SupervisorServiceClient::new(way)
            .get_chat(ask.clone())
            .await
    });
    let chat = got.await.expect("a chat").into_inner().chat;
    chat.expect("the chat")
}

async fn phase(node: &Process, chat_id: &str) -> ChatPhase {
    chat_at(node, chat_id).await.phase()
}

/// Waits for a chat that nobody follows: what had the same lease, and no page, would be over by then too.
async fn a_lease_passes(node: &Process, request_id: &str) {
    let alone = start_chat(node, request_id, LEASE_MS).await;
    until("the lease of a chat without a page ends", async || {
        phase(node, &alone).await == ChatPhase::Closed
    })
    .await;
}

#[tokio::test]
async fn a_live_chat_lives_as_long_as_one_of_its_pages_and_its_lease_longer() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let chat = start_chat(&nodes[0], "followed", LEASE_MS).await;
    let old = open_page(&nodes[1], &chat).await;
    let other_device = open_page(&nodes[2], &chat).await;
    // Reloaded: the new page is there before the old one is known to be gone.
    let new = open_page(&nodes[1], &chat).await;
    drop((old, other_device));
    a_lease_passes(&nodes[0], "clock").await;
    assert_eq!(phase(&nodes[0], &chat).await, ChatPhase::Waiting);

    drop(new);
    until("the lease ends", async || {
        phase(&nodes[0], &chat).await == ChatPhase::Closed
    })
    .await;
}

#[tokio::test]
async fn a_live_chat_outlives_a_killed_node_when_its_page_comes_back_and_a_frozen_one_when_it_wakes()
 {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    annas(&nodes).await;
    let lost = (leader(&nodes).await + 1) % 3;
    let (there, third) = ((lost + 1) % 3, (lost + 2) % 3);
    let back = start_chat(&nodes[there], "back", LEASE_MS).await;
    let gone = start_chat(&nodes[there], "gone", LEASE_MS).await;
    let pages = (
        open_page(&nodes[lost], &back).await,
        open_page(&nodes[lost], &gone).await,
    );
    a_lease_passes(&nodes[there], "clock 1").await;
    nodes[lost].kill();
    drop(pages);
    let page = open_page(&nodes[there], &back).await;
    until("the chat whose page stays away ends", async || {
        phase(&nodes[there], &gone).await == ChatPhase::Closed
    })
    .await;
    a_lease_passes(&nodes[there], "clock 2").await;
    assert_eq!(phase(&nodes[there], &back).await, ChatPhase::Waiting);
    drop(page);

    nodes[lost].restart();
    let chat = start_chat(&nodes[there], "frozen", 60_000).await;
    let _page = open_page(&nodes[third], &chat).await;
    let followed = async || chat_at(&nodes[there], &chat).await.lease_ends_ms == 0;
    until("the page is recorded", followed).await;
    nodes[third].signal("STOP");
    until("the page is taken for gone", async || !followed().await).await;
    nodes[third].signal("CONT");
    until("the page is there again", followed).await;
}

#[tokio::test]
async fn the_outlook_is_what_then_happens_and_what_is_closed_at_once_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let node = &nodes[0];
    let outlook = async || {
        let ask = GetOutlookRequest {
            chat: Some(ask("", 0)),
            zone: "Asia/Kolkata".into(),
        };
        let told = persist(std::slice::from_ref(&node.channel), 0, async |way| {
            VisitorServiceClient::new(way)
                .get_outlook(ask.clone())
                .await
        });
        told.await.expect("an outlook").into_inner()
    };
    let chance = async || outlook().await.chance();
    until("nobody is there", async || {
        chance().await == Chance::Unstaffed
    })
    .await;

    let what_if = WhatIfRequest {
        agent_id: "anna".into(),
        overtime: false,
    };
    let waits = start_chat(node, "waits", 0).await;
    let would = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        let mut client = SupervisorServiceClient::new(way);
        client.what_if(what_if.clone()).await
    });
    let would = would.await.expect("an answer").into_inner();
    let offered: Vec<_> = would.offered.iter().map(|c| c.chat_id.as_str()).collect();
    assert_eq!(
        (offered, would.load, would.capacity),
        (vec![waits.as_str()], 1, 2)
    );
    assert_eq!(outlook().await.position, 2, "behind the one that waits");

    let mut anna = Desktop::open(node, 0).await.expect("a session");
    anna.be_available().await;
    assert_eq!(anna.accept_next().await, waits, "as it was told");
    assert_eq!(chance().await, Chance::Open);
    let second = start_chat(node, "second", 0).await;
    assert_eq!(anna.accept_next().await, second);
    assert_eq!(chance().await, Chance::Busy);

    let closed = async |open: bool| {
        let ask = CloseNowRequest {
            request_id: format!("close {open}"),
            actor: "ops".into(),
            what: Some(close_now_request::What::QueueId("support".into())),
            open,
            why: "a flood".into(),
            ..Default::default()
        };
        let done = persist(std::slice::from_ref(&node.channel), 0, async |way| {
            AdminServiceClient::new(way).close_now(ask.clone()).await
        });
        done.await.expect("done").into_inner().closed.len()
    };
    assert_eq!(closed(false).await, 1);
    assert_eq!(chance().await, Chance::Closed);
    assert_eq!(outlook().await.opens_ms, 0, "until it is opened again");
    assert_eq!(closed(true).await, 0);
    assert_eq!(chance().await, Chance::Busy);
}
