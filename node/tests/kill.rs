//! Three real node processes under load, any one of them killed with SIGKILL at a random moment, twenty times.
//! Every node checks every invariant after every command. At the end nothing acknowledged is lost, nothing
//! was done that nobody asked for, no chat had two owners, and all replicas have the same state.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{Process, persist, start, until, world};
use meridian_node::env::{Random as _, SeededRandom};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

const KILLS: u64 = 20;
const AGENTS: u64 = 12;
const CAPACITY: u32 = 3;
const VISITORS: u64 = 8;

fn world() -> Configuration {
    let agents = (0..AGENTS).map(|n| {
        let language = if n.is_multiple_of(2) { "en" } else { "pt" };
        world::agent(
            &format!("a{n}"),
            &format!("r{}", n % 3 + 1),
            language,
            CAPACITY,
        )
    });
    let queue = Queue {
        offer_timeout_ms: 2_000,
        ..Default::default()
    };
    world::always_open(queue, agents.collect())
}

/// One thing a client was told is done.
#[derive(Clone, Debug)]
struct Told {
    /// As the chat's story names it.
    what: &'static str,
    /// By whom; empty for a visitor.
    agent: String,
    /// At this log index at the latest: a repeat is told a later one.
    by_index: u64,
}

/// Everything that was acknowledged, by chat.
#[derive(Default)]
struct Acknowledged(Mutex<BTreeMap<String, Vec<Told>>>);

impl Acknowledged {
    fn started(&self, chat: &str) {
        self.0.lock().entry(chat.to_owned()).or_default();
    }
    fn told(&self, chat: &str, what: &'static str, agent: &str, by_index: u64) {
        self.0
            .lock()
            .entry(chat.to_owned())
            .or_default()
            .push(Told {
                what,
                agent: agent.to_owned(),
                by_index,
            });
    }
    fn chats(&self) -> usize {
        self.0.lock().len()
    }
    fn count(&self, what: &str) -> usize {
        let all = self.0.lock();
        all.values().flatten().filter(|t| t.what == what).count()
    }
}

/// Starts chats one after the other; every third visitor leaves at once, every fourth rates the chat.
async fn visitor(
    number: u64,
    nodes: Vec<Channel>,
    stop: Arc<AtomicBool>,
    acked: Arc<Acknowledged>,
) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let language = if (number + n).is_multiple_of(2) {
            "en"
        } else {
            "pt"
        };
        let ask = StartChatRequest {
            request_id: format!("v{number}-{n}"),
            queue_id: "support".into(),
            languages: vec![language.into()],
            ..Default::default()
        };
        let from = ((number + n) % 3) as usize;
        let chat = persist(&nodes, from, async |way| {
            VisitorServiceClient::new(way).start_chat(ask.clone()).await
        })
        .await;
        let chat = chat.expect("a chat is taken in").into_inner();
        let id = chat.chat.expect("and named").chat_id;
        acked.started(&id);
        if n % 3 == 2 {
            let leave = LeaveChatRequest {
                request_id: "leave".into(),
                chat_id: id.clone(),
            };
            let left = persist(&nodes, from, async |way| {
                VisitorServiceClient::new(way)
                    .leave_chat(leave.clone())
                    .await
            })
            .await;
            let left = left.expect("leaving an accepted chat").into_inner();
            acked.told(&id, "left", "", left.chat.map_or(0, |c| c.log_index));
        } else if n % 4 == 0 {
            rate(&nodes, from, &id, &acked).await;
        }
        sleep(Duration::from_millis(30)).await;
    }
}

/// Rates a chat if it has been answered and ended by now.
async fn rate(nodes: &[Channel], from: usize, id: &str, acked: &Acknowledged) {
    sleep(Duration::from_millis(300)).await;
    let rate = RateChatRequest {
        request_id: "rate".into(),
        chat_id: id.to_owned(),
        stars: 4,
        comment: "thanks".into(),
    };
    let rated = persist(nodes, from, async |way| {
        VisitorServiceClient::new(way).rate_chat(rate.clone()).await
    })
    .await;
    if rated.is_ok() {
        acked.told(id, "rated", "", u64::MAX);
    }
}

/// Takes every offer and ends every chat at once, over whichever node answers.
async fn agent(number: u64, nodes: Vec<Channel>, stop: Arc<AtomicBool>, acked: Arc<Acknowledged>) {
    let mut epoch = 0;
    for (turn, way) in nodes.iter().cycle().skip(number as usize % 3).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        work(number, turn, way, &mut epoch, &stop, &acked).await;
        sleep(Duration::from_millis(50)).await;
    }
}

