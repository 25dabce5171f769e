//! The objects of a script, from words to commands.

use std::collections::BTreeMap;

use meridian_routing::command::*;
use meridian_routing::ids::*;
use meridian_routing::language::Resolved;
use meridian_routing::model::*;

use super::millis;

pub struct Args<'a> {
    pub words: Vec<&'a str>,
    pub named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Args<'a> {
    pub fn of(text: &'a str) -> Self {
        let (named, words): (Vec<_>, Vec<_>) =
            text.split_whitespace().partition(|w| w.contains('='));
        Self {
            words,
            named: named.iter().filter_map(|w| w.split_once('=')).collect(),
        }
    }
    pub fn word(&self, i: usize) -> &'a str {
        self.words
            .get(i)
            .copied()
            .unwrap_or_else(|| panic!("word {i} is missing in {:?}", self.words))
    }
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        self.named
            .get(name)
            .map(|v| v.split(',').filter(|p| !p.is_empty()).collect())
            .unwrap_or_default()
    }
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.named.get(name).map_or(default, |v| {
            v.parse()
                .unwrap_or_else(|_| panic!("{name}={v}: no number"))
        })
    }
    pub fn ms(&self, name: &str, default: u32) -> u32 {
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

fn skill(text: &str) -> SkillLevel {
    let (skill, level) = text.split_once(':').unwrap_or((text, "1"));
    SkillLevel {
        skill: skill.into(),
        level: level.parse().expect("a skill level"),
    }
}

fn skills(args: &Args<'_>) -> Vec<SkillLevel> {
    args.list("skills").into_iter().map(skill).collect()
}

/// `0s/fluent`, `30s/working/fallback/off2/less:billing/eu+us/near1/first:eu/want:billing:4/rank2/skip`.
fn step(text: &str) -> RelaxationStep {
    let mut step = RelaxationStep::default();
    for (i, part) in text.split('/').enumerate() {
        let after = |prefix: &str| part.strip_prefix(prefix);
        let number = |digits: &str| digits.parse::<u32>().ok();
        match part {
            _ if i == 0 => step.after_ms = millis(part) as u32,
            "fallback" => step.fallback_languages = true,
            "exact" => step.language_distance_max = 0,
            "far" => step.language_distance_max = 499,
            "script" => step.language_distance_max = 799,
            "skip" => step.skip_if_nobody = true,
            "native" | "fluent" | "working" | "translated" => step.language_level = level(part),
            _ if let Some(w) = after("q").and_then(number) => step.language_weight_min = w,
            _ if let Some(off) = after("off").and_then(number) => step.skill_levels_off = off,
            _ if let Some(near) = after("near").and_then(number) => step.near = Some(near),
            _ if let Some(rank) = after("rank").and_then(number) => step.rank_max = rank,
            _ if let Some(skills) = after("less:") => step.skills_off = plus(skills),
            _ if let Some(regions) = after("first:") => step.prefer_regions = plus(regions),
            _ if let Some(skills) = after("want:") => {
                step.prefer_skills = skills.split('+').map(skill).collect()
            }
            regions => step.regions = plus(regions),
        }
    }
    step
}

fn plus<T: for<'a> From<&'a str>>(text: &str) -> Vec<T> {
    text.split('+').map(Into::into).collect()
}

/// `us@10s`, `us@10s/size5/nobody/level70`.
fn overflow(text: &&str) -> Overflow {
    let (queue, rest) = text.split_once('@').expect("overflow queue@after");
    let mut parts = rest.split('/');
    let after = parts.next().expect("a time");
    let mut overflow = Overflow {
        after_ms: millis(after) as u32,
        queue: queue.into(),
        ..Overflow::default()
    };
    for part in parts {
        let number = |digits: &str| digits.parse().expect("a number");
        match part {
            "nobody" => overflow.no_agent = true,
            _ if let Some(n) = part.strip_prefix("size") => overflow.waiting_min = number(n),
            _ if let Some(n) = part.strip_prefix("level") => {
                overflow.service_level_below = number(n)
            }
            part => panic!("overflow '{part}'?"),
        }
    }
    overflow
}

/// `chat:1`, `chat/sales:2`, `sms:1!`.
fn load(text: &&str) -> Load {
    let (what, weight) = text.split_once(':').expect("load channel:weight");
    let (channel, kind) = what.split_once('/').unwrap_or((what, ""));
    Load {
        channel: channel.into(),
        kind: kind.into(),
        weight: weight.trim_end_matches('!').parse().expect("a weight"),
        interrupting: weight.ends_with('!'),
    }
}

/// `q`, `q:2`, `q:1:3`: rank and most chats at a time.
fn served(text: &str) -> Served {
    let mut parts = text.split(':');
    let mut served = Served::from(parts.next().expect("a queue"));
    let mut number = |default| {
        parts
            .next()
            .map_or(default, |n| n.parse().expect("a number"))
    };
    served.rank = number(1);
    served.chats_max = number(0);
    served
}

pub fn workspace(args: &Args<'_>) -> Command {
    let fallback = |f: &&str| {
        let (from, to) = f.split_once(':').expect("fallback from:to+to");
        (from.into(), to.split('+').map(Into::into).collect())
    };
    let fallbacks: Vec<(Language, Vec<Language>)> =
        args.list("fallbacks").iter().map(fallback).collect();
    let tags = fallbacks
        .iter()
        .flat_map(|(from, to)| to.iter().chain([from]));
    let learn = tags.filter_map(|tag| resolved(tag.as_str()));
    let mut changes: Vec<_> = learn.map(ConfigChange::LearnLanguage).collect();
    changes.push(ConfigChange::PutWorkspace(Workspace {
        name: args.word(1).into(),
        fallbacks,
        order: match args.named.get("order") {
            Some(&"deadline") => Order::Deadline,
            _ => Order::Arrival,
        },
        loads: args.list("loads").iter().map(load).collect(),
        break_after_ms: args.ms("break_after", 0),
        break_ms: args.ms("break", 0),
    }));
    Command::Configure(changes)
}

pub fn schedule(verb: &str, args: &Args<'_>) -> Command {
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
        last_offer_ms: args.ms("last", 0),
        handover_ms: args.ms("handover", 0),
        handover_to_line: args.words.contains(&"to_line"),
    };
    Command::Configure(vec![if verb == "extend" {
        ConfigChange::ExtendSchedule(schedule)
    } else {
        ConfigChange::PutSchedule(schedule)
    }])
}

