//! `meridian agent work`: one agent's session, to try routing by hand.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Streaming};

use super::desk::{self, Known, Typed};
use super::{Context, live, request_id};
use crate::client::Answer;
use crate::failure::{Failure, ServerError};
use crate::output::Clock;
use crate::time::parse_duration;
use crate::view::{Agent, Chat, OfferView};

/// Longest wait for the answer to signing off.
const GOODBYE: Duration = Duration::from_secs(2);

/// Be one agent.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Sign on, become available and print what is offered; Ctrl-C signs off. Without --auto each line typed is done;
    /// `help` tells what there is
    Work(Work),
}

/// A session.
#[derive(Debug, Args)]
pub struct Work {
    /// Which agent to be
    #[arg(long, value_name = "ID")]
    agent: String,
    /// Accept each offer, talk, end the chat and finish its wrap-up
    #[arg(long)]
    auto: bool,
    /// How long to talk
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    #[arg(requires = "auto")]
    talk: Duration,
    /// Take chats off shift too
    #[arg(long)]
    overtime: bool,
    /// How long chats wait when the stream breaks
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    grace: Duration,
}

/// What is printed of a session.
#[derive(Serialize)]
#[serde(tag = "event", content = "detail", rename_all = "snake_case")]
enum Told {
    Welcome {
        session_epoch: u64,
        chats: Vec<Chat>,
    },
    Offer(OfferView),
    OfferWithdrawn {
        chat_id: String,
        assignment: u64,
    },
    Chat(Chat),
    Agent(Agent),
    Refused {
        code: &'static str,
        message: String,
        field: String,
    },
    Fenced {
        session_epoch: u64,
    },
    SignedOff,
}

/// The session's side that decides what to do next; knows no network.
#[derive(Debug, Default)]
struct Desk {
    auto: bool,
    overtime: bool,
    talk: Duration,
    epoch: u64,
    /// When the talk of each chat is over.
    talks: BTreeMap<String, Instant>,
    /// The chats on offer, with the assignment of each.
    offers: BTreeMap<String, u64>,
    /// The chats the agent has, and how each stands.
    chats: BTreeMap<String, api::ChatPhase>,
}

impl Desk {
    /// What a line that is typed may mean.
    fn known(&self) -> Known {
        let of = |phase| {
            let chats = self.chats.iter().filter(move |(_, p)| **p == phase);
            chats.map(|(id, _)| id.clone()).collect()
        };
        Known {
            offered: self.offers.clone().into_iter().collect(),
            active: of(api::ChatPhase::Active),
            wrap_up: of(api::ChatPhase::WrapUp),
        }
    }