async fn work(
    number: u64,
    turn: usize,
    way: &Channel,
    epoch: &mut u64,
    stop: &AtomicBool,
    acked: &Acknowledged,
) -> Option<()> {
    let name = format!("a{number}");
    let (send, receive) = mpsc::channel(64);
    // What each message that awaits its reply would do to which chat.
    let mut asked: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    let mut sent = 0;
    let mut message = |what: &'static str, chat: &str, action| {
        sent += 1;
        let request_id = if what == "hello" {
            format!("hello-{turn}")
        } else {
            sent.to_string()
        };
        asked.insert(request_id.clone(), (what, chat.to_owned()));
        AgentMessage {
            request_id,
            action: Some(action),
        }
    };
    let hello = Hello {
        agent_id: name.clone(),
        resume_epoch: *epoch,
        grace_ms: 3_000,
    };
    let hello = message("hello", "", Action::Hello(hello));
    send.send(hello).await.ok()?;
    let opened = timeout(
        Duration::from_secs(20),
        AgentServiceClient::new(way.clone()).work(ReceiverStream::new(receive)),
    )
    .await;
    let mut events = opened.ok()?.ok()?.into_inner();
    let mut replies = Vec::new();
    loop {
        let event = match timeout(Duration::from_millis(500), events.message()).await {
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(_) => continue,
            Ok(event) => match event {
                Ok(Some(event)) => event.event?,
                Ok(None) | Err(_) => break,
            },
        };
        let next = match event {
            Event::Welcome(welcome) => {
                *epoch = welcome.epoch;
                let ready = SetPresence {
                    presence: Presence::Available.into(),
                    ..Default::default()
                };
                let mut next = vec![message("present", "", Action::SetPresence(ready))];
                for chat in welcome.chats {
                    next.push(end(&mut message, chat.chat_id));
                }
                next
            }
            Event::Offer(offer) => {
                let chat_id = offer.chat?.chat_id;
                let accept = AcceptOffer {
                    chat_id: chat_id.clone(),
                    assignment: offer.assignment,
                };
                vec![message("accepted", &chat_id, Action::AcceptOffer(accept))]
            }
            Event::Chat(chat)
                if chat.phase == i32::from(ChatPhase::Active) && chat.agent_id == name =>
            {
                vec![end(&mut message, chat.chat_id)]
            }
            Event::State(state) => {
                assert!(
                    state.load <= state.capacity,
                    "agent {name} carries {} of {}",
                    state.load,
                    state.capacity
                );
                vec![]
            }
            Event::Reply(reply) => {
                replies.push(reply);
                vec![]
            }
            Event::Fenced(_) => break,
            _ => vec![],
        };
        for message in next {
            if send.send(message).await.is_err() {
                break;
            }
        }
    }
    for reply in replies.into_iter().filter(|r| r.code == 0) {
        if let Some((what @ ("accepted" | "ended"), chat)) = asked.get(&reply.request_id) {
            acked.told(chat, what, &name, reply.log_index);
        }
    }
    None
}

