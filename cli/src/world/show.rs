//! The configuration in the shape of the world file. What has its default is left out.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;
use serde_saphyr::FlowSeq;

use super::objects::{LEVELS, REACHES};
use crate::time::{format_millis, rfc3339};

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
}

#[derive(Debug, Serialize)]
struct UtcSpan {
    from: String,
    to: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    overflow: Option<Overflow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<String>,
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
}

#[derive(Debug, Serialize)]
struct Overflow {
    after: String,
    queue: String,
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
    queues: FlowSeq<Vec<String>>,
    capacity: u32,
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
        Self {
            name: w.name,
            fallbacks: w.fallbacks.into_iter().map(fallback).collect(),
        }
    }
}

impl From<api::Region> for Region {
    fn from(r: api::Region) -> Self {
        Self {
            id: r.id,
            zone: r.zone,
            schedule: r.schedule,
        }
    }
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
        };
        let overflow = |o: api::Overflow| Overflow {
            after: format_millis(o.after_ms.into()),
            queue: o.queue,
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
            overflow: q.overflow.map(overflow),
            sticky: given(q.sticky_ms),
        }
    }
}

impl From<api::Agent> for Agent {
    fn from(a: api::Agent) -> Self {
        let language = |l: api::SpokenLanguage| Language {
            language: l.language,
            level: level(l.level),
        };
        let skill = |s: api::SkillLevel| Skill {
            skill: s.skill,
            level: s.level,
        };
        Self {
            id: a.id,
            name: a.name,
            region: a.region,
            schedule: a.schedule,
            languages: a.languages.into_iter().map(language).collect(),
            skills: a.skills.into_iter().map(skill).collect(),
            queues: FlowSeq(a.queues),
            capacity: a.capacity,
        }
    }
}
