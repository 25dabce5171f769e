//! The world's organisation, as a cluster is told it.

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use meridian_proto::livechat::v1 as api;
use meridian_traffic::coverage::is_open;
use meridian_traffic::format::{Duration, Level};
use meridian_traffic::organisation::{self, Organisation, Schedule};

use crate::stage::Stage;

/// Shifts are looked up in steps of this many milliseconds of the world.
const GRAIN_MS: i64 = 300_000;
/// Shifts are told from so long before the stage on, and for so long after it, in the world's ms.
const BEFORE_MS: i64 = 6 * 3_600_000;
const AFTER_MS: i64 = 12 * 3_600_000;
/// An offer must outlast a round trip round the world and a leader's end, in ms.
const OFFER_TIMEOUT_MS_MIN: u32 = 3_000;

/// When a schedule says work, in wall-clock spans, from a few hours before the stage until well after it.
pub fn spans(schedule: &Schedule, stage: &Stage) -> Vec<api::UtcSpan> {
    let Ok(zone) = TimeZoneDatabase::bundled().get(&schedule.zone) else {
        return Vec::new();
    };
    let mut spans: Vec<api::UtcSpan> = Vec::new();
    let mut at = stage.from - BEFORE_MS;
    while at < stage.from + stage.span_ms + AFTER_MS {
        let open = Timestamp::from_millisecond(at).is_ok_and(|t| is_open(schedule, &zone, t));
        if open {
            let (from_ms, to_ms) = (stage.real(at), stage.real(at + GRAIN_MS));
            match spans.last_mut() {
                Some(last) if last.to_ms == from_ms => last.to_ms = to_ms,
                _ => spans.push(api::UtcSpan { from_ms, to_ms }),
            }
        }
        at += GRAIN_MS;
    }
    spans
}

/// The whole of it, for people who act so many times faster than in life, with schedules as `spans` has them.
pub fn configuration(
    organisation: &Organisation,
    people: f64,
    spans: impl Fn(&Schedule) -> Vec<api::UtcSpan>,
) -> api::Configuration {
    let fallback = |f: &organisation::Fallback| api::LanguageFallback {
        language: f.language.clone(),
        accept: f.accept.clone(),
    };
    let region = |r: &organisation::Region| api::Region {
        id: r.id.to_string(),
        zone: r.zone.clone(),
        schedule: r.schedule.clone(),
        ..Default::default()
    };
    api::Configuration {
        workspace: Some(api::Workspace {
            name: organisation.workspace.name.clone(),
            fallbacks: organisation
                .workspace
                .fallbacks
                .iter()
                .map(fallback)
                .collect(),
            ..Default::default()
        }),
        regions: organisation.regions.iter().map(region).collect(),
        schedules: schedules(organisation, spans),
        queues: organisation
            .queues
            .iter()
            .map(|q| queue(q, people))
            .collect(),
        agents: organisation.agents.iter().map(agent).collect(),
    }
}

/// Its schedules alone.
pub fn schedules(
    organisation: &Organisation,
    spans: impl Fn(&Schedule) -> Vec<api::UtcSpan>,
) -> Vec<api::Schedule> {
    let schedule = |s: &Schedule| api::Schedule {
        id: s.id.clone(),
        zone: s.zone.clone(),
        spans: spans(s),
        ..Default::default()
    };
    organisation.schedules.iter().map(schedule).collect()
}

/// A length of life, in ms as it takes here.
pub fn here_ms(length: Duration, people: f64) -> u32 {
    (length.ms as f64 / people) as u32
}

fn queue(q: &organisation::Queue, people: f64) -> api::Queue {
    let here = |d: &Duration| here_ms(*d, people);
    let step = |s: &organisation::Step| api::RelaxationStep {
        after_ms: here(&s.after),
        language_level: level(s.language_level).into(),
        language_reach: api::LanguageReach::Near.into(),
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        regions: s.regions.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let overflow = |o: &organisation::Overflow| api::Overflow {
        after_ms: here(&o.after),
        queue: o.queue.clone(),
        ..Default::default()
    };
    api::Queue {
        id: q.id.clone(),
        schedule: q.schedule.clone().unwrap_or_default(),
        steps: q.steps.iter().map(step).collect(),
        offer_timeout_ms: here(&q.offer_timeout).max(OFFER_TIMEOUT_MS_MIN),
        wrap_up_ms: here(&q.wrap_up),
        wait_ms_max: here(&q.wait_max).max(1_000),
        waiting_max: q.waiting_max,
        ageing_ms: here(&q.ageing),
        answer_target_ms: here(&q.answer_target),
        overflow: q.overflow.iter().map(overflow).collect(),
        sticky_ms: here(&q.sticky),
        ..Default::default()
    }
}

fn agent(a: &organisation::Agent) -> api::Agent {
    let language = |l: &organisation::LanguageLevel| api::SpokenLanguage {
        language: l.language.clone(),
        level: level(l.level).into(),
    };
    api::Agent {
        id: a.id.clone(),
        name: a.name.clone(),
        region: a.region.to_string(),
        schedule: a.schedule.clone().unwrap_or_default(),
        languages: a.languages.iter().map(language).collect(),
        skills: skills(&a.skills),
        queues: a.queues.clone(),
        capacity: a.capacity,
        ..Default::default()
    }
}

/// Skills, as the API has them.
pub fn skills(skills: &[organisation::SkillLevel]) -> Vec<api::SkillLevel> {
    let skill = |s: &organisation::SkillLevel| api::SkillLevel {
        skill: s.skill.clone(),
        level: s.level,
    };
    skills.iter().map(skill).collect()
}

fn level(level: Level) -> api::LanguageLevel {
    match level {
        Level::Translated => api::LanguageLevel::Translated,
        Level::Working => api::LanguageLevel::Working,
        Level::Fluent => api::LanguageLevel::Fluent,
        Level::Native => api::LanguageLevel::Native,
    }
}
