//! The routing core under commands of the fuzzer's: valid ones as a rule, since what is refused at the door reaches
//! nothing, and then whatever a command can hold. After each, every invariant; and a second replica, which reads each
//! command as the log holds it and begins now and then anew from what it wrote, comes to the same bytes.

use std::collections::BTreeMap;

use meridian_node::convert::{command as commands, entity, history};
use meridian_routing::apply::Outcome;
use meridian_routing::command::{Command, ConfigChange, NewChat, Shut, Stamped, TransferTo};
use meridian_routing::ids::*;
use meridian_routing::invariants::{self, Seen};
use meridian_routing::language::Resolved;
use meridian_routing::limits::{self, TIME_MAX};
use meridian_routing::model::*;
use meridian_routing::state::{Chat, Key, State};

use crate::source::Source;

/// Most commands of one input.
const COMMANDS_MAX: usize = 160;

const QUEUES: [&str; 4] = ["a", "b", "c", "none"];
const REGIONS: [&str; 3] = ["eu", "us", "none"];
const SCHEDULES: [&str; 4] = ["day", "night", "always", "none"];
const AGENTS: [&str; 6] = ["a1", "a2", "a3", "a4", "b1", "none"];
const LANGUAGES: [&str; 6] = ["en", "es", "pt", "pt-BR", "ca", "x"];
const SKILLS: [&str; 3] = ["billing", "tech", "vip"];
/// What is near a bound, or usual.
const TIMES: [u32; 12] = [
    0, 1, 999, 1_000, 5_000, 20_000, 60_000, 600_000, 3_600_000, 3_600_001, 86_400_000, 86_400_001,
];
const SMALL: [u32; 10] = [1, 0, 2, 3, 5, 9, 10, 100, 1_000, 1_001];

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

fn chat_id(source: &mut Source<'_>) -> ChatId {
    match source.below(32) {
        31 => ChatId::from("x".repeat(source.of(&[0, 64, 65, 80, 81]))),
        n => ChatId::from(format!("c{n}")),
    }
}

fn node(source: &mut Source<'_>) -> NodeId {
    source.of(&[1, 2, 3, 0, u64::MAX])
}

fn text(source: &mut Source<'_>) -> String {
    match source.below(16) {
        15 => "x".repeat(source.of(&[256, 257, 4_096, 4_097])),
        n if n > 10 => "é".to_owned(),
        _ => String::new(),
    }
}

/// Mostly one of these.
fn number(source: &mut Source<'_>, usual: &[u32]) -> u32 {
    match source.below(32) {
        31 => source.u64() as u32,
        30 => source.of(&[0, u32::MAX]),
        _ => source.of(usual),
    }
}

fn skill(source: &mut Source<'_>) -> SkillLevel {
    SkillLevel {
        skill: source.of(&SKILLS).into(),
        level: number(source, &[1, 2, 5, 10, 11]),
    }
}

fn toward(source: &mut Source<'_>) -> Toward {
    Toward {
        region: source.of(&REGIONS).into(),
        hold_ms: number(source, &TIMES),
    }
}

fn to(source: &mut Source<'_>) -> TransferTo {
    match source.below(4) {
        0 => TransferTo::Queue(source.of(&QUEUES).into()),
        1 => TransferTo::Agent(source.of(&AGENTS).into()),
        2 => TransferTo::Skills(source.some(2, skill)),
        _ => TransferTo::Region(toward(source)),
    }
}

fn new_chat(source: &mut Source<'_>) -> NewChat {
    let languages = 1 + source.below(2);
    NewChat {
        chat: chat_id(source),
        queue: source.of(&QUEUES).into(),
        languages: (0..languages)
            .map(|_| WantedLanguage {
                language: source.of(&LANGUAGES).into(),
                weight: number(source, &[1_000, 500, 100, 1_001]),
            })
            .collect(),
        resolved: source.some(1, resolved),
        region: source.once_in(4).then(|| source.of(&REGIONS).into()),
        visitor: source.of(&["", "v1", "v2"]).to_owned(),
        skills: match source.once_in(4) {
            true => source.some(2, skill),
            false => Vec::new(),
        },
        priority: number(source, &[0, 0, 5, 9, 10]),
        vip: source.once_in(8),
        channel: source.of(&["", "chat", "sms", "E mail"]).to_owned(),
        kind: source.of(&["", "sales"]).to_owned(),
        weight: number(source, &[0, 1, 2, 3, 100, 101]),
        owner: source.once_in(8).then(|| source.of(&AGENTS).into()),
        topic: text(source),
        lease_ms: number(source, &[0, 0, 5_000, 20_000, 600_000, 600_001]),
    }
}