    /// Keeps what is known of the agent's chats up to date.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Welcome(welcome) => {
                self.offers.clear();
                self.chats.clear();
                let chats = welcome.chats.iter();
                self.chats
                    .extend(chats.map(|c| (c.chat_id.clone(), c.phase())));
            }
            Event::Offer(offer) => {
                let chat = offer.chat.as_ref();
                let id = chat.map(|c| c.chat_id.clone()).unwrap_or_default();
                self.offers.insert(id, offer.assignment);
            }
            Event::OfferWithdrawn(o) => drop(self.offers.remove(&o.chat_id)),
            Event::Chat(chat) => {
                self.offers.remove(&chat.chat_id);
                match chat.phase() {
                    phase @ (api::ChatPhase::Active | api::ChatPhase::WrapUp) => {
                        self.chats.insert(chat.chat_id.clone(), phase);
                    }
                    _ => {
                        self.chats.remove(&chat.chat_id);
                    }
                }
            }
            Event::Reply(_) | Event::State(_) | Event::Fenced(_) => {}
        }
    }

    /// What to send after an event.
    fn react(&mut self, event: &Event, now: Instant) -> Vec<Action> {
        self.note(event);
        match event {
            Event::Welcome(welcome) => {
                self.epoch = welcome.epoch;
                let presence = welcome.state.as_ref().map_or(0, |s| s.presence);
                let mut actions = Vec::new();
                // A resumed session keeps what was chosen before.
                if presence != api::Presence::Available as i32 {
                    let presence = api::Presence::Available as i32;
                    actions.push(Action::SetPresence(api::SetPresence {
                        presence,
                        overtime: self.overtime,
                    }));
                }
                let chats = welcome.chats.iter().filter_map(|c| self.look_at(c, now));
                actions.extend(chats.collect::<Vec<_>>());
                actions
            }
            Event::Offer(offer) if self.auto => {
                let chat_id = offer
                    .chat
                    .as_ref()
                    .map(|c| c.chat_id.clone())
                    .unwrap_or_default();
                let assignment = offer.assignment;
                vec![Action::AcceptOffer(api::AcceptOffer {
                    chat_id,
                    assignment,
                })]
            }
            Event::Chat(chat) => self.look_at(chat, now).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn look_at(&mut self, chat: &api::Chat, now: Instant) -> Option<Action> {
        if !self.auto {
            return None;
        }
        let chat_id = chat.chat_id.clone();
        match chat.phase() {
            api::ChatPhase::Active => {
                self.talks.entry(chat_id).or_insert(now + self.talk);
                None
            }
            api::ChatPhase::WrapUp => {
                self.talks.remove(&chat_id);
                Some(Action::FinishWrapUp(api::FinishWrapUp { chat_id }))
            }
            _ => {
                self.talks.remove(&chat_id);
                None
            }
        }
    }

    /// The next talk to end.
    fn next_end(&self) -> Option<Instant> {
        self.talks.values().min().copied()
    }

    /// Ends the talks that are over.
    fn end_talks(&mut self, now: Instant) -> Vec<Action> {
        let over = |(id, at): (&String, &Instant)| (*at <= now).then(|| id.clone());
        let over: Vec<_> = self.talks.iter().filter_map(over).collect();
        over.into_iter()
            .map(|chat_id| {
                self.talks.remove(&chat_id);
                Action::EndChat(api::EndChat { chat_id })
            })
            .collect()
    }
}

type Outgoing = mpsc::Sender<api::AgentMessage>;

fn message(action: Action) -> api::AgentMessage {
    api::AgentMessage {
        request_id: request_id(),
        action: Some(action),
    }
}

/// Runs it.
///
/// # Errors
/// When no node can be reached any more, the agent is refused, or another session takes over.
pub async fn run(context: &Context, command: AgentCommand) -> Result<(), Failure> {
    let AgentCommand::Work(work) = command;
    let grace_ms = u32::try_from(work.grace.as_millis()).unwrap_or(u32::MAX);
    let mut desk = Desk {
        auto: work.auto,
        overtime: work.overtime,
        talk: work.talk,
        ..Desk::default()
    };
    let mut typed = typing(!work.auto);
    let mut answer = open(context, &work, grace_ms, desk.epoch).await?;
    loop {
        let (send, stream) = answer.value;
        let endpoint = &answer.endpoint;
        match session(context, &mut desk, &mut typed, &send, stream, endpoint).await? {
            End::SignedOff => return Ok(()),
            End::Broken(why) => {
                let again = async || open(context, &work, grace_ms, desk.epoch).await;
                let opened = live::reopen(context, (&answer.endpoint, &why), again);
                // Without a session there is nothing to sign off from: its grace ends it.
                answer = live::until_interrupted(opened).await?;
            }
        }
    }
}

/// The lines typed. On a thread of its own, which ends with the process: reading cannot be given up half-way.
fn typing(wanted: bool) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(16);
    // Who reads a terminal from the background is stopped, and the session with them.
    let stdin = std::io::stdin();
    let ours = !stdin.is_terminal()
        || rustix::termios::tcgetpgrp(&stdin)
            .is_ok_and(|group| group == rustix::process::getpgrp());
    if wanted && ours {
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if send.blocking_send(line).is_err() {
                    break;
                }
            }
        });
    }
    receive
}

type Opened = Answer<(Outgoing, Streaming<api::ServerMessage>)>;

