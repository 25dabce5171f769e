//! The configuration in the shape of the world file. What has its default is left out.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;
use serde_saphyr::FlowSeq;

use super::objects::{LEVELS, ORDERS, REACHES, STRATEGIES};
use crate::time::{format_millis, rfc3339};

/// Refusal of a queue that sets none, as the API documents it.
const REFUSAL_MS: u32 = 60_000;
/// Ignored offers of a queue that sets none.
const IGNORED_MAX: u32 = 3;
/// Share of an agent for whom none is set.
const SHARE_USUAL: u32 = 100;

/// The whole file.
#[derive(Debug, Serialize)]
pub struct World {
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Workspace>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regions: Vec<Region>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<Schedule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queues: Vec<Queue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agents: Vec<Agent>,
}

#[derive(Debug, Serialize)]
struct Workspace {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallbacks: Vec<Fallback>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loads: Vec<Load>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "break")]
    rest: Option<String>,
}

#[derive(Debug, Serialize)]
struct Load {
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    weight: u32,
    #[serde(skip_serializing_if = "no")]
    interrupting: bool,
}

#[derive(Debug, Serialize)]
struct Fallback {
    language: String,
    accept: FlowSeq<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Region {
    id: String,
    zone: String,
    schedule: String,
    #[serde(skip_serializing_if = "no_words")]
    neighbours: FlowSeq<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Schedule {
    id: String,
    zone: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    week: Vec<Shift>,
    #[serde(skip_serializing_if = "no_words")]
    holidays: FlowSeq<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Exception>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spans: Vec<UtcSpan>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<Shift>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    closures: Vec<Closure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_offer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handover: Option<String>,
    #[serde(skip_serializing_if = "no")]
    handover_to_line: bool,
}

#[derive(Debug, Serialize)]
struct UtcSpan {
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Closure {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Debug, Serialize)]
struct Shift {
    days: FlowSeq<Vec<String>>,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Exception {
    date: String,
    hours: Vec<Hours>,
}

#[derive(Debug, Serialize)]
struct Hours {
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Queue {
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schedule: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_up: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_max: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ageing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overflow: Vec<Overflow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vip_priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_to: Option<u32>,
    #[serde(skip_serializing_if = "no")]
    auto_accept: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decline_reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staff_min: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Step {
    after: String,
    language_level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    language_reach: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language_weight: Option<u32>,
    fallback_languages: bool,
    skill_levels_off: u32,
    #[serde(skip_serializing_if = "no_words")]
    regions: FlowSeq<Vec<String>>,
    #[serde(skip_serializing_if = "no_words")]
    skills_off: FlowSeq<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<u32>,
    #[serde(skip_serializing_if = "no_words")]
    prefer_regions: FlowSeq<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prefer_skills: Vec<Skill>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_max: Option<u32>,
    #[serde(skip_serializing_if = "no")]
    skip_if_nobody: bool,
}

#[derive(Debug, Serialize)]
struct Overflow {
    after: String,
    queue: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_min: Option<u32>,
    #[serde(skip_serializing_if = "no")]
    no_agent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_level_below: Option<String>,
}

/// A queue served: by name alone where nothing more is said.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Served {
    Plain(String),
    As {
        queue: String,
        rank: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        chats_max: Option<u32>,
    },
}

#[derive(Debug, Serialize)]
struct Ramp {
    until: String,
    capacity: u32,
}

#[derive(Debug, Serialize)]
struct Agent {
    id: String,
    name: String,
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schedule: String,
    languages: Vec<Language>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skills: Vec<Skill>,
    queues: FlowSeq<Vec<Served>>,
    capacity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ramp_up: Vec<Ramp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    team: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<u32>,
    #[serde(skip_serializing_if = "no")]
    bot: bool,
}

#[derive(Debug, Serialize)]
struct Language {
    language: String,
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct Skill {
    skill: String,
    level: u32,
}

fn no(flag: &bool) -> bool {
    !flag
}

/// A number that differs from what goes without saying.
fn beside(usual: u32, number: u32) -> Option<u32> {
    (number != 0 && number != usual).then_some(number)
}

fn percent(number: u32) -> Option<String> {
    (number != 0).then(|| format!("{number}%"))
}

fn no_words(list: &FlowSeq<Vec<String>>) -> bool {
    list.0.is_empty()
}

/// 0 stands for the default, which the file leaves out.
fn given(millis: u32) -> Option<String> {
    (millis != 0).then(|| format_millis(millis.into()))
}

fn level(value: i32) -> &'static str {
    let found = LEVELS.iter().find(|(_, level)| *level as i32 == value);
    found.map_or("unspecified", |(word, _)| word)
}

impl From<api::Configuration> for World {
    fn from(c: api::Configuration) -> Self {
        Self {
            workspace: c.workspace.map(Workspace::from),
            regions: c.regions.into_iter().map(Region::from).collect(),
            schedules: c.schedules.into_iter().map(Schedule::from).collect(),
            queues: c.queues.into_iter().map(Queue::from).collect(),
            agents: c.agents.into_iter().map(Agent::from).collect(),
        }
    }
}

impl From<api::Workspace> for Workspace {
    fn from(w: api::Workspace) -> Self {
        let fallback = |f: api::LanguageFallback| Fallback {
            language: f.language,
            accept: FlowSeq(f.accept),
        };
        let load = |l: api::Load| Load {
            channel: l.channel,
            kind: l.kind,
            weight: l.weight,
            interrupting: l.interrupting,
        };
        Self {
            name: w.name,
            fallbacks: w.fallbacks.into_iter().map(fallback).collect(),
            order: told(&ORDERS, w.order),
            loads: w.loads.into_iter().map(load).collect(),
            break_after: given(w.break_after_ms),
            rest: given(w.break_ms),
        }
    }
}

impl From<api::Region> for Region {
    fn from(r: api::Region) -> Self {
        Self {
            id: r.id,
            zone: r.zone,
            schedule: r.schedule,
            neighbours: FlowSeq(r.neighbours),
        }
    }
}

/// A word that differs from the first, which goes without saying.
fn told<T: Copy + Into<i32>>(words: &[(&'static str, T)], value: i32) -> Option<&'static str> {
    let known = words.iter().skip(1).find(|(_, v)| (*v).into() == value);
    known.map(|(word, _)| *word)
}

/// How far a language may be; `near` goes without saying.
fn reach(value: i32) -> Option<&'static str> {
    let known = REACHES.iter().find(|(_, reach)| *reach as i32 == value);
    known.map(|(word, _)| *word).filter(|word| *word != "near")
}

impl From<api::Schedule> for Schedule {
    fn from(s: api::Schedule) -> Self {
        let shift = |w: api::WeeklyShift| Shift {
            days: FlowSeq(w.days),
            from: w.from,
            to: w.to,
        };
        let hours = |h: api::Hours| Hours {
            from: h.from,
            to: h.to,
        };
        let closure = |c: api::ScheduleClosure| Closure {
            from: c.from,
            to: c.to,
            reason: c.reason,
        };
        let span = |s: api::UtcSpan| UtcSpan {
            from: rfc3339(s.from_ms).unwrap_or_default(),
            to: rfc3339(s.to_ms).unwrap_or_default(),
        };
        let exception = |e: api::ScheduleException| Exception {
            date: e.date,
            hours: e.hours.into_iter().map(hours).collect(),
        };
        Self {
            id: s.id,
            zone: s.zone,
            week: s.week.into_iter().map(shift).collect(),
            holidays: FlowSeq(s.holidays),
            exceptions: s.exceptions.into_iter().map(exception).collect(),
            spans: s.spans.into_iter().map(span).collect(),
            breaks: s.breaks.into_iter().map(shift).collect(),
            closures: s.closures.into_iter().map(closure).collect(),
            last_offer: given(s.last_offer_ms),
            handover: given(s.handover_ms),
            handover_to_line: s.handover_to_line,
        }
    }
}

impl From<api::Queue> for Queue {
    fn from(q: api::Queue) -> Self {
        let step = |s: api::RelaxationStep| Step {
            after: format_millis(s.after_ms.into()),
            language_level: level(s.language_level),
            language_reach: reach(s.language_reach),
            language_weight: (s.language_weight != 0).then_some(s.language_weight),
            fallback_languages: s.fallback_languages,
            skill_levels_off: s.skill_levels_off,
            regions: FlowSeq(s.regions),
            skills_off: FlowSeq(s.skills_off),
            near: s.near,
            prefer_regions: FlowSeq(s.prefer_regions),
            prefer_skills: s.prefer_skills.into_iter().map(Skill::from).collect(),
            rank_max: beside(9, s.rank_max),
            skip_if_nobody: s.skip_if_nobody,
        };
        let overflow = |o: api::Overflow| Overflow {
            after: format_millis(o.after_ms.into()),
            queue: o.queue,
            waiting_min: beside(0, o.waiting_min),
            no_agent: o.no_agent,
            service_level_below: percent(o.service_level_below),
        };
        Self {
            id: q.id,
            schedule: q.schedule,
            steps: q.steps.into_iter().map(step).collect(),
            offer_timeout: given(q.offer_timeout_ms),
            wrap_up: given(q.wrap_up_ms),
            wait_max: given(q.wait_ms_max),
            waiting_max: (q.waiting_max != 0).then_some(q.waiting_max),
            ageing: given(q.ageing_ms),
            answer_target: given(q.answer_target_ms),
            overflow: q.overflow.into_iter().map(overflow).collect(),
            sticky: given(q.sticky_ms),
            hold_agent: given(q.hold_agent_ms),
            hold_team: given(q.hold_team_ms),
            priority: beside(0, q.priority),
            vip_priority: beside(0, q.vip_priority),
            service_level: percent(q.service_level),
            strategy: told(&STRATEGIES, q.strategy),
            offer_to: beside(1, q.offer_to),
            auto_accept: q.auto_accept,
            decline_reasons: q.decline_reasons,
            refusal: q
                .refusal_ms
                .filter(|ms| *ms != REFUSAL_MS)
                .map(|ms| format_millis(ms.into())),
            ignored_max: beside(IGNORED_MAX, q.ignored_max),
            staff_min: beside(0, q.staff_min),
        }
    }
}

impl From<api::Agent> for Agent {
    fn from(a: api::Agent) -> Self {
        let language = |l: api::SpokenLanguage| Language {
            language: l.language,
            level: level(l.level),
        };
        let mut how = a.served;
        let served = |queue: String| {
            let at = how.iter().position(|s| s.queue == queue);
            match at.map(|at| how.swap_remove(at)) {
                Some(s) => Served::As {
                    queue,
                    rank: s.rank.max(1),
                    chats_max: beside(0, s.chats_max),
                },
                None => Served::Plain(queue),
            }
        };
        let ramp = |r: api::RampUp| Ramp {
            until: rfc3339(r.until_ms).unwrap_or_default(),
            capacity: r.capacity,
        };
        Self {
            id: a.id,
            name: a.name,
            region: a.region,
            schedule: a.schedule,
            languages: a.languages.into_iter().map(language).collect(),
            skills: a.skills.into_iter().map(Skill::from).collect(),
            queues: FlowSeq(a.queues.into_iter().map(served).collect()),
            capacity: a.capacity,
            extra: beside(0, a.extra),
            ramp_up: a.ramp_up.into_iter().map(ramp).collect(),
            team: a.team,
            share: beside(SHARE_USUAL, a.share),
            bot: a.bot,
        }
    }
}

impl From<api::SkillLevel> for Skill {
    fn from(s: api::SkillLevel) -> Self {
        Self {
            skill: s.skill,
            level: s.level,
        }
    }
}
