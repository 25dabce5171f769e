//! What an agent's desktop calls: one stream is one session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_server::AgentService;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::*;
use meridian_routing::command::{Command, TransferTo};
use meridian_routing::effect::Answer;
use meridian_routing::ids::*;
use meridian_routing::model::{Phase, Presence as Chosen, Purpose as What, Tracking};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use super::status::{ended, failed, invalid, rejected};
use super::{actor, origin, request_id};
use crate::convert::{api, view};
use crate::delivery::Wake;
use crate::driver::{DriveError, Driver, Origin};
use crate::gate::Source;

/// By when what goes on elsewhere is to be closed where nothing is said, in ms: a day.
const TRACKED_MS: u32 = 86_400_000;
/// Grace of a session that names none, in ms.
const GRACE_MS: u32 = 15_000;
/// How long a stream may be silent before its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Messages a slow desktop may be behind before the stream waits for it.
const OUTBOX: usize = 64;

/// Serves agents.
pub struct Agents {
    driver: Arc<Driver>,
}

impl Agents {
    /// Serves from this node's driver.
    pub fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }
}

type Out = mpsc::Sender<Result<ServerMessage, Status>>;

#[tonic::async_trait]
impl AgentService for Agents {
    type WorkStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let origin = origin(&request);
        if !*self.driver.readiness().borrow() {
            return Err(failed(&DriveError::Starting));
        }
        let mut messages = request.into_inner();
        let first = tokio::time::timeout(HELLO_WITHIN, messages.message());
        let first = first
            .await
            .map_err(|_| invalid("hello", "did not come in time; send it at once"))??
            .ok_or_else(|| invalid("hello", "the stream ended before the first message"))?;
        let Some(Action::Hello(hello)) = first.action else {
            return Err(invalid("action", "the first message must be hello"));
        };
        let id = request_id(&first.request_id)?;
        let (out, receive) = mpsc::channel(OUTBOX);
        let (opened, answer) = oneshot::channel();
        // A task of its own: whoever hangs up while the session is being opened must not leave one without a
        // stream behind.
        tokio::spawn(open(
            self.driver.clone(),
            Opening {
                id,
                hello,
                origin,
                messages,
                out,
                opened,
            },
        ));
        answer
            .await
            .map_err(|_| Status::internal("the session's task ended early"))??;
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

/// A session to be opened, and where it is told.
struct Opening {
    id: String,
    hello: Hello,
    origin: Origin,
    messages: Streaming<AgentMessage>,
    out: Out,
    opened: oneshot::Sender<Result<(), Status>>,
}

/// Opens a session and plays it to its end.
async fn open(driver: Arc<Driver>, opening: Opening) {
    let Hello {
        agent_id,
        resume_epoch,
        grace_ms,
    } = opening.hello;
    let agent = AgentId::from(agent_id);
    let wake = driver.delivery().agent(agent.clone());
    let command = Command::OpenSession {
        agent: agent.clone(),
        node: driver.node_id(),
        resume: resume_epoch,
        grace_ms: if grace_ms == 0 { GRACE_MS } else { grace_ms },
    };
    let who = actor("agent", agent.as_str());
    let origin = opening.origin;
    let source = origin.source;
    let written = driver.write(opening.id, who, origin, command).await;
    let epoch = match written.map(|w| w.answer) {
        Ok(Answer::Session { epoch }) => epoch,
        Ok(_) => {
            let fault = Status::internal("a session was opened without an epoch");
            return drop(opening.opened.send(Err(fault)));
        }
        // One whose outcome is open and that opens after all is found to have no stream, and lost.
        Err(e) => return drop(opening.opened.send(Err(failed(&e)))),
    };
    let held = driver.sessions().hold(agent.clone(), epoch);
    // When nobody listens any more the session finds its stream closed.
    let _ = opening.opened.send(Ok(()));
    let session = Session {
        driver,
        agent,
        epoch,
        source,
        out: opening.out,
        wake,
        shown: Shown::default(),
        leaving: false,
    };
    session.run(opening.messages).await;
    drop(held);
}

/// One stream.
struct Session {
    driver: Arc<Driver>,
    agent: AgentId,
    epoch: Epoch,
    source: Option<Source>,
    out: Out,
    wake: Wake,
    shown: Shown,
    /// Whether the agent signs off: that the session is over then is no news.
    leaving: bool,
}

/// What the desktop was last told.
#[derive(Default)]
struct Shown {
    state: Option<AgentState>,
    offers: BTreeMap<ChatId, u64>,
    chats: BTreeMap<ChatId, Chat>,
}

/// How a session ends.
enum End {
    /// The stream broke: the grace begins.
    Lost,
    /// Signed off, fenced by a newer session, or lost already: nothing to report.
    Over,
}

impl Session {
    async fn run(mut self, mut messages: Streaming<AgentMessage>) {
        let (done, mut replies) = mpsc::channel(OUTBOX);
        let (orders, todo) = mpsc::channel(OUTBOX);
        // One after the other, so that a desktop may send "accept" and "end" without waiting in between. Ids
        // count per session: a desktop may number its messages anew.
        tokio::spawn(carry_out(
            self.driver.clone(),
            actor("agent", &format!("{}/{}", self.agent, self.epoch)),
            self.source,
            todo,
            done,
        ));
        let mut end = if self.welcome().await {
            None
        } else {
            Some(End::Lost)
        };
        while end.is_none() {
            // The next message is taken only when there is room for its order, and replies go first: so a
            // desktop that sends without end is slowed down, and nobody waits for one another.
            let next = async {
                let room = orders.reserve().await;
                (room, messages.message().await)
            };
            tokio::select! {
                biased;
                () = self.out.closed() => end = Some(End::Lost),
                () = self.driver.stopped() => end = self.send_away("the node stops").await,
                () = self.driver.agents_must_go() => {
                    end = self.send_away("the node has lost the cluster").await;
                }
                Some(reply) = replies.recv() => end = match reply {
                    Some(reply) => self.tell(Event::Reply(reply)).await,
                    None => Some(End::Over),
                },
                () = self.wake.notified() => end = self.show().await,
                (room, message) = next => end = match (room, message) {
                    (Ok(room), Ok(Some(message))) => self.act(message, room).await,
                    (Err(_), _) => Some(End::Over),
                    // Closed without a sign-off.
                    (_, Ok(None)) => Some(End::Lost),
                    (_, Err(why)) => {
                        // Broken, or what came was refused: whoever still listens is told why.
                        let _ = self.out.try_send(Err(why));
                        Some(End::Lost)
                    }
                },
            }
        }
        if let Some(End::Lost) = end {
            let lose = Command::LoseSession {
                agent: self.agent.clone(),
                epoch: self.epoch,
            };
            // Refused when a newer session took over meanwhile, which is as it should be. Not recorded where
            // no leader is to be had: then it is found to have no stream, see `sessions`.
            if let Err(e) = self.driver.write_own(lose).await {
                tracing::debug!(agent = %self.agent, epoch = self.epoch, error = %e, "a lost session was not recorded");
            }
        }
    }

