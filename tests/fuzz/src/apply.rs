//! The routing core under commands of the fuzzer's: valid ones as a rule, since what is refused at the door reaches
//! nothing, and then whatever a command can hold. After each, every invariant; and a second replica, which reads each
//! command as the log holds it and begins now and then anew from what it wrote, comes to the same bytes.

use std::collections::BTreeMap;

use meridian_node::convert::{command as commands, entity, history};
use meridian_routing::apply::Outcome;
use meridian_routing::command::{Command, Shut, Stamped};
use meridian_routing::ids::*;
use meridian_routing::invariants::{self, Seen};
use meridian_routing::limits::TIME_MAX;
use meridian_routing::model::*;
use meridian_routing::state::{Chat, Key, State};

use crate::objects::*;
use crate::source::Source;

/// Most commands of one input.
const COMMANDS_MAX: usize = 160;

/// Gives the core what the bytes say.
pub fn apply(data: &[u8]) {
    let mut source = Source::new(data);
    let mut play = Play::new();
    // A start from which agents and chats meet at once; with `once_in` an empty state is one of the choices.
    if !source.once_in(16) {
        let world = world();
        play.give(&mut source, "operator", Command::Configure(world));
        for agent in ["a1", "a2", "a4"] {
            play.opens(&mut source, agent);
        }
    }
    while !source.is_empty() && play.index < COMMANDS_MAX as u64 {
        play.passes(&mut source);
        let command = match source.below(64) {
            // Whatever the log may hold.
            63 => match commands::decode(1, source.bytes(64)) {
                Ok((stamped, _)) => stamped.command,
                Err(_) => continue,
            },
            60..63 => Command::Configure(source.some(3, change)),
            n => play.command(n, &mut source),
        };
        let actor = source.of(&["", "v1", "v2", "sup", "agent a1"]);
        play.give(&mut source, actor, command);
    }
    play.asked(&mut source);
    play.second.restart();
    play.compare("the end");
}

struct Play {
    state: State,
    seen: Seen,
    second: Second,
    now: Millis,
    index: u64,
}

/// The other replica.
#[derive(Default)]
struct Second {
    state: State,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Second {
    /// Whether it is carried out.
    fn apply(&mut self, stamped: &Stamped) -> bool {
        let read = logged(stamped);
        assert_eq!(&read, stamped, "the log holds another command");
        let outcome = self.state.apply(&read);
        written(&outcome);
        for key in &outcome.dirty {
            let name = entity::key(key);
            match self.state.entity(key) {
                Some(part) => {
                    let bytes = entity::encode(&part);
                    let read = entity::decode(&bytes);
                    assert_eq!(read.as_ref(), Ok(&part), "{key:?} reads back otherwise");
                    self.disk.insert(name, bytes);
                }
                None => drop(self.disk.remove(&name)),
            }
        }
        outcome.result.is_ok()
    }

    /// Begins anew from what it wrote.
    fn restart(&mut self) {
        let parts = self.disk.values().map(|bytes| entity::decode(bytes));
        let parts: Result<Vec<_>, _> = parts.collect();
        self.state = State::restore(parts.expect("what is written is read"));
    }
}

/// A command as the log holds it: what may be left out there, such as a rank of 0, has taken the value it stands for.
fn logged(stamped: &Stamped) -> Stamped {
    let (id, actor) = (&stamped.request_id, &stamped.actor);
    let bytes = commands::encode(0, id, actor, "", &stamped.command);
    // What does not read back is refused before it is proposed.
    match commands::stamp(&bytes, stamped.at) {
        Ok(bytes) => {
            let read = commands::decode(stamped.index, &bytes);
            read.expect("what is stamped is read").0
        }
        Err(_) => Stamped {
            command: Command::Tick,
            ..stamped.clone()
        },
    }
}

/// What leaves the state is written as it is.
fn written(outcome: &Outcome) {
    let reply = commands::encode_reply(&outcome.result);
    assert_eq!(commands::decode_reply(&reply).as_ref(), Ok(&outcome.result));
    for chat in &outcome.history {
        let (_, bytes) = history::encode_chat(chat);
        assert_eq!(history::decode_chat(&bytes).as_ref(), Ok(chat));
    }
    if let Some(version) = &outcome.version {
        for ((_, bytes), made) in history::encode_version(version)[1..]
            .iter()
            .zip(&version.changes)
        {
            assert_eq!(history::decode_change(bytes).as_ref(), Ok(made));
        }
    }
}

impl Play {
    fn new() -> Self {
        Self {
            state: State::default(),
            seen: Seen::default(),
            second: Second::default(),
            now: 3_600_000,
            index: 0,
        }
    }