fn resolved(source: &mut Source<'_>) -> Resolved {
    Resolved {
        language: source.of(&LANGUAGES).into(),
        data: source.of(&["47", "48", ""]).to_owned(),
        key: source.of(&["en-Latn", "es-Latn", "pt-Latn", ""]).to_owned(),
        region: source.of(&["US", "ES", "BR"]).to_owned(),
        group: source.of(&SMALL),
        paradigm: source.once_in(2),
        near: source.some(2, |s| {
            let key = s.of(&["en-Latn", "es-", "pt-", ""]);
            (key.to_owned(), number(s, &[0, 10, 90, 799, 800]))
        }),
        regions: source.some(2, |s| (s.of(&SMALL), number(s, &[0, 40, 799]))),
        elsewhere: number(source, &[50, 0, 799, 800]),
    }
}

fn change(source: &mut Source<'_>) -> ConfigChange {
    match source.below(16) {
        0 => ConfigChange::PutWorkspace(workspace(source)),
        1 => ConfigChange::PutRegion(region(source)),
        2 => ConfigChange::PutSchedule(schedule(source)),
        3 => ConfigChange::ExtendSchedule(schedule(source)),
        4..8 => ConfigChange::PutQueue(queue(source)),
        8..11 => ConfigChange::PutAgent(agent(source)),
        11 => ConfigChange::LearnLanguage(resolved(source)),
        12 => ConfigChange::RemoveRegion(source.of(&REGIONS).into()),
        13 => ConfigChange::RemoveSchedule(source.of(&SCHEDULES).into()),
        14 => ConfigChange::RemoveQueue(source.of(&QUEUES).into()),
        _ => ConfigChange::RemoveAgent(source.of(&AGENTS).into()),
    }
}

fn workspace(source: &mut Source<'_>) -> Workspace {
    Workspace {
        name: "acme".to_owned(),
        fallbacks: source.some(2, |s| {
            let accept = s.some(2, |s| s.of(&LANGUAGES).into());
            (s.of(&LANGUAGES).into(), accept)
        }),
        order: source.of(&[Order::Arrival, Order::Deadline]),
        loads: source.some(3, |s| Load {
            channel: s.of(&["chat", "sms"]).to_owned(),
            kind: s.of(&["", "sales"]).to_owned(),
            weight: number(s, &[1, 2, 3, 100]),
            interrupting: s.once_in(2),
        }),
        break_after_ms: number(source, &TIMES),
        break_ms: number(source, &TIMES),
    }
}

fn region(source: &mut Source<'_>) -> Region {
    Region {
        id: source.of(&REGIONS[..2]).into(),
        zone: "UTC".to_owned(),
        schedule: source.of(&SCHEDULES).into(),
        neighbours: source.some(2, |s| s.of(&REGIONS).into()),
    }
}

fn schedule(source: &mut Source<'_>) -> Schedule {
    let mut at = 0;
    let spans = source.some(4, |s| {
        let start = at + i64::from(s.of(&TIMES)) * s.below(12) as i64;
        at = start + i64::from(s.of(&TIMES[1..])) * s.below(12) as i64;
        match s.once_in(32) {
            true => Span {
                start: s.u64() as i64,
                end: s.u64() as i64,
            },
            false => Span { start, end: at },
        }
    });
    Schedule {
        id: source.of(&SCHEDULES[..3]).into(),
        spans,
        horizon: source.of(&[i64::MAX, 86_400_000, 0]),
        zone_data: source.of(&["", "2026a", "2026b"]).to_owned(),
        source: source.bytes(4).to_vec(),
        last_offer_ms: number(source, &TIMES),
        handover_ms: number(source, &TIMES),
        handover_to_line: source.once_in(2),
    }
}