    /// Tells the desktop to resume the session on another node.
    async fn send_away(&mut self, why: &str) -> Option<End> {
        let gone = ended(&format!("{why}; resume the session on another"));
        let _ = self.out.send(Err(gone)).await;
        Some(End::Lost)
    }

    async fn tell(&mut self, event: Event) -> Option<End> {
        let sent = self
            .out
            .send(Ok(ServerMessage { event: Some(event) }))
            .await;
        sent.is_err().then_some(End::Lost)
    }

    async fn welcome(&mut self) -> bool {
        let welcome = {
            let state = self.driver.state();
            let agent = state
                .agents()
                .get(&self.agent)
                .map(|a| view::agent(&state, a));
            self.shown.state = agent.clone().map(|a| AgentState { log_index: 0, ..a });
            let owned = state
                .held(&self.agent)
                .filter(|c| !matches!(c.phase, Phase::Offered { .. }));
            self.shown.chats = owned
                .map(|c| (c.id.clone(), view::chat(&state, c)))
                .collect();
            Welcome {
                epoch: self.epoch,
                state: agent,
                chats: self.shown.chats.values().cloned().collect(),
            }
        };
        self.tell(Event::Welcome(welcome)).await.is_none() && self.show().await.is_none()
    }

    /// Tells the desktop whatever differs from what it was told.
    async fn show(&mut self) -> Option<End> {
        let mut news = Vec::new();
        let (mut fenced, mut lost) = (None, false);
        {
            let state = self.driver.state();
            match state.agents().get(&self.agent) {
                None => fenced = Some(0),
                Some(a) if a.epoch != self.epoch => fenced = Some(a.epoch),
                // The others took this node for lost. Within its grace the session can be resumed.
                Some(a) if matches!(a.presence, Chosen::Lost | Chosen::Offline) => {
                    lost = !self.leaving;
                }
                Some(a) => {
                    let mut now = view::agent(&state, a);
                    now.log_index = 0;
                    if self.shown.state.as_ref() != Some(&now) {
                        self.shown.state = Some(now.clone());
                        now.log_index = state.meta().index;
                        news.push(Event::State(now));
                    }
                    let (mut offers, mut chats) = (BTreeMap::new(), BTreeMap::new());
                    for chat in state.held(&self.agent) {
                        if let Phase::Offered { until, .. } = chat.phase {
                            offers.insert(chat.id.clone(), chat.assignment);
                            if self.shown.offers.get(&chat.id) != Some(&chat.assignment) {
                                news.push(Event::Offer(Offer {
                                    chat: Some(view::chat(&state, chat)),
                                    assignment: chat.assignment,
                                    until_ms: until,
                                    topic: chat.topic.clone(),
                                    note: chat.note.clone(),
                                }));
                            }
                        } else {
                            let now = view::chat(&state, chat);
                            if self.shown.chats.get(&chat.id) != Some(&now) {
                                news.push(Event::Chat(now.clone()));
                            }
                            chats.insert(chat.id.clone(), now);
                        }
                    }
                    for (chat, assignment) in &self.shown.offers {
                        if offers.get(chat) == Some(assignment) || chats.contains_key(chat) {
                            continue;
                        }
                        // Accepted and ended while this stream slept: the chat tells more than its offer.
                        let mine = |c: &&meridian_routing::state::Chat| {
                            c.assignment == *assignment
                                && c.answered_by.as_ref() == Some(&self.agent)
                        };
                        if let Some(past) = state.chats().get(chat).filter(mine) {
                            news.push(Event::Chat(view::chat(&state, past)));
                        } else {
                            news.insert(
                                0,
                                Event::OfferWithdrawn(OfferWithdrawn {
                                    chat_id: chat.to_string(),
                                    assignment: *assignment,
                                }),
                            );
                        }
                    }
                    for id in self
                        .shown
                        .chats
                        .keys()
                        .filter(|id| !chats.contains_key(*id))
                    {
                        if let Some(gone) = state.chats().get(id) {
                            news.push(Event::Chat(view::chat(&state, gone)));
                        }
                    }
                    (self.shown.offers, self.shown.chats) = (offers, chats);
                }
            }
        }
        for event in news {
            if let Some(end) = self.tell(event).await {
                return Some(end);
            }
        }
        if let Some(epoch) = fenced {
            let _ = self.tell(Event::Fenced(Fenced { epoch })).await;
            return Some(End::Over);
        }
        if lost {
            let gone = ended("the session was lost for a while; resume it");
            let _ = self.out.send(Err(gone)).await;
            return Some(End::Over);
        }
        None
    }

