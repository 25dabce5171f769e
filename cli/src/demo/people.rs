//! Simulated agents and visitors, over the same API as real ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_traffic::arrivals::Arrival;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::plan::HUMAN;
use super::score::Score;

/// Longest time one call is waited for; the node itself tries across a change of leader meanwhile.
const CALL: Duration = Duration::from_secs(20);
/// Pause before the next node is tried.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a broken session's chats wait for it.
const GRACE_MS: u32 = 8_000;

/// Ways to the nodes, nearest first.
#[derive(Clone)]
pub struct Ways(pub Vec<Channel>);

/// Calls until a node answers; the same request id makes a repeat harmless.
async fn call<T>(
    ways: &Ways,
    until: Instant,
    ask: impl AsyncFn(Channel) -> Result<T, Status>,
) -> Result<T, Status> {
    let mut last = Status::unavailable("nobody was asked");
    for way in ways.0.iter().cycle() {
        match timeout(CALL, ask(way.clone())).await {
            Ok(Err(status))
                if matches!(
                    status.code(),
                    Code::Unavailable
                        | Code::Unknown
                        | Code::Cancelled
                        | Code::DeadlineExceeded
                        | Code::ResourceExhausted
                ) =>
            {
                last = status
            }
            Ok(answer) => return answer,
            Err(_) => last = Status::deadline_exceeded("a node did not answer"),
        }
        if Instant::now() + PAUSE >= until {
            break;
        }
        sleep(PAUSE).await;
    }
    Err(last)
}

/// Plays one visitor: asks, waits as long as the patience lasts, talks, and goes.
pub async fn visitor(number: usize, arrival: Arrival, ways: Ways, end: Instant, score: Arc<Score>) {
    let request = api::StartChatRequest {
        request_id: format!("demo-{number}"),
        queue_id: arrival.queue.clone(),
        languages: arrival.languages.clone(),
        region_id: arrival.region.to_string(),
        visitor_id: arrival.visitor.clone(),
        skills: arrival
            .skills
            .iter()
            .map(|s| api::SkillLevel {
                skill: s.skill.clone(),
                level: s.level,
            })
            .collect(),
        priority: arrival.priority,
        weight: arrival.weight,
        topic: arrival.topic.clone(),
    };
    score.offered();
    let began = Instant::now();
    let started = call(&ways, end, async |way| {
        VisitorServiceClient::new(way)
            .start_chat(request.clone())
            .await
    })
    .await;
    let chat = match started.map(|s| s.into_inner().chat) {
        Ok(Some(chat)) => chat,
        Ok(None) => return score.refused("a chat was taken in without a name"),
        Err(status) => return score.refused(status.message()),
    };
    let id = chat.chat_id.clone();
    score.accepted(&id, &arrival, &chat);
    let patience = began + Duration::from_millis(u64::from(arrival.patience_ms) / HUMAN);
    let mut leaving = false;
    let mut answered = false;
    'watch: for way in ways.0.iter().cycle() {
        if Instant::now() >= end {
            return;
        }
        let ask = api::WatchChatRequest {
            chat_id: id.clone(),
        };
        let mut watched =
            match timeout(CALL, VisitorServiceClient::new(way.clone()).watch_chat(ask)).await {
                Ok(Ok(watched)) => watched.into_inner(),
                _ => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
        loop {
            tokio::select! {
                () = sleep_until(end) => return,
                () = sleep_until(patience), if !answered && !leaving => {
                    leaving = true;
                    let leave = api::LeaveChatRequest { request_id: format!("demo-leave-{number}"), chat_id: id.clone() };
                    // The watch tells what came of it.
                    let _ = call(&ways, end, async |way| VisitorServiceClient::new(way).leave_chat(leave.clone()).await).await;
                }
                seen = watched.next() => match seen {
                    Some(Ok(now)) => {
                        answered |= now.answered_ms > 0;
                        // Who is told to come back later does not sit and wait.
                        leaving |= now.phase == i32::from(api::ChatPhase::Deferred);
                        score.seen(&now);
                        if now.phase == i32::from(api::ChatPhase::Closed) {
                            break 'watch;
                        }
                    }
                    Some(Err(_)) | None => {
                        sleep(PAUSE).await;
                        continue 'watch;
                    }
                },
            }
        }
    }
    if answered {
        let rate = api::RateChatRequest {
            request_id: format!("demo-rate-{number}"),
            chat_id: id,
            stars: 3 + (number % 3) as u32,
            comment: String::new(),
        };
        let _ = call(&ways, end, async |way| {
            VisitorServiceClient::new(way).rate_chat(rate.clone()).await
        })
        .await;
    }
}