fn end(
    message: &mut impl FnMut(&'static str, &str, Action) -> AgentMessage,
    chat_id: String,
) -> AgentMessage {
    let chat = chat_id.clone();
    message("ended", &chat, Action::EndChat(EndChat { chat_id }))
}

#[tokio::test]
async fn twenty_kills_lose_nothing() {
    tokio::task::LocalSet::new()
        .run_until(kill_twenty_times())
        .await;
}

async fn kill_twenty_times() {
    let dir = tempfile::tempdir().expect("a directory");
    let seed = std::env::var("MERIDIAN_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let random = SeededRandom::new(seed);
    eprintln!("MERIDIAN_SEED={seed}");
    let mut nodes = start(dir.path()).await;
    let channels: Vec<Channel> = nodes.iter().map(|n| n.channel.clone()).collect();
    let apply = ApplyRequest {
        request_id: "world".into(),
        put: Some(world()),
        ..Default::default()
    };
    persist(&channels, 0, async |way| {
        AdminServiceClient::new(way).apply(apply.clone()).await
    })
    .await
    .expect("the world is applied");

    let (stop, acked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Acknowledged::default()),
    );
    let (mut visitors, mut agents) = (JoinSet::new(), JoinSet::new());
    for number in 0..AGENTS {
        agents.spawn_local(agent(number, channels.clone(), stop.clone(), acked.clone()));
    }
    for number in 0..VISITORS {
        visitors.spawn_local(visitor(
            number,
            channels.clone(),
            stop.clone(),
            acked.clone(),
        ));
    }

    for kill in 0..KILLS {
        sleep(Duration::from_millis(200 + random.next() % 800)).await;
        let victim = (random.next() % 3) as usize;
        let before = acked.chats();
        nodes[victim].kill();
        // The two that are left go on alone.
        until(
            &format!("commits after kill {kill} of node {}", nodes[victim].id),
            async || acked.chats() > before + 3,
        )
        .await;
        nodes[victim].restart();
        // Back to carry load before the next kill, or a majority might be catching up.
        until(
            &format!("node {} is back after kill {kill}", nodes[victim].id),
            async || {
                let (back, other) = (
                    nodes[victim].status().await,
                    nodes[(victim + 1) % 3].status().await,
                );
                back.zip(other).is_some_and(|(back, other)| {
                    back.leader_id != 0 && back.applied_index + 50 >= other.applied_index
                })
            },
        )
        .await;
    }

    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = visitors.join_next().await {
        ended.expect("no visitor panics");
    }
    while let Some(ended) = agents.join_next().await {
        ended.expect("no agent carries more than the capacity");
    }
    for node in &mut nodes {
        node.assert_alive();
    }
    eprintln!(
        "acknowledged: {} chats, {} accepted, {} ended, {} left, {} rated",
        acked.chats(),
        acked.count("accepted"),
        acked.count("ended"),
        acked.count("left"),
        acked.count("rated")
    );
    for what in ["accepted", "ended", "left", "rated"] {
        assert!(acked.count(what) > 10, "there was load: {what}");
    }
    for node in &nodes {
        nothing_lost(node, &acked).await;
    }
    same_state(&nodes).await;
    for node in &mut nodes {
        node.assert_alive();
    }
}

/// Everything acknowledged stands in the stories this node tells, and no chat is there that nobody asked for.
async fn nothing_lost(node: &Process, acked: &Acknowledged) {
    let way = std::slice::from_ref(&node.channel);
    let mut known = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let ask = ListChatsRequest {
            consistency: Consistency::Linearizable.into(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = persist(way, 0, async |way| {
            SupervisorServiceClient::new(way)
                .list_chats(ask.clone())
                .await
        })
        .await
        .expect("a page of chats")
        .into_inner();
        known.extend(page.chats.into_iter().map(|c| c.chat_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all = acked.0.lock().clone();
    for id in &known {
        assert!(all.contains_key(id), "chat {id} was asked for by nobody");
    }
    for (id, told) in &all {
        let ask = ExplainChatRequest {
            consistency: Consistency::Local.into(),
            chat_id: id.clone(),
            then: None,
        };
        let story = persist(way, 0, async |way| {
            SupervisorServiceClient::new(way)
                .explain_chat(ask.clone())
                .await
        })
        .await;
        let story = story.unwrap_or_else(|e| panic!("node {} lost chat {id}: {e}", node.id));
        let events = story.into_inner().events;
        assert!(events.len() < 64, "the story of {id} is whole");
        one_owner_at_a_time(id, &events);
        for told in told {
            let stands = events.iter().any(|e| match told.what {
                // Leaving ends a talk, abandons a chat, or comes after its end.
                "left" => ["abandoned", "ended"].contains(&e.what.as_str()),
                what => e.what == what && e.agent_id == told.agent && e.log_index <= told.by_index,
            });
            assert!(
                stands,
                "node {} forgot of chat {id} that {told:?}: {events:?}",
                node.id
            );
        }
    }
}

async fn same_state(nodes: &[Process]) {
    until("all replicas at one index with one state", async || {
        let mut seen = BTreeMap::new();
        for node in nodes {
            if let Some(s) = node.status().await {
                seen.insert(node.id, (s.applied_index, s.state_hash));
            }
        }
        let first = seen.values().next().copied().unwrap_or_default();
        if seen.len() == 3 && seen.values().all(|s| s.0 == first.0) {
            assert!(
                seen.values().all(|s| *s == first),
                "replicas differ: {seen:?}"
            );
            return true;
        }
        false
    })
    .await;
}

fn one_owner_at_a_time(id: &str, events: &[ChatEvent]) {
    let mut owner: Option<&str> = None;
    for event in events {
        match event.what.as_str() {
            "accepted" => {
                assert!(
                    owner.is_none(),
                    "chat {id} accepted by {} while {owner:?} owned it",
                    event.agent_id
                );
                owner = Some(&event.agent_id);
            }
            "agent lost" | "transferred" | "ended" => owner = None,
            _ => {}
        }
    }
}
