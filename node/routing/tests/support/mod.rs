//! A small language to drive the routing core with, shared by the golden scripts and kept close to how one
//! would tell the story aloud. See `testdata/*.txt`.

mod objects;

use std::collections::BTreeMap;

use meridian_routing::apply::Outcome;
use meridian_routing::command::*;
use meridian_routing::effect::*;
use meridian_routing::ids::*;
use meridian_routing::model::*;
use meridian_routing::state::State;
use objects::*;

/// A state, its clock and its log.
#[derive(Default)]
pub struct Play {
    pub state: State,
    pub now: Millis,
    pub index: u64,
    epochs: BTreeMap<AgentId, Epoch>,
    log: Vec<Stamped>,
    /// Every command goes through this on its way in, such as its durable form and back.
    pub codec: Option<fn(Stamped) -> Stamped>,
    /// Sees every outcome.
    pub observer: Option<fn(&Outcome)>,
}

/// `20s`, `5m`, `1h`, `250ms`.
pub fn millis(text: &str) -> Millis {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or_else(|| panic!("'{text}': no unit"));
    let number: Millis = text[..digits]
        .parse()
        .unwrap_or_else(|_| panic!("'{text}': no number"));
    number
        * match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            unit => panic!("'{text}': unknown unit '{unit}'"),
        }
}

impl Play {
    /// Applies one command at the present time.
    pub fn apply(&mut self, request_id: &str, command: Command) -> Outcome {
        self.apply_as("script", request_id, command)
    }

    fn apply_as(&mut self, actor: &str, request_id: &str, command: Command) -> Outcome {
        self.index += 1;
        let stamped = Stamped {
            index: self.index,
            at: self.now,
            request_id: request_id.into(),
            actor: actor.into(),
            command,
        };
        let stamped = self.codec.map_or(stamped.clone(), |codec| codec(stamped));
        let outcome = self.state.apply(&stamped);
        self.log.push(stamped);
        if let Some(observer) = self.observer {
            observer(&outcome);
        }
        outcome
    }

    fn epoch(&self, args: &Args<'_>) -> (AgentId, Epoch) {
        let agent: AgentId = args.word(1).into();
        let epoch = args.number("epoch", self.epochs.get(&agent).copied().unwrap_or(0));
        (agent, epoch)
    }

