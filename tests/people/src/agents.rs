//! Agents: who come when their shift begins, take their time, lose their desktops, and sometimes lie.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::judge::Deed;
use crate::ledger::Asked;
use crate::stage::{ANSWER_WITHIN, Person, Stage, Turn, between};
use crate::world::home;

/// One agent.
struct Agent {
    stage: Stage,
    me: Person,
    name: String,
    random: ChaCha8Rng,
    /// The last session.
    epoch: u64,
    /// Messages sent in all.
    sent: u64,
}

/// One agent's working day: at a desktop that may break, at whichever node lets them in.
pub async fn agent(stage: Stage, number: u64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let region = random.random_range(0..3);
    let mut agent = Agent {
        me: Person {
            number: 1_000_000 + number,
            region,
        },
        name: format!("a{number}"),
        random,
        epoch: 0,
        sent: 0,
        stage,
    };
    for (from, to) in agent.stage.day.shifts(home(number)) {
        // Some are early, some late, some stay on.
        let from = from + between(&mut agent.random, 0, 1_500);
        let to = to + between(&mut agent.random, 0, 4_000);
        if !agent.rests_until(from).await {
            agent.works(Some(to)).await;
        }
    }
    agent.stage.comes(Turn::Evening).await;
    agent.works(None).await;
}

/// What ends a session.
enum End {
    /// The agent goes home.
    Leaves,
    /// Something else: they come back.
    Lost(String),
}

impl Agent {
    /// Whether the evening comes first.
    async fn rests_until(&self, at: Instant) -> bool {
        let pause = at.saturating_duration_since(Instant::now());
        self.stage.rests(pause, Turn::Evening).await
    }

    /// Works until a shift ends, or until the day is over.
    async fn works(&mut self, shift_ends: Option<Instant>) {
        let turn = match shift_ends {
            Some(_) => Turn::Evening,
            None => Turn::Over,
        };
        while self.stage.now() < turn {
            let node = self.stage.some_node(&mut self.random);
            match self.session(node, shift_ends, turn).await {
                End::Leaves => {
                    self.tell("goes home");
                    return;
                }
                End::Lost(why) => self.tell(format!("loses node {node}: {why}")),
            }
            let pause = between(&mut self.random, 100, 3_000);
            if self.stage.rests(pause, turn).await {
                return;
            }
        }
    }

    fn tell(&self, what: impl AsRef<str>) {
        let what = format!("{} {}", self.name, what.as_ref());
        self.stage.trace.tell(what);
    }

    fn message(&mut self, action: Action) -> AgentMessage {
        self.sent += 1;
        AgentMessage {
            request_id: format!("{}-{}", self.name, self.sent),
            action: Some(action),
        }
    }

    /// One session, until it ends.
    async fn session(&mut self, node: u64, shift_ends: Option<Instant>, turn: Turn) -> End {
        let (send, receive) = mpsc::channel(64);
        let hello = self.message(Action::Hello(Hello {
            agent_id: self.name.clone(),
            resume_epoch: self.epoch,
            grace_ms: 4_000,
        }));
        let _ = send.send(hello).await;
        let mut client = AgentServiceClient::new(self.stage.ways.channel(self.me, node));
        let opening = client.work(ReceiverStream::new(receive));
        let stream = match timeout(ANSWER_WITHIN, opening).await {
            Ok(Ok(stream)) => stream.into_inner(),
            Ok(Err(status)) => return End::Lost(format!("{:?}", status.code())),
            Err(_) => return End::Lost("no answer".to_owned()),
        };
        let breaks = match shift_ends {
            Some(_) => between(&mut self.random, 3_000, 60_000),
            None => Duration::from_secs(3_600),
        };
        let desk = Desk {
            send,
            plan: BTreeMap::new(),
            planned: 0,
            asked: BTreeMap::new(),
            calm: shift_ends.is_none(),
        };
        self.sits(desk, stream, Instant::now() + breaks, shift_ends, turn)
            .await
    }

    async fn sits(
        &mut self,
        mut desk: Desk,
        mut stream: tonic::Streaming<ServerMessage>,
        breaks: Instant,
        shift_ends: Option<Instant>,
        turn: Turn,
    ) -> End {
        let stage = self.stage.clone();
        loop {
            let next = desk.plan.keys().next().copied();
            let wake = next.map_or(breaks, |(at, _)| at);
            let leaves = shift_ends.unwrap_or(breaks);
            let event = tokio::select! {
                biased;
                () = stage.comes(turn) => return End::Leaves,
                () = sleep_until(breaks) => return End::Lost("the desktop breaks".to_owned()),
                () = sleep_until(leaves), if shift_ends.is_some() => {
                    if self.random.random_bool(0.7) {
                        let bye = self.message(Action::SignOff(SignOff {}));
                        let _ = desk.send.send(bye).await;
                    }
                    return End::Leaves;
                }
                () = sleep_until(wake), if next.is_some() => {
                    if let Some(action) = next.and_then(|key| desk.plan.remove(&key))
                        && !self.does(&mut desk, action).await
                    {
                        return End::Lost("the stream ends".to_owned());
                    }
                    continue;
                }
                received = stream.message() => match received {
                    Ok(Some(message)) => message.event,
                    Ok(None) => return End::Lost("the stream ends".to_owned()),
                    Err(status) => return End::Lost(format!("{:?}", status.code())),
                },
            };
            let Some(event) = event else { continue };
            if let Some(end) = self.hears(&mut desk, event) {
                return end;
            }
        }
    }

