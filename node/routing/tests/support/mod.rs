//! A small language to drive the routing core with, shared by the golden scripts and kept close to how one
//! would tell the story aloud. See `testdata/*.txt`.

use std::collections::BTreeMap;

use meridian_routing::apply::Outcome;
use meridian_routing::command::*;
use meridian_routing::effect::*;
use meridian_routing::ids::*;
use meridian_routing::language::Resolved;
use meridian_routing::model::*;
use meridian_routing::state::State;

/// A state, its clock and its log.
#[derive(Default)]
pub struct Play {
    pub state: State,
    pub now: Millis,
    pub index: u64,
    epochs: BTreeMap<AgentId, Epoch>,
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

struct Args<'a> {
    words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Args<'a> {
    fn of(text: &'a str) -> Self {
        let (named, words): (Vec<_>, Vec<_>) =
            text.split_whitespace().partition(|w| w.contains('='));
        Self {
            words,
            named: named.iter().filter_map(|w| w.split_once('=')).collect(),
        }
    }
    fn word(&self, i: usize) -> &'a str {
        self.words
            .get(i)
            .copied()
            .unwrap_or_else(|| panic!("word {i} is missing in {:?}", self.words))
    }
    fn list(&self, name: &str) -> Vec<&'a str> {
        self.named
            .get(name)
            .map(|v| v.split(',').filter(|p| !p.is_empty()).collect())
            .unwrap_or_default()
    }
    fn number(&self, name: &str, default: u64) -> u64 {
        self.named.get(name).map_or(default, |v| {
            v.parse()
                .unwrap_or_else(|_| panic!("{name}={v}: no number"))
        })
    }
    fn ms(&self, name: &str, default: u32) -> u32 {
        self.named.get(name).map_or(default, |v| millis(v) as u32)
    }
}

fn level(text: &str) -> Level {
    match text {
        "native" => Level::Native,
        "fluent" => Level::Fluent,
        "working" => Level::Working,
        "translated" => Level::Translated,
        _ => panic!("unknown level '{text}'"),
    }
}

/// What the node adds to a command: the meaning of a tag.
fn resolved(text: &str) -> Option<Resolved> {
    let tag = text.split_once(':').map_or(text, |(tag, _)| tag);
    let wanted = meridian_language::wanted(tag).ok()?;
    let near = wanted.near.into_iter().map(|(key, d)| (key, d.into()));
    let regions = wanted.regions.into_iter();
    Some(Resolved {
        language: tag.into(),
        data: meridian_language::CLDR_VERSION.into(),
        key: wanted.variety.key,
        region: wanted.variety.region,
        group: wanted.variety.group.into(),
        paradigm: wanted.variety.paradigm,
        near: near.collect(),
        regions: regions.map(|(g, d)| (g.into(), d.into())).collect(),
        elsewhere: wanted.elsewhere.into(),
    })
}

/// `pt-BR`, `es:800`.
fn wanted(text: &str) -> WantedLanguage {
    let (tag, weight) = text.split_once(':').unwrap_or((text, "1000"));
    WantedLanguage {
        language: tag.into(),
        weight: weight.parse().expect("a weight"),
    }
}

fn skills(args: &Args<'_>) -> Vec<SkillLevel> {
    let skill = |s: &&str| {
        let (skill, level) = s.split_once(':').unwrap_or((s, "1"));
        SkillLevel {
            skill: skill.into(),
            level: level.parse().expect("a skill level"),
        }
    };
    args.list("skills").iter().map(skill).collect()
}