    /// One line of a script; what it answered, line by line.
    pub fn line(&mut self, line: &str) -> Vec<String> {
        let args = Args::of(line);
        let command = match args.word(0) {
            // As a leader does it: each deadline is noticed when it falls due.
            "wait" => {
                let until = self.now + millis(args.word(1));
                let mut told = Vec::new();
                while let Some(due) = self.state.next_deadline().filter(|due| *due <= until) {
                    self.now = self.now.max(due);
                    told.extend(tell(&self.apply("", Command::Tick)));
                }
                self.now = until;
                return told;
            }
            // Nobody leads for a while: the next command is the first to notice.
            "outage" => {
                self.now += millis(args.word(1));
                return Vec::new();
            }
            "clock" => {
                self.now = millis(args.word(1));
                return Vec::new();
            }
            "show" => return self.show(),
            "service" => return self.service(args.word(1)),
            "why" => return self.why(args.word(1)),
            "whatif" => return self.what_if(args.word(1), args.words.contains(&"overtime")),
            "outlook" => return self.outlook(&chat(&args)),
            "explain" => return self.explain(args.word(1)),
            "then" => return self.then(args.word(1), args.number("index", 0)),
            "standing" => {
                return self
                    .state
                    .standing(&args.word(1).into())
                    .iter()
                    .map(|c| format!("  {} {:?}: {c}", c.agent, c.rule()))
                    .collect();
            }
            "sun" => {
                let mut order: Vec<_> = self
                    .state
                    .sun_order()
                    .into_iter()
                    .map(|(id, at)| (at, String::from(id)))
                    .collect();
                order.sort();
                return vec![format!(
                    "  {}",
                    order
                        .into_iter()
                        .map(|(_, id)| id)
                        .collect::<Vec<_>>()
                        .join(" > ")
                )];
            }
            "workspace" => workspace(&args),
            verb @ ("schedule" | "extend") => schedule(verb, &args),
            "region" => region(&args),
            "queue" => queue(&args),
            "agent" => agent(&args),
            "remove" => {
                let id = args.word(2);
                Command::Configure(vec![match args.word(1) {
                    "region" => ConfigChange::RemoveRegion(id.into()),
                    "schedule" => ConfigChange::RemoveSchedule(id.into()),
                    "queue" => ConfigChange::RemoveQueue(id.into()),
                    "agent" => ConfigChange::RemoveAgent(id.into()),
                    kind => panic!("remove {kind}?"),
                }])
            }
            "open" => Command::OpenSession {
                agent: args.word(1).into(),
                node: args.number("node", 1),
                resume: args.number("resume", 0),
                grace_ms: args.ms("grace", 15_000),
            },
            "lose" => {
                let (agent, epoch) = self.epoch(&args);
                Command::LoseSession { agent, epoch }
            }
            "close" => {
                let (agent, epoch) = self.epoch(&args);
                Command::CloseSession { agent, epoch }
            }
            "nodelost" => Command::NodeLost {
                node: args.word(1).parse().expect("a node"),
            },
            presence @ ("available" | "break" | "draining" | "offline") => {
                let (agent, epoch) = self.epoch(&args);
                let presence = match presence {
                    "available" => Presence::Available,
                    "break" => Presence::Break,
                    "draining" => Presence::Draining,
                    _ => Presence::Offline,
                };
                Command::SetPresence {
                    agent,
                    epoch,
                    presence,
                    overtime: args.words.get(2) == Some(&"overtime"),
                }
            }
            "chat" => chat(&args),
            "leave" => Command::LeaveChat {
                chat: args.word(1).into(),
            },
            "rate" => Command::RateChat {
                chat: args.word(1).into(),
                stars: args.word(2).parse().expect("stars"),
                comment: String::new(),
            },
            "accept" | "decline" => {
                let (agent, epoch) = self.epoch(&args);
                let chat: ChatId = args.word(2).into();
                let current = self.state.chats().get(&chat).map_or(0, |c| c.assignment);
                let assignment = args.number("assignment", current);
                if args.word(0) == "accept" {
                    Command::AcceptOffer {
                        agent,
                        epoch,
                        chat,
                        assignment,
                    }
                } else {
                    let reason = args.named.get("reason").copied().unwrap_or_default().into();
                    Command::DeclineOffer {
                        agent,
                        epoch,
                        chat,
                        assignment,
                        reason,
                    }
                }
            }
            "end" => {
                let (agent, epoch) = self.epoch(&args);
                Command::EndChat {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                }
            }
            "finish" => {
                let (agent, epoch) = self.epoch(&args);
                Command::FinishWrapUp {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                }
            }
            "transfer" => {
                let (agent, epoch) = self.epoch(&args);
                Command::TransferChat {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                    to: to(&args),
                    note: "as told".into(),
                    take_back: args.words.contains(&"back"),
                }
            }
            "ask" => {
                let (agent, epoch) = self.epoch(&args);
                Command::AskFor {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                    purpose: match args.word(3) {
                        "handover" => Purpose::Handover,
                        "consult" => Purpose::Consult,
                        "join" => Purpose::Join,
                        "relief" => Purpose::Relief,
                        other => panic!("ask for '{other}'?"),
                    },
                    to: to(&args),
                    patience_ms: args.ms("patience", 0),
                    note: args.named.get("note").copied().unwrap_or_default().into(),
                }
            }
            "seen" => Command::VisitorSeen {
                chat: args.word(1).into(),
                node: args.number("node", 1),
            },
            "gone" => Command::VisitorGone {
                chat: args.word(1).into(),
                node: args.number("node", 1),
            },
            "message" => Command::LeaveMessage {
                chat: args.word(1).into(),
                text: "please write".into(),
                contact: args
                    .named
                    .get("contact")
                    .copied()
                    .unwrap_or_default()
                    .into(),
                at: args.named.get("at").map_or(0, |at| millis(at)),
            },
            "escalate" => {
                let (agent, epoch) = self.epoch(&args);
                Command::Escalate {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                    track: Tracking {
                        channel: args.word(3).into(),
                        reference: args.word(4).into(),
                        due_ms: args.ms("due", 3_600_000),
                        note: String::new(),
                    },
                }
            }
            "tracked" => Command::CloseTracked {
                chat: args.word(1).into(),
                outcome: "solved".into(),
            },
            "shut" => {
                let until = args
                    .named
                    .get("until")
                    .map_or(253_402_300_799_999, |u| millis(u));
                shut(&args, until)
            }
            "unshut" => shut(&args, 0),
            "adopt" => Command::Adopt {
                rules: args.word(1).parse().expect("rules"),
            },
            "pin" => Command::PinLeader {
                region: Some(args.words.get(1).copied().unwrap_or_default().into()),
            },
            "unpin" => Command::PinLeader { region: None },
            "supervise" => Command::Supervise {
                chat: args.word(1).into(),
                how: match args.word(2) {
                    "monitor" => Some(Watch::Monitor),
                    "whisper" => Some(Watch::Whisper),
                    "barge" => Some(Watch::Barge),
                    _ => None,
                },
            },
            "move" => Command::MoveChat {
                chat: args.word(1).into(),
                to: to(&args),
                note: String::new(),
            },
            other => panic!("unknown command '{other}'"),
        };
        let session_of = match &command {
            Command::OpenSession { agent, .. } => Some(agent.clone()),
            _ => None,
        };
        let named = |name: &str| args.named.get(name).copied();
        let outcome = self.apply_as(
            named("by").unwrap_or("script"),
            named("id").unwrap_or_default(),
            command,
        );
        if let (Some(agent), Ok(Answer::Session { epoch })) = (session_of, &outcome.result) {
            self.epochs.insert(agent, *epoch);
        }
        tell(&outcome)
    }