pub fn region(args: &Args<'_>) -> Command {
    Command::Configure(vec![ConfigChange::PutRegion(Region {
        id: args.word(1).into(),
        zone: "Etc/UTC".into(),
        schedule: args.word(2).into(),
        neighbours: args.list("near").into_iter().map(Into::into).collect(),
    })])
}

pub fn queue(args: &Args<'_>) -> Command {
    let steps = args.list("steps");
    let number = |name: &str, default| args.number(name, default) as u32;
    let strategy = match args.named.get("strategy").copied() {
        None | Some("least_occupied") => Strategy::LeastOccupied,
        Some("longest_idle") => Strategy::LongestIdle,
        Some("round_robin") => Strategy::RoundRobin,
        Some("weighted") => Strategy::Weighted,
        Some("most_skilled") => Strategy::MostSkilled,
        Some(other) => panic!("strategy '{other}'?"),
    };
    Command::Configure(vec![ConfigChange::PutQueue(Queue {
        id: args.word(1).into(),
        schedule: args.named.get("schedule").map(|s| (*s).into()),
        steps: if steps.is_empty() {
            vec![step("0s/fluent")]
        } else {
            steps.iter().map(|s| step(s)).collect()
        },
        offer_timeout_ms: args.ms("offer", 20_000),
        offer_to: number("to", 1),
        auto_accept: args.words.contains(&"auto"),
        decline_reasons: args.list("reasons").into_iter().map(Into::into).collect(),
        refusal_ms: args.ms("refusal", 60_000),
        ignored_max: number("ignored", 3),
        wrap_up_ms: args.ms("wrap", 0),
        wait_ms_max: args.ms("waitmax", 900_000),
        waiting_max: number("waiting", 1000),
        priority: number("priority", 0),
        vip_priority: number("vip", 0),
        ageing_ms: args.ms("ageing", 0),
        answer_target_ms: args.ms("target", 46_000),
        service_level: number("level", 0),
        overflow: args.list("overflow").iter().map(overflow).collect(),
        strategy,
        sticky_ms: args.ms("sticky", 0),
        hold_agent_ms: args.ms("hold", 0),
        hold_team_ms: args.ms("holdteam", 0),
        staff_min: number("staff", 0),
    })])
}