async fn open(
    context: &Context,
    work: &Work,
    grace_ms: u32,
    resume_epoch: u64,
) -> Result<Opened, Failure> {
    let hello = api::Hello {
        agent_id: work.agent.clone(),
        resume_epoch,
        grace_ms,
    };
    let open = context.cluster.open(hello, async |channel, request| {
        let (send, receive) = mpsc::channel(64);
        // There is room: the channel is new.
        let _ = send
            .send(message(Action::Hello(request.into_inner())))
            .await;
        let mut client = AgentServiceClient::new(channel);
        let stream = client.work(ReceiverStream::new(receive)).await?;
        Ok(Response::new((send, stream.into_inner())))
    });
    open.await
}

enum End {
    SignedOff,
    Broken(String),
}

async fn session(
    context: &Context,
    desk: &mut Desk,
    typed: &mut mpsc::Receiver<String>,
    send: &Outgoing,
    mut stream: Streaming<api::ServerMessage>,
    endpoint: &str,
) -> Result<End, Failure> {
    loop {
        // Without a talk to end this branch is never polled; any instant will do.
        let next_end = desk.next_end();
        let wake = next_end.unwrap_or_else(Instant::now);
        let actions = tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                return sign_off(context, send, stream).await;
            }
            // At the end of what is typed the session goes on.
            Some(line) = typed.recv() => match desk::understand(&line, &desk.known()) {
                Typed::Nothing => Vec::new(),
                Typed::Do(action) => vec![*action],
                Typed::Say(text) => {
                    context.output.note(&text);
                    Vec::new()
                }
                Typed::SignOff => return sign_off(context, send, stream).await,
            },
            () = tokio::time::sleep_until(wake), if next_end.is_some() => {
                desk.end_talks(Instant::now())
            }
            received = stream.message() => match received {
                Ok(None) => return Ok(End::Broken("the node closed it".to_owned())),
                Err(status) if live::may_reopen(&status) => {
                    return Ok(End::Broken(status.message().to_owned()));
                }
                Err(status) => {
                    return Err(Failure::Server(Box::new(ServerError::new(&status, endpoint))));
                }
                Ok(Some(api::ServerMessage { event: None })) => Vec::new(),
                Ok(Some(api::ServerMessage { event: Some(event) })) => {
                    let actions = desk.react(&event, Instant::now());
                    let fenced = matches!(event, Event::Fenced(_));
                    tell(context, event)?;
                    if fenced {
                        let why = "another session of this agent took over";
                        return Err(Failure::Failed(why.to_owned()));
                    }
                    actions
                }
            },
        };
        for action in actions {
            if send.send(message(action)).await.is_err() {
                return Ok(End::Broken("the node stopped reading".to_owned()));
            }
        }
    }
}

async fn sign_off(
    context: &Context,
    send: &Outgoing,
    mut stream: Streaming<api::ServerMessage>,
) -> Result<End, Failure> {
    let goodbye = message(Action::SignOff(api::SignOff {}));
    let id = goodbye.request_id.clone();
    let answered = async {
        if send.send(goodbye).await.is_err() {
            return false;
        }
        while let Ok(Some(received)) = stream.message().await {
            if matches!(received.event, Some(Event::Reply(reply)) if reply.request_id == id) {
                return true;
            }
        }
        // A node may also just close the stream.
        true
    };
    if tokio::time::timeout(GOODBYE, answered).await != Ok(true) {
        context
            .output
            .note("no answer to signing off; the session ends when its grace does");
    }
    print(context, &Told::SignedOff)?;
    Ok(End::SignedOff)
}

fn tell(context: &Context, event: Event) -> Result<(), Failure> {
    let told = match event {
        Event::Welcome(w) => Told::Welcome {
            session_epoch: w.epoch,
            chats: w.chats.into_iter().map(Chat::from).collect(),
        },
        Event::Reply(reply) if reply.code == 0 => return Ok(()),
        Event::Reply(reply) => Told::Refused {
            code: crate::failure::code_word(tonic::Code::from(reply.code)),
            message: reply.message,
            field: reply.field,
        },
        Event::Offer(offer) => Told::Offer(offer.into()),
        Event::OfferWithdrawn(o) => Told::OfferWithdrawn {
            chat_id: o.chat_id,
            assignment: o.assignment,
        },
        Event::Chat(chat) => Told::Chat(chat.into()),
        Event::State(state) => Told::Agent(state.into()),
        Event::Fenced(fenced) => Told::Fenced {
            session_epoch: fenced.epoch,
        },
    };
    print(context, &told)
}

