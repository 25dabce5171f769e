//! A simulated agent, over the same API as a real one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_traffic::draw::Draw;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::Habits;
use super::notes::{Act, Deed, Hold, HoldId, Notes};
use super::ways::{CALL, Evening, PAUSE, Ways};

/// Tells an agent's draws from everybody else's.
const STREAM: u64 = 1 << 32;

/// One agent and the day's shifts.
pub struct Agent<N> {
    /// Tells apart how fast agents click.
    pub number: u64,
    /// Who.
    pub id: String,
    /// Shifts, as instants of this process.
    pub shifts: Vec<(Instant, Instant)>,
    /// How to reach the cluster.
    pub ways: Ways,
    /// When to stop.
    pub evening: Evening,
    /// What people do.
    pub habits: Arc<Habits>,
    /// Where to note what was told.
    pub notes: Arc<N>,
}

impl<N: Notes> Agent<N> {
    /// Works every shift.
    pub async fn play(mut self) {
        for (from, to) in self.shifts.clone() {
            tokio::select! {
                () = sleep_until(from) => {}
                () = self.evening.stopped() => return,
            }
            let mut session = Session {
                draw: Draw::new(self.habits.seed, STREAM | self.number),
                id: self.id.clone(),
                to,
                evening: self.evening.clone(),
                habits: self.habits.clone(),
                notes: self.notes.clone(),
                on: false,
                epoch: 0,
                next: 0,
                chats: BTreeMap::new(),
                asked: BTreeMap::new(),
                due: BTreeMap::new(),
                draining: false,
                leaves: false,
            };
            for way in self.ways.0.iter().cycle() {
                let end = session.play(way).await;
                if std::mem::take(&mut session.on) {
                    let broken = matches!(end, End::Broken);
                    self.notes.signed_off(&self.id, broken);
                }
                match end {
                    End::ShiftOver => break,
                    End::Stopped => return,
                    End::Broken => sleep(PAUSE).await,
                }
            }
        }
    }
}

/// How a stream ends.
enum End {
    ShiftOver,
    Broken,
    Stopped,
}

/// A chat in hand, as told.
#[derive(Clone, Copy)]
struct InHand {
    phase: api::ChatPhase,
    held: HoldId,
    owned: Option<HoldId>,
}

struct Session<N> {
    draw: Draw,
    id: String,
    to: Instant,
    evening: Evening,
    habits: Arc<Habits>,
    notes: Arc<N>,
    /// Whether there is one.
    on: bool,
    epoch: u64,
    next: u64,
    chats: BTreeMap<String, InHand>,
    /// Acts sent, by request id, until their answer comes, and when they were meant to be.
    asked: BTreeMap<String, (Act, String, Instant)>,
    /// What is to be done next, and when.
    due: BTreeMap<Instant, Vec<Action>>,
    draining: bool,
    /// Whether this session was told to end.
    leaves: bool,
}

impl<N: Notes> Session<N> {
    fn message(&mut self, action: Action, meant: Instant) -> api::AgentMessage {
        self.next += 1;
        let request_id = format!("{}-{}", self.epoch, self.next);
        let act = match &action {
            Action::AcceptOffer(a) => Some((Act::Accept, a.chat_id.clone())),
            Action::EndChat(e) => Some((Act::End, e.chat_id.clone())),
            Action::FinishWrapUp(f) => Some((Act::WriteUp, f.chat_id.clone())),
            _ => None,
        };
        if let Some((act, chat)) = act {
            self.asked.insert(request_id.clone(), (act, chat, meant));
        }
        api::AgentMessage {
            request_id,
            action: Some(action),
        }
    }

    fn later(&mut self, after: Duration, action: Action) {
        let at = Instant::now() + after;
        self.due.entry(at).or_default().push(action);
    }

    /// One stream.
    async fn play(&mut self, way: &Channel) -> End {
        let asked = Instant::now();
        let (send, receive) = mpsc::channel(64);
        let hello = api::Hello {
            agent_id: self.id.clone(),
            resume_epoch: self.epoch,
            grace_ms: self.habits.grace_ms,
        };
        // A hello of its own id each time: the answer of an earlier one would be an old session.
        let hello = api::AgentMessage {
            request_id: format!("hello-{}", uuid::Uuid::now_v7()),
            action: Some(Action::Hello(hello)),
        };
        if send.send(hello).await.is_err() {
            return End::Broken;
        }
        let mut client = AgentServiceClient::new(way.clone());
        let opened = tokio::select! {
            opened = timeout(CALL, client.work(ReceiverStream::new(receive))) => opened,
            () = self.evening.stopped() => return End::Stopped,
        };
        let Ok(Ok(stream)) = opened else {
            return End::Broken;
        };
        let mut stream = stream.into_inner();
        loop {
            // Without anything to do the branch is never polled; any instant will do.
            let due = self.due.first_key_value().map_or(self.to, |(at, _)| *at);
            let mut meant = Instant::now();
            let actions = tokio::select! {
                () = self.evening.stopped() => return End::Stopped,
                () = sleep_until(due), if !self.due.is_empty() => {
                    meant = due;
                    self.due.pop_first().map(|(_, actions)| actions).unwrap_or_default()
                }
                () = sleep_until(self.to), if !self.draining => {
                    self.draining = true;
                    let presence = api::Presence::Draining.into();
                    let mut actions = vec![Action::SetPresence(api::SetPresence { presence, ..Default::default() })];
                    if self.chats.is_empty() {
                        self.leaves = true;
                        actions.push(Action::SignOff(api::SignOff {}));
                    }
                    actions
                }
                event = stream.next() => {
                    match event {
                        Some(Ok(message)) => match message.event {
                            Some(Event::Fenced(_)) => return End::Broken,
                            Some(event) => self.hear(event, asked),
                            None => {}
                        },
                        // In order after a sign-off, broken otherwise.
                        None if self.draining && self.chats.is_empty() => return End::ShiftOver,
                        None | Some(Err(_)) => return End::Broken,
                    }
                    Vec::new()
                }
            };
            for action in actions {
                let message = self.message(action, meant);
                if send.send(message).await.is_err() {
                    return End::Broken;
                }
            }
        }
    }