fn step(source: &mut Source<'_>) -> RelaxationStep {
    RelaxationStep {
        after_ms: 0,
        language_level: source.of(&[
            Level::Fluent,
            Level::Translated,
            Level::Working,
            Level::Native,
        ]),
        language_distance_max: number(source, &[90, 0, 799, 800]),
        language_weight_min: number(source, &[1_001, 0, 100]),
        fallback_languages: source.once_in(2),
        skill_levels_off: source.of(&SMALL),
        skills_off: source.some(1, |s| s.of(&SKILLS).into()),
        regions: source.some(1, |s| s.of(&REGIONS).into()),
        near: source.of(&[None, None, Some(0), Some(1), Some(u32::MAX)]),
        prefer_regions: source.some(1, |s| s.of(&REGIONS).into()),
        prefer_skills: source.some(1, skill),
        rank_max: number(source, &[9, 1, 2]),
        skip_if_nobody: source.once_in(2),
    }
}

fn queue(source: &mut Source<'_>) -> Queue {
    let mut steps = vec![step(source)];
    for n in 0..source.below(3) as u32 {
        steps.push(RelaxationStep {
            after_ms: number(source, &[1_000 * (n + 1), 20_000 * (n + 1)]),
            ..step(source)
        });
    }
    Queue {
        id: source.of(&QUEUES[..3]).into(),
        schedule: source.once_in(3).then(|| source.of(&SCHEDULES).into()),
        steps,
        offer_timeout_ms: number(source, &[20_000, 1_000, 3_600_000]),
        offer_to: number(source, &[1, 1, 2, 16]),
        auto_accept: source.once_in(4),
        decline_reasons: source.some(1, |_| "busy".to_owned()),
        refusal_ms: number(source, &TIMES),
        ignored_max: number(source, &[1, 3, 100]),
        wrap_up_ms: number(source, &TIMES[..9]),
        wait_ms_max: number(source, &TIMES[3..]),
        waiting_max: number(source, &[100, 1, 2]),
        priority: number(source, &[0, 9]),
        vip_priority: number(source, &[0, 3]),
        ageing_ms: number(source, &TIMES),
        answer_target_ms: number(source, &TIMES),
        service_level: number(source, &[0, 50, 100]),
        overflow: source.some(2, |s| Overflow {
            after_ms: number(s, &TIMES),
            queue: s.of(&QUEUES).into(),
            waiting_min: number(s, &[0, 0, 1, 3]),
            no_agent: s.once_in(4),
            service_level_below: number(s, &[0, 0, 50, 100]),
        }),
        strategy: source.of(&[
            Strategy::LeastOccupied,
            Strategy::LongestIdle,
            Strategy::RoundRobin,
            Strategy::Weighted,
            Strategy::MostSkilled,
        ]),
        sticky_ms: number(source, &TIMES),
        hold_agent_ms: number(source, &TIMES[..9]),
        hold_team_ms: number(source, &TIMES[..9]),
        staff_min: number(source, &[0, 0, 1, 2]),
    }
}

fn agent(source: &mut Source<'_>) -> Agent {
    let capacity = number(source, &[1, 2, 3, 9, 1_000]);
    Agent {
        id: source.of(&AGENTS[..5]).into(),
        name: "A".to_owned(),
        region: source.of(&REGIONS).into(),
        team: source.of(&["", "red", "blue"]).to_owned(),
        schedule: source.once_in(3).then(|| source.of(&SCHEDULES).into()),
        languages: source
            .some(2, |s| LanguageLevel {
                language: s.of(&LANGUAGES).into(),
                level: s.of(&[Level::Native, Level::Fluent, Level::Working]),
            })
            .into_iter()
            .chain([LanguageLevel {
                language: "nl".into(),
                level: Level::Fluent,
            }])
            .collect(),
        skills: source.some(2, skill),
        queues: source
            .some(2, |s| Served {
                queue: s.of(&QUEUES).into(),
                rank: number(s, &[1, 2, 9]),
                chats_max: number(s, &[0, 0, 1]),
            })
            .into_iter()
            .collect(),
        capacity,
        extra: number(source, &[0, 1, 1_000]),
        ramp_up: source.some(2, |s| Ramp {
            until: 3_600_000 * (1 + s.below(10) as i64),
            capacity: number(s, &[1, 2]),
        }),
        share: number(source, &[100, 1, 1_000]),
        bot: source.once_in(8),
    }
}

