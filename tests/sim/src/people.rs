//! Visitors and agents, who retry, go away, take their time and come back; what they were told is written down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::cluster::{client_host, way};
use crate::net::{Net, Side};
use crate::trace::Trace;

/// How long a visitor goes on trying to be taken in.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the cluster promised to people.
#[derive(Default)]
pub struct Promises {
    /// Chats taken in, by the request that started each.
    pub chats: BTreeMap<String, String>,
    /// Chats that an agent was told are theirs.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
}

/// What everybody shares.
#[derive(Clone)]
pub struct Stage {
    /// The network.
    pub net: Net,
    /// What happens, in order.
    pub trace: Trace,
    /// What was promised.
    pub promises: Arc<Mutex<Promises>>,
    /// How many nodes there are.
    pub nodes: u64,
    /// Turns true when the day is over.
    pub over: watch::Receiver<bool>,
}

fn is_over(over: &watch::Receiver<bool>) -> bool {
    *over.borrow()
}

/// Returns when the day is over.
async fn ends(over: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to say so.
    let _ = over.wait_for(|over| *over).await;
}

/// Lets visitors come, one after another, until the day is over.
pub async fn visitors(
    stage: Stage,
    seed: u64,
    languages: &'static [&'static str],
    every: Duration,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut over = stage.over.clone();
    let mut tasks = Vec::new();
    for number in 0.. {
        let pause = every.mul_f64(random.random_range(0.1..2.0));
        tokio::select! {
            biased;
            () = ends(&mut over) => break,
            () = sleep(pause) => {}
        }
        let language = languages[random.random_range(0..languages.len())];
        let seed = random.random();
        tasks.push(tokio::spawn(visit(stage.clone(), number, language, seed)));
    }
    for task in tasks {
        let _ = task.await;
    }
}

/// One visitor: asks to be taken in, again and again under one request id, at whichever node answers; some leave.
async fn visit(stage: Stage, number: u64, language: &'static str, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let side = stage
        .net
        .side(client_host(number), random.random_range(0..3));
    let request = format!("visit-{number}");
    let ask = StartChatRequest {
        request_id: request.clone(),
        queue_id: "q".to_owned(),
        languages: vec![language.to_owned()],
        ..Default::default()
    };
    let began = Instant::now();
    let mut sent = 0;
    let chat = loop {
        if began.elapsed() > PATIENCE {
            stage
                .trace
                .tell(format!("{request} gives up after {sent} tries"));
            stage.promises.lock().unknown += 1;
            return;
        }
        let node = random.random_range(1..=stage.nodes);
        sent += 1;
        let mut client = VisitorServiceClient::new(way(&side, node));
        let answer = timeout(Duration::from_secs(10), client.start_chat(ask.clone())).await;
        match answer {
            Ok(Ok(started)) => {
                let Some(chat) = started.into_inner().chat else {
                    continue;
                };
                break chat.chat_id;
            }
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                stage
                    .trace
                    .tell(format!("{request} refused: {}", status.message()));
                return;
            }
            Ok(Err(_)) | Err(_) => {
                sleep(Duration::from_millis(random.random_range(50..1_000))).await
            }
        }
    };
    stage
        .trace
        .tell(format!("{request} is {chat} after {sent} tries"));
    let before = stage
        .promises
        .lock()
        .chats
        .insert(request.clone(), chat.clone());
    assert_eq!(before, None, "one request, one chat");
    if random.random_bool(0.1) {
        sleep(Duration::from_millis(random.random_range(100..30_000))).await;
        let leave = LeaveChatRequest {
            request_id: format!("leave-{number}"),
            chat_id: chat.clone(),
        };
        let node = random.random_range(1..=stage.nodes);
        let mut client = VisitorServiceClient::new(way(&side, node));
        let left = timeout(Duration::from_secs(10), client.leave_chat(leave)).await;
        let told = matches!(left, Ok(Ok(_)));
        stage
            .trace
            .tell(format!("{request} leaves, told so: {told}"));
    }
}

/// One agent's working day: at a desktop that may break, at whichever node lets them in.
pub async fn agent(stage: Stage, number: u64, name: String, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let region = random.random_range(0..3);
    let side = stage.net.side(client_host(1_000_000 + number), region);
    let (mut epoch, mut sent) = (0, 0);
    let mut over = stage.over.clone();
    while !is_over(&over) {
        let node = random.random_range(1..=stage.nodes);
        let why = desk(
            &stage,
            &side,
            (&name, node),
            (&mut epoch, &mut sent),
            &mut random,
        )
        .await;
        stage.trace.tell(format!("{name} loses node {node}: {why}"));
        let pause = Duration::from_millis(random.random_range(100..5_000));
        tokio::select! {
            biased;
            () = ends(&mut over) => {}
            () = sleep(pause) => {}
        }
    }
}