fn print(context: &Context, told: &Told) -> Result<(), Failure> {
    context.output.event(told, || {
        let clock = Clock::system();
        let text = match told {
            Told::Welcome {
                session_epoch,
                chats,
            } => {
                let chats = match chats.len() {
                    1 => "1 open chat".to_owned(),
                    n => format!("{n} open chats"),
                };
                format!("signed on, session {session_epoch}, {chats}")
            }
            Told::Offer(offer) => offer.line(&clock),
            Told::OfferWithdrawn { chat_id, .. } => format!("offer of {chat_id} withdrawn"),
            Told::Chat(chat) => chat.brief(),
            Told::Agent(agent) => agent.brief(),
            Told::Refused { code, message, .. } => format!("refused ({code}): {message}"),
            Told::Fenced { session_epoch } => format!("session {session_epoch} took over"),
            Told::SignedOff => "signed off".to_owned(),
        };
        format!(
            "{}  {}",
            clock.local(clock.now_ms),
            crate::output::printable(&text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(phase: api::ChatPhase) -> api::Chat {
        api::Chat {
            chat_id: "c".to_owned(),
            phase: phase as i32,
            ..Default::default()
        }
    }

    fn desk(auto: bool) -> Desk {
        Desk {
            auto,
            talk: Duration::from_secs(5),
            ..Desk::default()
        }
    }

    #[test]
    fn a_desk_takes_a_chat_through() {
        let (mut desk, now) = (desk(true), Instant::now());
        let welcome = Event::Welcome(api::Welcome {
            epoch: 7,
            ..Default::default()
        });
        assert!(matches!(
            desk.react(&welcome, now)[..],
            [Action::SetPresence(_)]
        ));
        assert_eq!(desk.epoch, 7);
        let offer = api::Offer {
            chat: Some(chat(api::ChatPhase::Offered)),
            assignment: 3,
            ..Default::default()
        };
        assert_eq!(
            desk.react(&Event::Offer(offer), now),
            [Action::AcceptOffer(api::AcceptOffer {
                chat_id: "c".to_owned(),
                assignment: 3
            })]
        );
        assert!(
            desk.react(&Event::Chat(chat(api::ChatPhase::Active)), now)
                .is_empty()
        );
        assert!(desk.end_talks(now).is_empty());
        let later = desk.next_end().unwrap();
        assert_eq!(later, now + Duration::from_secs(5));
        assert!(matches!(desk.end_talks(later)[..], [Action::EndChat(_)]));
        let actions = desk.react(&Event::Chat(chat(api::ChatPhase::WrapUp)), later);
        assert!(matches!(actions[..], [Action::FinishWrapUp(_)]));
    }

    #[test]
    fn without_auto_it_only_looks() {
        let (mut desk, now) = (desk(false), Instant::now());
        assert!(
            desk.react(&Event::Offer(api::Offer::default()), now)
                .is_empty()
        );
        assert!(
            desk.react(&Event::Chat(chat(api::ChatPhase::Active)), now)
                .is_empty()
        );
        assert_eq!(desk.next_end(), None);
    }

    #[test]
    fn a_resumed_session_keeps_presence_and_goes_on_with_its_chats() {
        let (mut desk, now) = (desk(true), Instant::now());
        let presence = api::Presence::Available as i32;
        let welcome = Event::Welcome(api::Welcome {
            epoch: 7,
            state: Some(api::AgentState {
                presence,
                ..Default::default()
            }),
            chats: vec![chat(api::ChatPhase::Active)],
        });
        assert!(desk.react(&welcome, now).is_empty());
        assert!(desk.next_end().is_some());
    }
}