/// `0s/fluent`, `30s/working/fallback/off2/eu+us`.
fn step(text: &str) -> RelaxationStep {
    let mut step = RelaxationStep {
        after_ms: 0,
        language_level: Level::Fluent,
        language_distance_max: 90,
        language_weight_min: 1_001,
        fallback_languages: false,
        skill_levels_off: 0,
        regions: vec![],
    };
    for (i, part) in text.split('/').enumerate() {
        match part {
            _ if i == 0 => step.after_ms = millis(part) as u32,
            "fallback" => step.fallback_languages = true,
            "exact" => step.language_distance_max = 0,
            "far" => step.language_distance_max = 499,
            "script" => step.language_distance_max = 799,
            weight if weight.starts_with('q') => {
                step.language_weight_min = weight[1..].parse().expect("a weight")
            }
            "native" | "fluent" | "working" | "translated" => step.language_level = level(part),
            off if off.starts_with("off") => {
                step.skill_levels_off = off[3..].parse().expect("levels off")
            }
            regions => step.regions = regions.split('+').map(Into::into).collect(),
        }
    }
    step
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
            "explain" => return self.explain(args.word(1)),
            "standing" => {
                return self
                    .state
                    .standing(&args.word(1).into(), 10)
                    .iter()
                    .map(|c| format!("  {} {:?}: {}", c.agent, c.rule, c.reason))
                    .collect();
            }
            "sun" => {
                let mut order: Vec<_> = self
                    .state
                    .sun_order()
                    .into_iter()
                    .map(|(id, at)| (at, id.0))
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
            "workspace" => {
                let fallback = |f: &&str| {
                    let (from, to) = f.split_once(':').expect("fallback from:to+to");
                    (from.into(), to.split('+').map(Into::into).collect())
                };
                let fallbacks: Vec<(Language, Vec<Language>)> =
                    args.list("fallbacks").iter().map(fallback).collect();
                let tags = fallbacks
                    .iter()
                    .flat_map(|(from, to)| to.iter().chain([from]));
                let learn = tags.filter_map(|tag| resolved(&tag.0));
                let mut changes: Vec<_> = learn.map(ConfigChange::LearnLanguage).collect();
                changes.push(ConfigChange::PutWorkspace(Workspace {
                    name: args.word(1).into(),
                    fallbacks,
                }));
                Command::Configure(changes)
            }
            verb @ ("schedule" | "extend") => {
                let span = |s: &&str| {
                    let (start, end) = s.split_once('-').expect("span from-to");
                    Span {
                        start: millis(start),
                        end: millis(end),
                    }
                };
                let spans = args.list("spans").iter().map(span).collect();
                let named = |name: &str| args.named.get(name).copied();
                let schedule = Schedule {
                    id: args.word(1).into(),
                    spans,
                    horizon: millis("1000h"),
                    zone_data: named("zonedata").unwrap_or("test").into(),
                    source: named("source").unwrap_or_default().into(),
                };
                Command::Configure(vec![if verb == "extend" {
                    ConfigChange::ExtendSchedule(schedule)
                } else {
                    ConfigChange::PutSchedule(schedule)
                }])
            }
            "region" => Command::Configure(vec![ConfigChange::PutRegion(Region {
                id: args.word(1).into(),
                zone: "Etc/UTC".into(),
                schedule: args.word(2).into(),
            })]),
            "queue" => {
                let steps = args.list("steps");
                let overflow = args.named.get("overflow").map(|o| {
                    let (queue, after) = o.split_once('@').expect("overflow queue@after");
                    Overflow {
                        after_ms: millis(after) as u32,
                        queue: queue.into(),
                    }
                });
                Command::Configure(vec![ConfigChange::PutQueue(Queue {
                    id: args.word(1).into(),
                    schedule: args.named.get("schedule").map(|s| (*s).into()),
                    steps: if steps.is_empty() {
                        vec![step("0s/fluent")]
                    } else {
                        steps.iter().map(|s| step(s)).collect()
                    },
                    offer_timeout_ms: args.ms("offer", 20_000),
                    wrap_up_ms: args.ms("wrap", 0),
                    wait_ms_max: args.ms("waitmax", 900_000),
                    waiting_max: args.number("waiting", 1000) as u32,
                    ageing_ms: args.ms("ageing", 0),
                    answer_target_ms: 46_000,
                    overflow,
                    sticky_ms: args.ms("sticky", 0),
                })])
            }
            "agent" => {
                let language = |l: &&str| {
                    let (tag, how) = l.split_once(':').unwrap_or((l, "native"));
                    LanguageLevel {
                        language: tag.into(),
                        level: level(how),
                    }
                };
                let learn = args.list("langs").into_iter().filter_map(resolved);
                let mut changes: Vec<_> = learn.map(ConfigChange::LearnLanguage).collect();
                changes.push(ConfigChange::PutAgent(Agent {
                    id: args.word(1).into(),
                    name: args.word(1).into(),
                    region: args.word(2).into(),
                    schedule: args.named.get("schedule").map(|s| (*s).into()),
                    languages: args.list("langs").iter().map(language).collect(),
                    skills: skills(&args),
                    queues: args.list("queues").into_iter().map(Into::into).collect(),
                    capacity: args.number("cap", 1) as u32,
                }));
                Command::Configure(changes)
            }
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
            "chat" => Command::StartChat(NewChat {
                chat: args.word(1).into(),
                queue: args.word(2).into(),
                resolved: args
                    .list("langs")
                    .iter()
                    .filter_map(|l| resolved(l))
                    .collect(),
                languages: args.list("langs").iter().map(|l| wanted(l)).collect(),
                region: args.named.get("region").map(|r| (*r).into()),
                visitor: args
                    .named
                    .get("visitor")
                    .copied()
                    .unwrap_or_default()
                    .into(),
                skills: skills(&args),
                priority: args.number("priority", 0) as u32,
                weight: args.number("weight", 1) as u32,
                topic: String::new(),
            }),
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
                let to = match args.named.get("agent") {
                    Some(other) => TransferTo::Agent((*other).into()),
                    None => TransferTo::Queue(args.named["queue"].into()),
                };
                Command::TransferChat {
                    agent,
                    epoch,
                    chat: args.word(2).into(),
                    to,
                    note: "as told".into(),
                }
            }
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
        for (id, agent) in self.state.agents() {
            let shift = if self.state.on_shift(agent) {
                ""
            } else {
                ", off shift"
            };
            lines.push(format!(
                "  agent {id}: {:?} {}/{}{shift}",
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
                let sign = if c.eligible { '+' } else { '-' };
                lines.push(format!(
                    "      {sign} {} {:?}: {}",
                    c.agent, c.rule, c.reason
                ));
            }
        }
        lines
    }
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Waiting => "waiting".into(),
        Phase::Offered { agent, until } => format!("offered to {agent} until {until}ms"),
        Phase::Active { agent } => format!("active with {agent}"),
        Phase::WrapUp { agent, until } => format!("wrap-up by {agent} until {until}ms"),
        Phase::Deferred { due } => format!("deferred to {due}ms"),
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