    /// Checks one message and hands it on; the reply comes when it is committed, while the stream goes on.
    async fn act(
        &mut self,
        message: AgentMessage,
        room: mpsc::Permit<'_, (String, Command)>,
    ) -> Option<End> {
        match request_id(&message.request_id).and_then(|id| Ok((id, self.command(message.action)?)))
        {
            Ok(order) => {
                self.leaving |= matches!(order.1, Command::CloseSession { .. });
                room.send(order);
                None
            }
            Err(status) => {
                self.tell(Event::Reply(refusal(message.request_id, &status)))
                    .await
            }
        }
    }

    fn command(&self, action: Option<Action>) -> Result<Command, Status> {
        let (agent, epoch) = (self.agent.clone(), self.epoch);
        Ok(match action {
            None => return Err(invalid("action", "is missing; name what the agent does")),
            Some(Action::Hello(_)) => {
                return Err(invalid(
                    "hello",
                    "the session is open already; open another stream for a new one",
                ));
            }
            Some(Action::SetPresence(p)) => {
                let presence = match Presence::try_from(p.presence) {
                    Ok(Presence::Available) => Chosen::Available,
                    Ok(Presence::Break) => Chosen::Break,
                    Ok(Presence::Draining) => Chosen::Draining,
                    _ => {
                        return Err(invalid(
                            "presence",
                            "cannot be chosen; give AVAILABLE, BREAK or DRAINING",
                        ));
                    }
                };
                Command::SetPresence {
                    agent,
                    epoch,
                    presence,
                    overtime: p.overtime,
                }
            }
            Some(Action::AcceptOffer(a)) => Command::AcceptOffer {
                agent,
                epoch,
                chat: ChatId::from(a.chat_id),
                assignment: a.assignment,
            },
            Some(Action::DeclineOffer(a)) => Command::DeclineOffer {
                agent,
                epoch,
                chat: ChatId::from(a.chat_id),
                assignment: a.assignment,
                reason: a.reason,
            },
            Some(Action::EndChat(a)) => Command::EndChat {
                agent,
                epoch,
                chat: ChatId::from(a.chat_id),
            },
            Some(Action::FinishWrapUp(a)) => Command::FinishWrapUp {
                agent,
                epoch,
                chat: ChatId::from(a.chat_id),
            },
            Some(Action::TransferChat(t)) => {
                let to = match t.to {
                    Some(transfer_chat::To::QueueId(queue)) => {
                        TransferTo::Queue(QueueId::from(queue))
                    }
                    Some(transfer_chat::To::AgentId(other)) => {
                        TransferTo::Agent(AgentId::from(other))
                    }
                    Some(transfer_chat::To::Skills(set)) => {
                        TransferTo::Skills(api::skills(&set.skills))
                    }
                    Some(transfer_chat::To::Region(region)) => {
                        TransferTo::Region(api::to_region(&region))
                    }
                    None => {
                        let problem = "is missing; name a queue, an agent, skills or a region";
                        return Err(invalid("to", problem));
                    }
                };
                Command::TransferChat {
                    agent,
                    epoch,
                    chat: ChatId::from(t.chat_id),
                    to,
                    note: t.note,
                    take_back: t.take_back,
                }
            }
            Some(Action::AskFor(a)) => Command::AskFor {
                agent,
                epoch,
                chat: ChatId::from(a.chat_id),
                purpose: match Purpose::try_from(a.purpose) {
                    Ok(Purpose::Handover) => What::Handover,
                    Ok(Purpose::Consult) => What::Consult,
                    Ok(Purpose::Join) => What::Join,
                    _ => {
                        return Err(invalid(
                            "purpose",
                            "cannot be asked for; give HANDOVER, CONSULT or JOIN",
                        ));
                    }
                },
                to: api::destination(a.to.as_ref()).map_err(|r| rejected(&r))?,
                patience_ms: a.patience_ms,
                note: a.note,
            },
            Some(Action::Escalate(e)) => Command::Escalate {
                agent,
                epoch,
                chat: ChatId::from(e.chat_id),
                track: Tracking {
                    channel: e.channel,
                    reference: e.reference,
                    due_ms: if e.due_in_ms == 0 {
                        TRACKED_MS
                    } else {
                        e.due_in_ms
                    },
                    note: e.note,
                },
            },
            Some(Action::CloseTracked(c)) => Command::CloseTracked {
                chat: ChatId::from(c.chat_id),
                outcome: c.outcome,
            },
            Some(Action::SignOff(_)) => Command::CloseSession { agent, epoch },
        })
    }
}

/// Writes a session's commands in order and reports each; `None` after a sign-off.
async fn carry_out(
    driver: Arc<Driver>,
    who: String,
    source: Option<Source>,
    mut todo: mpsc::Receiver<(String, Command)>,
    done: mpsc::Sender<Option<ActionReply>>,
) {
    while let Some((id, command)) = todo.recv().await {
        let off = matches!(command, Command::CloseSession { .. });
        let origin = Origin {
            source,
            ..Origin::default()
        };
        let result = driver.write(id.clone(), who.clone(), origin, command).await;
        let over = off && result.is_ok();
        let reply = match result {
            Ok(written) => ActionReply {
                request_id: id,
                log_index: written.index,
                ..Default::default()
            },
            Err(e) => refusal(id, &failed(&e)),
        };
        if done.send(Some(reply)).await.is_err() {
            return;
        }
        if over {
            // The session may be gone already, which comes to the same.
            let _ = done.send(None).await;
            return;
        }
    }
}

fn refusal(request_id: String, status: &Status) -> ActionReply {
    let details = status.get_error_details();
    let field = details
        .bad_request()
        .and_then(|b| b.field_violations.first())
        .map(|v| v.field.clone());
    let reason = details.error_info().map(|i| i.reason.clone());
    let retry = details.retry_info().and_then(|r| r.retry_delay);
    ActionReply {
        request_id,
        code: status.code().into(),
        message: status.message().to_owned(),
        field: field.unwrap_or_default(),
        log_index: 0,
        reason: reason.unwrap_or_default(),
        retry_ms: retry.map_or(0, |d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
    }
}