    /// Sends one message, now and then twice, now and then with a lie before it; whether the stream still stands.
    async fn does(&mut self, desk: &mut Desk, action: Action) -> bool {
        if !desk.calm
            && self.random.random_bool(0.05)
            && let Some(lie) = self.lie()
        {
            let lie = self.message(lie);
            desk.asked.insert(lie.request_id.clone(), self.asks(&lie));
            if desk.send.send(lie).await.is_err() {
                return false;
            }
        }
        let message = self.message(action);
        let asked = self.asks(&message);
        desk.asked.insert(message.request_id.clone(), asked);
        if self.random.random_bool(0.05) && desk.send.send(message.clone()).await.is_err() {
            return false;
        }
        desk.send.send(message).await.is_ok()
    }

    /// As whom they act in this session.
    fn actor(&self) -> String {
        format!("agent:{}/{}", self.name, self.epoch)
    }

    /// Right before a message is sent for the first time.
    fn asks(&self, message: &AgentMessage) -> Asked {
        let name = self.name.clone();
        let (chat, deed) = match &message.action {
            Some(Action::AcceptOffer(a)) => (&a.chat_id, Deed::Accept(name, a.assignment)),
            Some(Action::DeclineOffer(d)) => (&d.chat_id, Deed::Decline(name, d.assignment)),
            Some(Action::EndChat(e)) => (&e.chat_id, Deed::End(name)),
            Some(Action::FinishWrapUp(f)) => (&f.chat_id, Deed::Finish(name)),
            _ => return self.stage.ledger.asks(),
        };
        let request = &message.request_id;
        self.stage.ledger.acts(&self.actor(), request, chat, deed)
    }

    /// Something about a chat that may be none of theirs.
    fn lie(&mut self) -> Option<Action> {
        let chat_id = self.stage.some_chat(&mut self.random)?;
        Some(match self.random.random_range(0..4) {
            0 => Action::EndChat(EndChat { chat_id }),
            1 => Action::FinishWrapUp(FinishWrapUp { chat_id }),
            2 => Action::DeclineOffer(DeclineOffer {
                chat_id,
                assignment: self.random.random_range(0..4),
                reason: String::new(),
            }),
            _ => Action::AcceptOffer(AcceptOffer {
                chat_id,
                assignment: self.random.random_range(0..4),
            }),
        })
    }

    /// Takes in what the node says; how the session ends, if it does.
    fn hears(&mut self, desk: &mut Desk, event: Event) -> Option<End> {
        let random = &mut self.random;
        match event {
            Event::Welcome(welcome) => {
                self.epoch = welcome.epoch;
                desk.later(random, 0, 500, available());
                for chat in &welcome.chats {
                    if let Some(action) = talk(chat) {
                        desk.later(random, 300, 10_000, action);
                    }
                }
                self.tell(format!("signs on, session {}", self.epoch));
            }
            Event::Offer(offer) => {
                let chat_id = offer.chat.map(|c| c.chat_id).unwrap_or_default();
                let assignment = offer.assignment;
                match random.random_range(0..10) {
                    0 if !desk.calm => {}
                    1 if !desk.calm => {
                        let decline = DeclineOffer {
                            chat_id,
                            assignment,
                            reason: "busy".to_owned(),
                        };
                        desk.later(random, 100, 4_000, Action::DeclineOffer(decline));
                    }
                    _ => {
                        let accept = AcceptOffer {
                            chat_id,
                            assignment,
                        };
                        desk.later(random, 100, 5_500, Action::AcceptOffer(accept));
                    }
                }
            }
            Event::Chat(chat) => {
                if let Some(action) = talk(&chat) {
                    desk.later(random, 300, 10_000, action);
                }
                if chat.phase() == ChatPhase::Active {
                    self.has(chat.chat_id);
                }
            }
            Event::State(state) if state.presence() == Presence::NotResponding => {
                desk.later(random, 300, 5_000, available());
            }
            Event::Reply(reply) => {
                if let Some(asked) = desk.asked.remove(&reply.request_id) {
                    let who = self.actor();
                    let (yes, index) = (reply.code == 0, Some(reply.log_index));
                    self.stage
                        .ledger
                        .answers(&who, &reply.request_id, asked, yes, index);
                }
            }
            Event::Fenced(_) => return Some(End::Lost("another session took over".to_owned())),
            Event::OfferWithdrawn(_) | Event::State(_) => {}
        }
        None
    }

    /// They were told that a chat is theirs.
    fn has(&self, chat: String) {
        let mut promises = self.stage.promises.lock();
        let owners = promises.accepted.entry(chat.clone()).or_default();
        if owners.last().is_none_or(|last| *last != self.name) {
            owners.push(self.name.clone());
            self.tell(format!("has {chat}"));
        }
    }
}

/// What an agent has before them.
struct Desk {
    send: mpsc::Sender<AgentMessage>,
    /// What they do next, and when.
    plan: BTreeMap<(Instant, u64), Action>,
    planned: u64,
    /// What was asked and not answered yet.
    asked: BTreeMap<String, Asked>,
    /// They neither break, nor lie, nor dawdle.
    calm: bool,
}

impl Desk {
    fn later(&mut self, random: &mut ChaCha8Rng, least: u64, most: u64, action: Action) {
        self.planned += 1;
        let (least, most) = match self.calm {
            true => (least.min(50), most.min(1_000)),
            false => (least, most),
        };
        let at = Instant::now() + between(random, least, most);
        self.plan.insert((at, self.planned), action);
    }
}

fn available() -> Action {
    Action::SetPresence(SetPresence {
        presence: Presence::Available.into(),
        overtime: false,
    })
}

/// What comes next in a chat of theirs.
fn talk(chat: &Chat) -> Option<Action> {
    let chat_id = chat.chat_id.clone();
    match chat.phase() {
        ChatPhase::Active => Some(Action::EndChat(EndChat { chat_id })),
        ChatPhase::WrapUp => Some(Action::FinishWrapUp(FinishWrapUp { chat_id })),
        _ => None,
    }
}