/// One session; tells why it ended.
async fn desk(
    stage: &Stage,
    side: &Side,
    (name, node): (&str, u64),
    (epoch, sent): (&mut u64, &mut u64),
    random: &mut ChaCha8Rng,
) -> String {
    let (send, receive) = mpsc::channel(64);
    let mut message = |action: Action| {
        *sent += 1;
        AgentMessage {
            request_id: format!("{name}-{sent}"),
            action: Some(action),
        }
    };
    let hello = Hello {
        agent_id: name.to_owned(),
        resume_epoch: *epoch,
        grace_ms: 10_000,
    };
    let _ = send.send(message(Action::Hello(hello))).await;
    let mut client = AgentServiceClient::new(way(side, node));
    let opening = client.work(ReceiverStream::new(receive));
    let mut stream = match timeout(Duration::from_secs(10), opening).await {
        Ok(Ok(stream)) => stream.into_inner(),
        Ok(Err(status)) => return format!("{:?}", status.code()),
        Err(_) => return "no answer".to_owned(),
    };
    // Some desktops break in the middle of it.
    let breaks = Instant::now() + Duration::from_secs(random.random_range(20..900));
    // What the agent does next, and when.
    let mut plan: BTreeMap<(Instant, u64), Action> = BTreeMap::new();
    let mut planned = 0;
    let mut over = stage.over.clone();
    loop {
        let next = plan.keys().next().copied();
        let wake = next.map_or(breaks, |(at, _)| at);
        let event = tokio::select! {
            biased;
            () = ends(&mut over) => return "the day is over".to_owned(),
            () = sleep_until(breaks) => return "the desktop breaks".to_owned(),
            () = sleep_until(wake), if next.is_some() => {
                if let Some(action) = next.and_then(|key| plan.remove(&key)) {
                    let message = message(action);
                    if send.send(message).await.is_err() {
                        return "the stream ends".to_owned();
                    }
                }
                continue;
            }
            received = stream.message() => match received {
                Ok(Some(message)) => message.event,
                Ok(None) => return "the stream ends".to_owned(),
                Err(status) => return format!("{:?}", status.code()),
            },
        };
        let mut later = |least: u64, most: u64, action: Action, random: &mut ChaCha8Rng| {
            planned += 1;
            let at = Instant::now() + Duration::from_millis(random.random_range(least..most));
            plan.insert((at, planned), action);
        };
        let talk = |chat: &Chat| match chat.phase() {
            ChatPhase::Active => Some(Action::EndChat(EndChat {
                chat_id: chat.chat_id.clone(),
            })),
            ChatPhase::WrapUp => Some(Action::FinishWrapUp(FinishWrapUp {
                chat_id: chat.chat_id.clone(),
            })),
            _ => None,
        };
        match event {
            Some(Event::Welcome(welcome)) => {
                *epoch = welcome.epoch;
                stage
                    .trace
                    .tell(format!("{name} signs on at node {node}, session {epoch}"));
                let available = SetPresence {
                    presence: Presence::Available.into(),
                    overtime: false,
                };
                later(0, 500, Action::SetPresence(available), random);
                for chat in &welcome.chats {
                    if let Some(action) = talk(chat) {
                        later(500, 60_000, action, random);
                    }
                }
            }
            Some(Event::Offer(offer)) => {
                let chat_id = offer.chat.map(|c| c.chat_id).unwrap_or_default();
                let assignment = offer.assignment;
                let accept = Action::AcceptOffer(AcceptOffer {
                    chat_id: chat_id.clone(),
                    assignment,
                });
                match random.random_range(0..10) {
                    0 => {}
                    1 => {
                        let decline = DeclineOffer {
                            chat_id,
                            assignment,
                            reason: "busy".to_owned(),
                        };
                        later(100, 8_000, Action::DeclineOffer(decline), random);
                    }
                    _ => later(100, 12_000, accept, random),
                }
            }
            Some(Event::Chat(chat)) => {
                if chat.phase() == ChatPhase::Active {
                    let mut promises = stage.promises.lock();
                    let owners = promises.accepted.entry(chat.chat_id.clone()).or_default();
                    if owners.last().is_none_or(|last| last != name) {
                        owners.push(name.to_owned());
                        stage.trace.tell(format!("{name} has {}", chat.chat_id));
                    }
                }
                if let Some(action) = talk(&chat) {
                    later(1_000, 90_000, action, random);
                }
            }
            Some(Event::State(state)) if state.presence() == Presence::NotResponding => {
                let available = SetPresence {
                    presence: Presence::Available.into(),
                    overtime: false,
                };
                later(1_000, 20_000, Action::SetPresence(available), random);
            }
            Some(Event::Fenced(_)) => return "another session took over".to_owned(),
            Some(Event::Reply(_) | Event::OfferWithdrawn(_) | Event::State(_)) | None => {}
        }
    }
}