pub fn agent(args: &Args<'_>) -> Command {
    let language = |l: &&str| {
        let (tag, how) = l.split_once(':').unwrap_or((l, "native"));
        LanguageLevel {
            language: tag.into(),
            level: level(how),
        }
    };
    let ramp = |r: &&str| {
        let (until, capacity) = r.split_once(':').expect("ramp until:capacity");
        Ramp {
            until: millis(until),
            capacity: capacity.parse().expect("a capacity"),
        }
    };
    let learn = args.list("langs").into_iter().filter_map(resolved);
    let mut changes: Vec<_> = learn.map(ConfigChange::LearnLanguage).collect();
    changes.push(ConfigChange::PutAgent(Agent {
        id: args.word(1).into(),
        name: args.word(1).into(),
        region: args.word(2).into(),
        team: args.named.get("team").copied().unwrap_or_default().into(),
        schedule: args.named.get("schedule").map(|s| (*s).into()),
        languages: args.list("langs").iter().map(language).collect(),
        skills: skills(args),
        queues: args.list("queues").into_iter().map(served).collect(),
        capacity: args.number("cap", 1) as u32,
        extra: args.number("extra", 0) as u32,
        ramp_up: args.list("ramp").iter().map(ramp).collect(),
        share: args.number("share", 100) as u32,
        bot: args.words.contains(&"bot"),
    }));
    Command::Configure(changes)
}

/// `queue q`, `region eu`, with `until=9h why=fire`.
pub fn shut(args: &Args<'_>, until: Millis) -> Command {
    let id = args.word(2);
    Command::Shut {
        what: match args.word(1) {
            "queue" => Shut::Queue(id.into()),
            _ => Shut::Region(id.into()),
        },
        until,
        why: args.named.get("why").copied().unwrap_or_default().into(),
    }
}

/// `agent=a`, `queue=q`, `skills=billing:4`, `region=us hold=1m`.
pub fn to(args: &Args<'_>) -> TransferTo {
    let named = |name: &str| args.named.get(name).copied();
    if let Some(agent) = named("agent") {
        return TransferTo::Agent(agent.into());
    }
    if let Some(region) = named("region") {
        return TransferTo::Region(Toward {
            region: region.into(),
            hold_ms: args.ms("hold", 60_000),
        });
    }
    match named("queue") {
        Some(queue) => TransferTo::Queue(queue.into()),
        None => TransferTo::Skills(skills(args)),
    }
}

pub fn chat(args: &Args<'_>) -> Command {
    let named = |name: &str| args.named.get(name).copied();
    Command::StartChat(NewChat {
        chat: args.word(1).into(),
        queue: args.word(2).into(),
        resolved: args
            .list("langs")
            .iter()
            .filter_map(|l| resolved(l))
            .collect(),
        languages: args.list("langs").iter().map(|l| wanted(l)).collect(),
        region: named("region").map(Into::into),
        visitor: named("visitor").unwrap_or_default().into(),
        skills: skills(args),
        priority: args.number("priority", 0) as u32,
        vip: args.words.contains(&"vip"),
        channel: named("channel").unwrap_or_default().into(),
        kind: named("kind").unwrap_or_default().into(),
        weight: args.number("weight", 0) as u32,
        owner: named("owner").map(Into::into),
        topic: String::new(),
        lease_ms: args.ms("lease", 0),
    })
}