    fn show(&self) -> Vec<String> {
        let mut lines = vec![format!("  t={}ms", self.now)];
        if let Some(pin) = &self.state.meta().pin {
            let (region, by, at) = (&pin.region, &pin.by, pin.at);
            lines.push(format!("  leader pinned to {region} by {by} at {at}ms"));
        }
        for (id, agent) in self.state.agents() {
            let mut notes = String::new();
            if !self.state.on_shift(agent) {
                notes += ", off shift";
            }
            if agent.break_due {
                notes += ", a break is due";
            }
            lines.push(format!(
                "  agent {id}: {:?} {}/{}{notes}",
                agent.presence,
                self.state.load(id),
                agent.config.capacity
            ));
        }
        for (id, chat) in self.state.chats() {
            let place = self
                .state
                .position(chat)
                .map(|p| format!(" #{p}"))
                .unwrap_or_default();
            lines.push(format!("  chat {id}: {}{place}", phase(&chat.phase)));
        }
        lines
    }

    fn outlook(&self, ask: &Command) -> Vec<String> {
        let Command::StartChat(new) = ask else {
            return Vec::new();
        };
        let outlook = match self.state.outlook(new) {
            Ok(outlook) => outlook,
            Err(reject) => return vec![format!("  refused: {reject}")],
        };
        let place = match outlook.place {
            0 => String::new(),
            place => format!(", place {place}"),
        };
        let wait = outlook.wait.map_or(String::new(), |w| {
            format!(", wait {} ms ({} to {})", w.mean, w.low, w.high)
        });
        let opens = outlook
            .opens
            .map_or(String::new(), |at| format!(", from {at}ms"));
        vec![format!("  {:?}{place}{wait}{opens}", outlook.chance)]
    }

    fn why(&self, chat: &str) -> Vec<String> {
        let chat = chat.into();
        let standing = self.state.standing(&chat);
        let Some(waits) = self.state.why_waits(&chat, &standing) else {
            return vec!["  does not wait".to_owned()];
        };
        let rules: Vec<_> = waits
            .rules
            .iter()
            .map(|(r, n)| format!("{n} {r:?}"))
            .collect();
        let at =
            |what, at: Option<Millis>| at.map_or(String::new(), |at| format!(", {what} {at}ms"));
        vec![format!(
            "  {}{}{}",
            rules.join(", "),
            at("next stage", waits.next_stage),
            at("next shift", waits.next_shift)
        )]
    }