/// Two regions, three queues that overflow into each other, and five agents.
fn world() -> Vec<ConfigChange> {
    let hour = 3_600_000;
    let schedule = |id: &str, spans: &[(i64, i64)], last_offer_ms, handover_ms| {
        let span = |(start, end): &(i64, i64)| Span {
            start: start * hour,
            end: end * hour,
        };
        ConfigChange::PutSchedule(Schedule {
            id: id.into(),
            spans: spans.iter().map(span).collect(),
            horizon: i64::MAX,
            zone_data: String::new(),
            source: Vec::new(),
            last_offer_ms,
            handover_ms,
            handover_to_line: true,
        })
    };
    let region = |id: &str, schedule: &str, near: &[&str]| {
        ConfigChange::PutRegion(Region {
            id: id.into(),
            zone: "UTC".to_owned(),
            schedule: schedule.into(),
            neighbours: near.iter().map(|n| (*n).into()).collect(),
        })
    };
    let speaks = |tags: &[&str]| {
        let native = |tag: &&str| LanguageLevel {
            language: (*tag).into(),
            level: Level::Native,
        };
        tags.iter().map(native).collect::<Vec<_>>()
    };
    let agent = |id: &str, tags: &[&str], queues: &[&str], capacity| Agent {
        id: id.into(),
        name: id.to_owned(),
        region: "eu".into(),
        languages: speaks(tags),
        queues: queues.iter().map(|q| Served::from(*q)).collect(),
        capacity,
        ..Agent::default()
    };
    let put = ConfigChange::PutAgent;
    vec![
        schedule("day", &[(0, 8), (24, 32), (48, 56)], 1_200_000, 600_000),
        schedule("night", &[(7, 17), (31, 41)], 0, 300_000),
        schedule("always", &[(0, 9_000)], 0, 0),
        region("us", "night", &[]),
        region("eu", "day", &["us"]),
        ConfigChange::PutQueue(Queue {
            id: "b".into(),
            schedule: Some("day".into()),
            wait_ms_max: 120_000,
            offer_to: 2,
            strategy: Strategy::Weighted,
            ..Queue::default()
        }),
        ConfigChange::PutQueue(Queue {
            id: "a".into(),
            wrap_up_ms: 10_000,
            sticky_ms: 300_000,
            hold_agent_ms: 20_000,
            overflow: vec![Overflow {
                after_ms: 40_000,
                queue: "b".into(),
                ..Overflow::default()
            }],
            steps: vec![
                RelaxationStep::default(),
                RelaxationStep {
                    after_ms: 30_000,
                    language_distance_max: limits::LANGUAGE_DISTANCE_MAX,
                    language_level: Level::Working,
                    fallback_languages: true,
                    ..RelaxationStep::default()
                },
            ],
            ..Queue::default()
        }),
        ConfigChange::PutQueue(Queue {
            id: "c".into(),
            auto_accept: true,
            strategy: Strategy::RoundRobin,
            ..Queue::default()
        }),
        put(agent("a1", &["en", "es"], &["a", "c"], 2)),
        put(Agent {
            schedule: Some("day".into()),
            skills: vec![SkillLevel {
                skill: "billing".into(),
                level: 4,
            }],
            team: "red".to_owned(),
            extra: 1,
            ..agent("a2", &["pt-BR", "es"], &["a", "b"], 3)
        }),
        put(Agent {
            region: "us".into(),
            schedule: Some("night".into()),
            share: 300,
            ..agent("a3", &["en"], &["b", "c"], 1)
        }),
        put(agent("a4", &["en", "ca"], &["a", "b"], 4)),
        put(Agent {
            bot: true,
            ..agent("b1", &["en", "es"], &["a", "c"], 9)
        }),
    ]
}