/// Plays one agent through the shifts given, as instants of this process.
pub async fn agent(
    number: usize,
    id: String,
    shifts: Vec<(Instant, Instant)>,
    ways: Ways,
    end: Instant,
    score: Arc<Score>,
) {
    for (from, to) in shifts {
        sleep_until(from).await;
        let mut session = Session {
            number,
            id: id.clone(),
            to,
            end,
            score: score.clone(),
            epoch: 0,
            next: 0,
            chats: BTreeMap::new(),
            due: BTreeMap::new(),
            draining: false,
        };
        for way in ways.0.iter().cycle() {
            if Instant::now() >= end || session.play(way).await {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

struct Session {
    number: usize,
    id: String,
    to: Instant,
    end: Instant,
    score: Arc<Score>,
    epoch: u64,
    next: u64,
    /// Chats held, and what is to be done with them.
    chats: BTreeMap<String, api::ChatPhase>,
    due: BTreeMap<Instant, Vec<Action>>,
    draining: bool,
}

impl Session {
    fn message(&mut self, action: Action) -> api::AgentMessage {
        self.next += 1;
        api::AgentMessage {
            request_id: format!("{}-{}", self.epoch, self.next),
            action: Some(action),
        }
    }

    fn later(&mut self, after: Duration, action: Action) {
        self.due
            .entry(Instant::now() + after)
            .or_default()
            .push(action);
    }

    /// One stream; true when the shift is over.
    async fn play(&mut self, way: &Channel) -> bool {
        let (send, receive) = mpsc::channel(64);
        let hello = api::Hello {
            agent_id: self.id.clone(),
            resume_epoch: self.epoch,
            grace_ms: GRACE_MS,
        };
        // A hello of its own id each time: the answer of an earlier one would be an old session.
        let hello = api::AgentMessage {
            request_id: format!("hello-{}", uuid::Uuid::now_v7()),
            action: Some(Action::Hello(hello)),
        };
        if send.send(hello).await.is_err() {
            return false;
        }
        let mut client = AgentServiceClient::new(way.clone());
        let Ok(Ok(stream)) = timeout(CALL, client.work(ReceiverStream::new(receive))).await else {
            return false;
        };
        let mut stream = stream.into_inner();
        loop {
            let due = self.due.first_key_value().map_or(self.end, |(at, _)| *at);
            tokio::select! {
                () = sleep_until(self.end) => return true,
                () = sleep_until(due), if !self.due.is_empty() => {
                    let actions = self.due.pop_first().map(|(_, actions)| actions).unwrap_or_default();
                    for action in actions {
                        let message = self.message(action);
                        if send.send(message).await.is_err() {
                            return false;
                        }
                    }
                }
                () = sleep_until(self.to), if !self.draining => {
                    self.draining = true;
                    let drain = Action::SetPresence(api::SetPresence { presence: api::Presence::Draining.into(), ..Default::default() });
                    let message = self.message(drain);
                    if send.send(message).await.is_err() {
                        return false;
                    }
                    if self.chats.is_empty() {
                        self.due.insert(Instant::now(), vec![Action::SignOff(api::SignOff {})]);
                    }
                }
                event = stream.next() => match event {
                    Some(Ok(message)) => match message.event {
                        Some(Event::Fenced(_)) => return false,
                        Some(event) => self.hear(event),
                        None => {}
                    },
                    // In order after a sign-off, broken otherwise.
                    None => return self.draining && self.chats.is_empty(),
                    Some(Err(_)) => return false,
                },
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Welcome(welcome) => {
                self.epoch = welcome.epoch;
                self.due.clear();
                self.chats.clear();
                if !self.draining {
                    let ready = Action::SetPresence(api::SetPresence {
                        presence: api::Presence::Available.into(),
                        ..Default::default()
                    });
                    self.due.insert(Instant::now(), vec![ready]);
                }
                for chat in welcome.chats {
                    self.hold(chat);
                }
            }
            Event::Offer(offer) => {
                let Some(chat) = offer.chat else { return };
                // From here on there is a chat to be waited for before signing off.
                self.chats
                    .insert(chat.chat_id.clone(), api::ChatPhase::Offered);
                // A glance and a click: 150 to 900 ms, different for every agent and chat.
                let glance =
                    150 + (self.number as u64 * 37 + offer.assignment * 101 + self.next * 53) % 750;
                self.later(
                    Duration::from_millis(glance),
                    Action::AcceptOffer(api::AcceptOffer {
                        chat_id: chat.chat_id,
                        assignment: offer.assignment,
                    }),
                );
            }
            Event::Chat(chat) => self.hold(chat),
            Event::State(state) => self.score.load(&state),
            Event::OfferWithdrawn(gone) => drop(self.chats.remove(&gone.chat_id)),
            Event::Reply(_) | Event::Fenced(_) => {}
        }
        if self.draining && self.chats.is_empty() && self.due.is_empty() {
            self.due
                .insert(Instant::now(), vec![Action::SignOff(api::SignOff {})]);
        }
    }

    fn hold(&mut self, chat: api::Chat) {
        let phase = api::ChatPhase::try_from(chat.phase).unwrap_or_default();
        let mine = chat.agent_id == self.id;
        let before = self.chats.get(&chat.chat_id).copied();
        match phase {
            api::ChatPhase::Active if mine => {
                self.chats.insert(chat.chat_id.clone(), phase);
                if before != Some(phase) {
                    let talk = self.score.talk_ms(&chat.chat_id);
                    self.later(
                        Duration::from_millis(u64::from(talk) / HUMAN),
                        Action::EndChat(api::EndChat {
                            chat_id: chat.chat_id,
                        }),
                    );
                }
            }
            api::ChatPhase::WrapUp if mine => {
                self.chats.insert(chat.chat_id.clone(), phase);
                if before != Some(phase) {
                    self.later(
                        Duration::from_millis(20_000 / HUMAN),
                        Action::FinishWrapUp(api::FinishWrapUp {
                            chat_id: chat.chat_id,
                        }),
                    );
                }
            }
            _ => drop(self.chats.remove(&chat.chat_id)),
        }
    }
}
