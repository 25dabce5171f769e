//! What becomes of agents' sessions when their node freezes, loses the cluster, or stops in order; on real
//! processes.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::time::Duration;

use cluster::{Process, persist, start, until};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

/// An agent's desktop.
struct Desktop {
    send: mpsc::Sender<AgentMessage>,
    events: Streaming<ServerMessage>,
    epoch: u64,
    sent: u64,
    chats: Vec<Chat>,
}

impl Desktop {
    async fn open(node: &Process, resume: u64) -> Result<Self, Status> {
        let (send, receive) = mpsc::channel(64);
        let hello = Hello {
            agent_id: "anna".into(),
            resume_epoch: resume,
            grace_ms: 20_000,
        };
        let first = AgentMessage {
            request_id: format!("hello-{resume}"),
            action: Some(Action::Hello(hello)),
        };
        send.send(first).await.expect("room for one");
        let mut agents = AgentServiceClient::new(node.channel.clone());
        let mut desktop = Self {
            send,
            events: agents
                .work(ReceiverStream::new(receive))
                .await?
                .into_inner(),
            epoch: 0,
            sent: 0,
            chats: Vec::new(),
        };
        let welcome = desktop
            .next(|event| match event {
                Event::Welcome(welcome) => Some(welcome),
                _ => None,
            })
            .await?;
        (desktop.epoch, desktop.chats) = (welcome.epoch, welcome.chats);
        Ok(desktop)
    }

    /// Opens at whichever node will have it.
    async fn open_at(nodes: &[Process], resume: u64) -> Self {
        for node in nodes.iter().cycle().take(1_000) {
            if let Ok(Ok(open)) = timeout(Duration::from_secs(5), Self::open(node, resume)).await {
                return open;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no node takes the agent");
    }

    async fn act(&mut self, action: Action) {
        self.sent += 1;
        let message = AgentMessage {
            request_id: self.sent.to_string(),
            action: Some(action),
        };
        self.send.send(message).await.expect("an open stream");
    }

    /// The next event of a kind.
    async fn next<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> Result<T, Status> {
        let found = async {
            loop {
                let message = self.events.message().await?;
                let message = message.ok_or_else(|| Status::cancelled("the stream ended"))?;
                if let Some(found) = message.event.and_then(&pick) {
                    return Ok(found);
                }
            }
        };
        timeout(Duration::from_secs(30), found)
            .await
            .expect("something is told within half a minute")
    }

    async fn reply(&mut self) -> ActionReply {
        let reply = self.next(|event| match event {
            Event::Reply(reply) => Some(reply),
            _ => None,
        });
        reply.await.expect("a reply")
    }

    /// Signs on, and takes the chat a visitor starts.
    async fn take_a_chat(&mut self, node: &Process) -> String {
        self.act(Action::SetPresence(SetPresence {
            presence: Presence::Available.into(),
            ..Default::default()
        }))
        .await;
        assert_eq!(self.reply().await.code, 0);
        let ask = StartChatRequest {
            request_id: "chat".into(),
            queue_id: "support".into(),
            languages: vec!["en".into()],
            ..Default::default()
        };
        let started = persist(std::slice::from_ref(&node.channel), 0, async |way| {
            VisitorServiceClient::new(way).start_chat(ask.clone()).await
        });
        started.await.expect("a chat is taken in");
        let offer = self.next(|event| match event {
            Event::Offer(offer) => Some(offer),
            _ => None,
        });
        let offer = offer.await.expect("an offer");
        let chat_id = offer.chat.expect("of a chat").chat_id;
        self.act(Action::AcceptOffer(AcceptOffer {
            chat_id: chat_id.clone(),
            assignment: offer.assignment,
        }))
        .await;
        assert_eq!(self.reply().await.code, 0);
        chat_id
    }
}

async fn world(nodes: &[Process]) {
    let put = Configuration {
        workspace: Some(Workspace {
            name: "Sessions".into(),
            ..Default::default()
        }),
        schedules: vec![Schedule {
            id: "always".into(),
            zone: "Etc/UTC".into(),
            spans: vec![UtcSpan {
                from_ms: 0,
                to_ms: 1 << 47,
            }],
            ..Default::default()
        }],
        regions: vec![Region {
            id: "r1".into(),
            zone: "Etc/UTC".into(),
            schedule: "always".into(),
            ..Default::default()
        }],
        queues: vec![Queue {
            id: "support".into(),
            ..Default::default()
        }],
        agents: vec![Agent {
            id: "anna".into(),
            name: "Anna".into(),
            region: "r1".into(),
            languages: vec![SpokenLanguage {
                language: "en".into(),
                level: LanguageLevel::Native.into(),
            }],
            queues: vec!["support".into()],
            capacity: 2,
            ..Default::default()
        }],
    };
    let apply = ApplyRequest {
        request_id: "world".into(),
        put: Some(put),
        ..Default::default()
    };
    let ways: Vec<_> = nodes.iter().map(|n| n.channel.clone()).collect();
    let applied = persist(&ways, 0, async |way| {
        AdminServiceClient::new(way).apply(apply.clone()).await
    });
    applied.await.expect("the world is applied");
    for node in nodes {
        until("the node is ready", async || {
            Desktop::open(node, 0).await.is_ok()
        })
        .await;
    }
}

async fn leader(nodes: &[Process]) -> usize {
    let leader = nodes[0].status().await.expect("a status").leader_id;
    nodes.iter().position(|n| n.id == leader).expect("a leader")
}

async fn anna(node: &Process) -> AgentState {
    let ask = ListAgentsRequest {
        consistency: Consistency::Linearizable.into(),
        ..Default::default()
    };
    let listed = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        SupervisorServiceClient::new(way)
            .list_agents(ask.clone())
            .await
    });
    let listed = listed.await.expect("a list").into_inner();
    listed.agents.into_iter().next().expect("anna")
}

#[tokio::test]
async fn a_frozen_nodes_agents_resume_elsewhere_with_their_chats_and_it_knows_when_it_wakes() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    world(&nodes).await;
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
    world(&nodes).await;
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
    world(&nodes).await;
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
    world(&nodes).await;
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