    /// What was decided about a chat at an index, by living through the log again, with everybody who was weighed.
    fn then(&self, chat: &str, index: u64) -> Vec<String> {
        let chat = chat.into();
        let mut then = State::default();
        for stamped in self.log.iter().take_while(|s| s.index <= index) {
            if stamped.index == index {
                then.ask_of(&chat);
            }
            then.apply(stamped);
        }
        let events = then.chats()[&chat].events.iter();
        let decided = events.filter(|e| e.index == index);
        decided
            .flat_map(|e| &e.candidates)
            .map(|c| format!("  {:?} {} {:?}: {c}", c.standing, c.agent, c.rule()))
            .collect()
    }

    fn what_if(&self, agent: &str, overtime: bool) -> Vec<String> {
        let what = match self.state.what_if(&agent.into(), overtime, 3) {
            Ok(what) => what,
            Err(reject) => return vec![format!("  refused: {reject}")],
        };
        let offered: Vec<_> = what.offered.iter().map(|c| c.id.as_str()).collect();
        let mut lines = vec![format!(
            "  would have {} units: {}",
            what.load,
            offered.join(", ")
        )];
        for (chat, c) in what.refusals {
            lines.push(format!("  not {chat}: {:?}: {c}", c.rule()));
        }
        lines
    }

    fn service(&self, queue: &str) -> Vec<String> {
        let m = self.state.service(&queue.into());
        let level = m
            .service_level()
            .map_or("none".into(), |l| format!("{l} %"));
        vec![format!(
            "  {} accepted, {} answered ({} in time), {} abandoned, level {level}, waited {} ms, {} handled in {} ms{}",
            m.accepted,
            m.answered,
            m.in_target,
            m.abandoned,
            m.wait_ms,
            m.handled,
            m.handle_ms,
            match m.estimated {
                0 => String::new(),
                n => format!(", {n} told a wait, {} ms off", m.error_ms),
            }
        )]
    }

    fn explain(&self, id: &str) -> Vec<String> {
        let Some(chat) = self.state.chats().get(&id.into()) else {
            return vec![format!("  no chat '{id}'")];
        };
        let mut lines = Vec::new();
        for event in &chat.events {
            let agent = event
                .agent
                .as_ref()
                .map(|a| format!(" {a}"))
                .unwrap_or_default();
            let detail = if event.detail.is_empty() {
                String::new()
            } else {
                format!(" ({})", event.detail)
            };
            lines.push(format!(
                "  [{}] {}ms {:?}{agent}{detail}",
                event.index, event.at, event.what
            ));
            for c in &event.candidates {
                let sign = if c.eligible() { '+' } else { '-' };
                lines.push(format!("      {sign} {} {:?}: {c}", c.agent, c.rule()));
            }
        }
        lines
    }
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Waiting => "waiting".into(),
        Phase::Offered { to, until } => {
            let to: Vec<_> = to.iter().map(|a| a.as_str()).collect();
            format!("offered to {} until {until}ms", to.join(", "))
        }
        Phase::Active { agent } => format!("active with {agent}"),
        Phase::WrapUp { agent, until } => format!("wrap-up by {agent} until {until}ms"),
        Phase::Deferred { due, .. } => format!("deferred to {due}ms"),
        Phase::Tracked {
            channel,
            reference,
            due,
        } => format!("tracked by {channel} as {reference} until {due}ms"),
        Phase::Closed(how) => format!("closed, {how:?}").to_lowercase(),
    }
}

fn tell(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    match &outcome.result {
        Ok(Answer::Done) => {}
        Ok(Answer::Session { epoch }) => lines.push(format!("  session {epoch}")),
        Ok(Answer::Chat { chat, phase: p }) => lines.push(format!("  {chat} is {}", phase(p))),
        Err(reject) => lines.push(format!("  refused: {reject}")),
    }
    for effect in &outcome.effects {
        match effect {
            Effect::OfferMade {
                agent,
                chat,
                assignment,
                until,
            } => lines.push(format!(
                "  {agent} is offered {chat} (no. {assignment}) until {until}ms"
            )),
            Effect::OfferWithdrawn {
                agent,
                chat,
                assignment,
            } => lines.push(format!(
                "  the offer of {chat} (no. {assignment}) to {agent} is withdrawn"
            )),
            Effect::SessionFenced { agent, epoch } => {
                lines.push(format!("  session {epoch} of {agent} is fenced"))
            }
            Effect::ChatChanged { .. } | Effect::AgentChanged { .. } | Effect::ConfigChanged => {}
        }
    }
    lines
}
