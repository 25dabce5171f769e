//! A simulated agent, over the same API as a real one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::ledger::{Act, Deed, Hold, HoldId, Ledger};
use super::plan::HUMAN;
use super::ways::{CALL, Evening, PAUSE, Ways};

/// How long a broken session's chats wait for it.
const GRACE_MS: u32 = 8_000;
/// How long a chat is written up, in ms of life.
const WRAP_UP_MS: u64 = 20_000;

/// One agent and the day's shifts.
pub struct Agent {
    /// Tells apart how fast agents click.
    pub number: usize,
    /// Who.
    pub id: String,
    /// Shifts, as instants of this process.
    pub shifts: Vec<(Instant, Instant)>,
    /// How to reach the cluster.
    pub ways: Ways,
    /// When to stop.
    pub evening: Evening,
    /// Where to note what was told.
    pub ledger: Arc<Ledger>,
}

impl Agent {
    /// Works every shift.
    pub async fn play(mut self) {
        for (from, to) in self.shifts.clone() {
            tokio::select! {
                () = sleep_until(from) => {}
                () = self.evening.stopped() => return,
            }
            let mut session = Session {
                number: self.number,
                id: self.id.clone(),
                to,
                evening: self.evening.clone(),
                ledger: self.ledger.clone(),
                epoch: 0,
                next: 0,
                chats: BTreeMap::new(),
                asked: BTreeMap::new(),
                due: BTreeMap::new(),
                draining: false,
            };
            for way in self.ways.0.iter().cycle() {
                match session.play(way).await {
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

struct Session {
    number: usize,
    id: String,
    to: Instant,
    evening: Evening,
    ledger: Arc<Ledger>,
    epoch: u64,
    next: u64,
    chats: BTreeMap<String, InHand>,
    /// Acts sent, by request id, until their answer comes.
    asked: BTreeMap<String, (Act, String)>,
    /// What is to be done next, and when.
    due: BTreeMap<Instant, Vec<Action>>,
    draining: bool,
}

impl Session {
    fn message(&mut self, action: Action) -> api::AgentMessage {
        self.next += 1;
        let request_id = format!("{}-{}", self.epoch, self.next);
        let act = match &action {
            Action::AcceptOffer(a) => Some((Act::Accept, a.chat_id.clone())),
            Action::EndChat(e) => Some((Act::End, e.chat_id.clone())),
            _ => None,
        };
        if let Some(act) = act {
            self.asked.insert(request_id.clone(), act);
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
            let actions = tokio::select! {
                () = self.evening.stopped() => return End::Stopped,
                () = sleep_until(due), if !self.due.is_empty() => {
                    self.due.pop_first().map(|(_, actions)| actions).unwrap_or_default()
                }
                () = sleep_until(self.to), if !self.draining => {
                    self.draining = true;
                    let presence = api::Presence::Draining.into();
                    let mut actions = vec![Action::SetPresence(api::SetPresence { presence, ..Default::default() })];
                    if self.chats.is_empty() {
                        actions.push(Action::SignOff(api::SignOff {}));
                    }
                    actions
                }
                event = stream.next() => {
                    match event {
                        Some(Ok(message)) => match message.event {
                            Some(Event::Fenced(_)) => return End::Broken,
                            Some(event) => self.hear(event),
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
                let message = self.message(action);
                if send.send(message).await.is_err() {
                    return End::Broken;
                }
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Welcome(welcome) => {
                self.epoch = welcome.epoch;
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
                    self.ledger.load(state);
                }
                for chat in welcome.chats {
                    self.told(chat);
                }
            }
            Event::Offer(offer) => {
                let Some(chat) = offer.chat else { return };
                // From here on there is a chat to be waited for before signing off.
                self.told(api::Chat {
                    phase: api::ChatPhase::Offered.into(),
                    ..chat.clone()
                });
                // A glance and a click: 150 to 900 ms, different for every agent and chat.
                let glance =
                    150 + (self.number as u64 * 37 + offer.assignment * 101 + self.next * 53) % 750;
                let accept = Action::AcceptOffer(api::AcceptOffer {
                    chat_id: chat.chat_id,
                    assignment: offer.assignment,
                });
                self.later(Duration::from_millis(glance), accept);
            }
            Event::Chat(chat) => self.told(chat),
            Event::State(state) => self.ledger.load(&state),
            // The message names no log index; the chat's story tells where the offer ended.
            Event::OfferWithdrawn(gone) => drop(self.chats.remove(&gone.chat_id)),
            Event::Reply(reply) => {
                let asked = self.asked.remove(&reply.request_id);
                if let Some((act, chat)) = asked.filter(|_| reply.code == 0) {
                    self.ledger.done(Deed {
                        act,
                        chat,
                        agent: self.id.clone(),
                        index: reply.log_index,
                    });
                }
            }
            Event::Fenced(_) => {}
        }
        if self.draining && self.chats.is_empty() && self.due.is_empty() {
            self.later(Duration::ZERO, Action::SignOff(api::SignOff {}));
        }
    }

    /// What the agent is told of a chat: notes it, and plans what a person would do.
    fn told(&mut self, chat: api::Chat) {
        self.ledger.seen(&chat);
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
                    .for_each(|hold| self.ledger.release(hold, index));
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
        let held = before.map_or_else(|| self.ledger.hold(hold(false)), |b| b.held);
        let owned = match before.and_then(|b| b.owned) {
            None if active => Some(self.ledger.hold(hold(true))),
            Some(owned) if !active => {
                self.ledger.release(owned, index);
                None
            }
            owned => owned,
        };
        let in_hand = InHand { phase, held, owned };
        self.chats.insert(id.clone(), in_hand);
        if before.is_some_and(|b| b.phase == phase) {
            return;
        }
        let talk = u64::from(self.ledger.talk_ms(&id)) / HUMAN;
        match phase {
            api::ChatPhase::Active => self.later(
                Duration::from_millis(talk),
                Action::EndChat(api::EndChat { chat_id: id }),
            ),
            api::ChatPhase::WrapUp => self.later(
                Duration::from_millis(WRAP_UP_MS / HUMAN),
                Action::FinishWrapUp(api::FinishWrapUp { chat_id: id }),
            ),
            _ => {}
        }
    }
}