    /// Time goes by: in small steps, to the next deadline, by an outage, or back.
    fn passes(&mut self, source: &mut Source<'_>) {
        match source.below(32) {
            0..16 => {}
            16..22 => self.now += i64::from(source.of(&TIMES[..8])),
            22..26 => self.now = self.state.next_deadline().unwrap_or(self.now).max(self.now),
            26 => self.now += i64::from(source.of(&TIMES)) * source.below(100) as i64,
            27 => self.now -= i64::from(source.of(&TIMES)),
            28 if source.once_in(64) => self.now = source.of(&[TIME_MAX, i64::MAX, i64::MIN, -1]),
            _ => self.now += 1,
        }
        // Beyond, nothing moves any more.
        self.now = self.now.clamp(-TIME_MAX, TIME_MAX + 1);
        // As a leader does it; otherwise the next command is the first to notice.
        let due = self
            .state
            .next_deadline()
            .is_some_and(|due| due <= self.now);
        if due && !source.once_in(8) {
            self.apply("", "", Command::Tick);
        }
        if source.once_in(32) {
            self.compare("a while");
            self.second.restart();
        }
    }

    fn give(&mut self, source: &mut Source<'_>, actor: &str, command: Command) {
        let request = match source.below(12) {
            9 => "r1",
            10 => "r2",
            11 => "r3",
            _ => "",
        };
        self.apply(actor, request, command);
    }

    fn apply(&mut self, actor: &str, request: &str, command: Command) {
        self.index += 1;
        let stamped = Stamped {
            index: self.index,
            at: self.now,
            request_id: request.to_owned(),
            actor: actor.to_owned(),
            command,
        };
        let stamped = logged(&stamped);
        // A state is dear to copy: only where it must be the same afterwards.
        let before = match self.second.apply(&stamped) {
            true => None,
            false => Some(self.state.clone()),
        };
        let outcome = self.state.apply(&stamped);
        let must = |checked: Result<(), String>| {
            if let Err(broken) = checked {
                panic!("invariant {broken}, after {stamped:?}");
            }
        };
        must(invariants::check(&self.state));
        must(self.seen.then(&self.state));
        let now = self.state.meta().now;
        match (&outcome.result, &before) {
            (Ok(_), None) if request.is_empty() => must(invariants::acts(&stamped, &self.state)),
            (Ok(_), None) => {}
            (Err(reject), Some(before)) => {
                assert!(!reject.to_string().is_empty());
                if before.next_deadline().is_none_or(|due| due > now) {
                    must(invariants::unchanged_by_refusal(before, &self.state));
                }
            }
            _ => panic!("one replica refuses {stamped:?}, the other does not"),
        }
        // What any other command makes due at once, such as a shorter wait, is the next one's to fire.
        let left = self.state.next_deadline().is_some_and(|due| due <= now);
        let tick = matches!(stamped.command, Command::Tick);
        assert!(
            !(left && tick),
            "a tick leaves something that is due: the leader would have no rest"
        );
        if self.index.is_multiple_of(8) {
            self.compare(stamped.command.name());
        }
    }

    /// The other replica has come to the same.
    fn compare(&self, after: &str) {
        let mut parts = 0;
        for key in self.state.keys() {
            let name = entity::key(&key);
            let here = self.state.entity(&key).map(|part| entity::encode(&part));
            let there = self.second.disk.get(&name);
            // Not written yet: the settings of an organisation that has none, and all before the first command.
            if there.is_none() && matches!(key, Key::Workspace | Key::Meta) {
                continue;
            }
            parts += 1;
            assert_eq!(here.as_ref(), there, "{key:?} differs after {after}");
        }
        assert_eq!(
            parts,
            self.second.disk.len(),
            "something stays on disk after {after}"
        );
        let (here, there) = (
            self.state.next_deadline(),
            self.second.state.next_deadline(),
        );
        assert_eq!(here, there, "the next deadline differs after {after}");
    }

    fn opens(&mut self, source: &mut Source<'_>, agent: &str) {
        let open = Command::OpenSession {
            agent: agent.into(),
            node: 1,
            resume: 0,
            grace_ms: 5_000,
        };
        self.give(source, "", open);
        let epoch = self.epoch(&agent.into());
        let presence = Command::SetPresence {
            agent: agent.into(),
            epoch,
            presence: Presence::Available,
            overtime: false,
        };
        self.give(source, "", presence);
    }

    fn epoch(&self, agent: &AgentId) -> Epoch {
        self.state.agents().get(agent).map_or(0, |a| a.epoch)
    }

    /// Questions change nothing and find an answer, whatever the state.
    fn asked(&self, source: &mut Source<'_>) {
        for (id, chat) in self.state.chats() {
            let standing = self.state.standing(id);
            let _ = self.state.why_waits(id, &standing);
            let _ = self.state.position(chat);
        }
        for agent in self.state.agents().keys() {
            let _ = self.state.what_if(agent, true, 3);
        }
        for queue in self.state.queues().keys() {
            let _ = self.state.service(queue).service_level();
        }
        let _ = self.state.outlook(&new_chat(source));
    }