    fn hear(&mut self, event: Event, since: Instant) {
        match event {
            Event::Welcome(welcome) => {
                self.epoch = welcome.epoch;
                self.on = true;
                self.leaves = false;
                self.notes.signed_on(&self.id, since.elapsed());
                self.due.clear();
                self.asked.clear();
                // What was held before the stream broke has no known end; the chats' stories tell.
                self.chats.clear();
                if !self.draining {
                    let presence = api::Presence::Available.into();
                    let ready = Action::SetPresence(api::SetPresence {
                        presence,
                        ..Default::default()
                    });
                    self.later(Duration::ZERO, ready);
                }
                if let Some(state) = &welcome.state {
                    self.notes.load(state);
                }
                for chat in welcome.chats {
                    self.told(chat);
                }
            }
            Event::Offer(offer) => {
                let Some(chat) = offer.chat else { return };
                self.notes.offered(&chat);
                // From here on there is a chat to be waited for before signing off.
                self.told(api::Chat {
                    phase: api::ChatPhase::Offered.into(),
                    ..chat.clone()
                });
                let look = self.habits.drawn(&mut self.draw, self.habits.look);
                let accept = Action::AcceptOffer(api::AcceptOffer {
                    chat_id: chat.chat_id,
                    assignment: offer.assignment,
                });
                self.later(look, accept);
            }
            Event::Chat(chat) => self.told(chat),
            Event::State(state) => self.notes.load(&state),
            // The message names no log index; the chat's story tells where the offer ended.
            Event::OfferWithdrawn(gone) => drop(self.chats.remove(&gone.chat_id)),
            Event::Reply(reply) => {
                let asked = self.asked.remove(&reply.request_id);
                if let Some((act, chat, meant)) = asked.filter(|_| reply.code == 0) {
                    let deed = Deed {
                        act,
                        chat,
                        agent: self.id.clone(),
                        region: String::new(),
                        index: reply.log_index,
                    };
                    self.notes.done(deed, meant.elapsed());
                }
            }
            Event::Fenced(_) => {}
        }
        // What was still to be done is of chats that are gone.
        if self.draining && self.chats.is_empty() && !self.leaves {
            self.leaves = true;
            self.due.clear();
            self.later(Duration::ZERO, Action::SignOff(api::SignOff {}));
        }
    }

    /// What the agent is told of a chat: notes it, and plans what a person would do.
    fn told(&mut self, chat: api::Chat) {
        self.notes.seen(&chat);
        let (id, index) = (chat.chat_id.clone(), chat.log_index);
        let before = self.chats.get(&id).copied();
        let phase = chat.phase();
        let mine = chat.agent_id == self.id
            && matches!(
                phase,
                api::ChatPhase::Offered | api::ChatPhase::Active | api::ChatPhase::WrapUp
            );
        if !mine {
            self.chats.remove(&id);
            for hold in before.iter().flat_map(|b| [Some(b.held), b.owned]) {
                hold.into_iter()
                    .for_each(|hold| self.notes.release(hold, index));
            }
            return;
        }
        let hold = |owned| Hold {
            agent: self.id.clone(),
            chat: id.clone(),
            from: index,
            until: None,
            owned,
        };
        let active = phase == api::ChatPhase::Active;
        let held = before.map_or_else(|| self.notes.hold(hold(false)), |b| b.held);
        let owned = match before.and_then(|b| b.owned) {
            None if active => Some(self.notes.hold(hold(true))),
            Some(owned) if !active => {
                self.notes.release(owned, index);
                None
            }
            owned => owned,
        };
        let in_hand = InHand { phase, held, owned };
        self.chats.insert(id.clone(), in_hand);
        if before.is_some_and(|b| b.phase == phase) {
            return;
        }
        match phase {
            api::ChatPhase::Active => {
                let said = self.notes.talk_ms(&id);
                let said = said.map(|ms| self.habits.here(ms.into()));
                let talk =
                    said.unwrap_or_else(|| self.habits.drawn(&mut self.draw, self.habits.talk));
                self.later(talk, Action::EndChat(api::EndChat { chat_id: id }));
            }
            api::ChatPhase::WrapUp => {
                let write_up = self.habits.drawn(&mut self.draw, self.habits.write_up);
                let finish = api::FinishWrapUp { chat_id: id };
                self.later(write_up, Action::FinishWrapUp(finish));
            }
            _ => {}
        }
    }
}