    /// What somebody does: mostly the agent who has something to do, about what they have.
    fn command(&self, kind: usize, source: &mut Source<'_>) -> Command {
        let agent: AgentId = source.of(&AGENTS).into();
        let epoch = match source.below(16) {
            15 => source.below(8) as u64,
            _ => self.epoch(&agent),
        };
        let held: Vec<&Chat> = self.state.held(&agent).collect();
        let known: Option<&Chat> = match held.is_empty() || source.once_in(8) {
            true => {
                let place = source.below(self.state.chats().len().max(1));
                self.state.chats().values().nth(place)
            }
            false => Some(source.of(&held)),
        };
        let chat = known.map_or_else(|| chat_id(source), |c| c.id.clone());
        let assignment = known.map_or(0, |c| c.assignment);
        match kind {
            0..14 => Command::StartChat(new_chat(source)),
            14..18 => Command::OpenSession {
                agent,
                node: node(source),
                resume: if source.once_in(2) { epoch } else { 0 },
                grace_ms: source.of(&TIMES),
            },
            18..24 => Command::SetPresence {
                agent,
                epoch,
                presence: match source.below(8) {
                    0..4 => Presence::Available,
                    4 => Presence::Break,
                    5 => Presence::Draining,
                    6 => Presence::Offline,
                    _ => source.of(&[Presence::NotResponding, Presence::Lost]),
                },
                overtime: source.once_in(3),
            },
            24..32 => Command::AcceptOffer {
                agent,
                epoch,
                chat,
                assignment: assignment.wrapping_sub(u64::from(source.once_in(8))),
            },
            32 => Command::DeclineOffer {
                agent,
                epoch,
                chat,
                assignment,
                reason: source.of(&["", "busy", "lunch"]).to_owned(),
            },
            33..37 => Command::EndChat { agent, epoch, chat },
            37..39 => Command::FinishWrapUp { agent, epoch, chat },
            39..41 => Command::TransferChat {
                agent,
                epoch,
                chat,
                to: to(source),
                note: text(source),
                take_back: source.once_in(2),
            },
            41..43 => Command::AskFor {
                agent,
                epoch,
                chat,
                purpose: source.of(&Purpose::ALL),
                to: to(source),
                patience_ms: source.of(&TIMES),
                note: text(source),
            },
            43 => Command::LoseSession { agent, epoch },
            44 => Command::CloseSession { agent, epoch },
            45 => Command::NodeLost { node: node(source) },
            46..48 => Command::LeaveChat { chat },
            48 => Command::RateChat {
                chat,
                stars: source.of(&SMALL),
                comment: text(source),
            },
            49 => Command::VisitorSeen {
                chat,
                node: node(source),
            },
            50 => Command::VisitorGone {
                chat,
                node: node(source),
            },
            51 => Command::LeaveMessage {
                chat,
                text: text(source),
                contact: source.of(&["x", ""]).to_owned(),
                at: self.moment(source),
            },
            52 => Command::Escalate {
                agent,
                epoch,
                chat,
                track: Tracking {
                    channel: source.of(&["phone", "", "E mail"]).to_owned(),
                    reference: "T".to_owned(),
                    due_ms: source.of(&TIMES),
                    note: text(source),
                },
            },
            53 => Command::CloseTracked {
                chat,
                outcome: text(source),
            },
            54..56 => Command::Shut {
                what: match source.once_in(2) {
                    true => Shut::Region(source.of(&REGIONS).into()),
                    false => Shut::Queue(source.of(&QUEUES).into()),
                },
                until: self.moment(source),
                why: text(source),
            },
            56 => Command::Supervise {
                chat,
                how: source.of(&[
                    None,
                    Some(Watch::Monitor),
                    Some(Watch::Whisper),
                    Some(Watch::Barge),
                ]),
            },
            57 => Command::MoveChat {
                chat,
                to: to(source),
                note: text(source),
            },
            58 => Command::Adopt {
                rules: source.below(3) as u32,
            },
            59 => Command::PinLeader {
                region: match source.once_in(3) {
                    true => None,
                    false => Some(source.of(&REGIONS).into()),
                },
            },
            _ => Command::Tick,
        }
    }

    fn moment(&self, source: &mut Source<'_>) -> Millis {
        match source.below(8) {
            0..6 => self.now.saturating_add(source.of(&TIMES).into()),
            6 => source.of(&[0, TIME_MAX, TIME_MAX + 1, -1]),
            _ => source.u64() as i64,
        }
    }
}
