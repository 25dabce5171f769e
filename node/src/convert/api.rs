//! Configuration of the public API, checked and resolved into the routing core's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Time, Weekday};
use meridian_proto::livechat::v1 as api;
use meridian_routing::command::ConfigChange;
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::*;
use prost::Message as _;

use crate::calendar::{self, CalendarError, Plan, WeeklyShift};
use meridian_language::{FAR, LanguageError, NEAR};
use meridian_routing::limits::LANGUAGE_WEIGHT_MAX;

/// How many days ahead schedules are resolved.
pub const HORIZON_DAYS: u32 = 366;
/// Resolved again once the horizon is nearer than this many days.
pub const HORIZON_DAYS_LEFT: u32 = 350;

pub(crate) fn invalid(field: &str, problem: impl Into<String>, fix: impl Into<String>) -> Reject {
    Reject::Invalid {
        field: field.to_owned(),
        problem: problem.into(),
        fix: fix.into(),
    }
}

/// A language tag in canonical form, or a refusal that names the field.
pub fn tag(field: &str, text: &str) -> Result<Language, Reject> {
    if text.len() > limits::LANGUAGE_BYTES_MAX {
        return Err(invalid(
            field,
            format!("has {} bytes", text.len()),
            format!("give 2 to {}", limits::LANGUAGE_BYTES_MAX),
        ));
    }
    let tag = meridian_language::canonical(text).map_err(|e| refused_tag(field, &e))?;
    Ok(Language(tag))
}

fn refused_tag(field: &str, error: &LanguageError) -> Reject {
    let text = error.to_string();
    let (problem, fix) = text
        .split_once("; ")
        .unwrap_or((&text, "use BCP-47, such as pt-BR"));
    invalid(field, problem, fix)
}

/// Tags in canonical form, in order.
pub fn tags(field: &str, texts: &[String]) -> Result<Vec<Language>, Reject> {
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| tag(&format!("{field}[{i}]"), text))
        .collect()
}

/// Skills as the core wants them.
pub fn skills(skills: &[api::SkillLevel]) -> Vec<SkillLevel> {
    skills
        .iter()
        .map(|s| SkillLevel {
            skill: SkillId(s.skill.clone()),
            level: s.level,
        })
        .collect()
}

fn level(field: &str, level: i32) -> Result<Level, Reject> {
    Ok(match api::LanguageLevel::try_from(level) {
        Ok(api::LanguageLevel::Translated) => Level::Translated,
        Ok(api::LanguageLevel::Working) => Level::Working,
        Ok(api::LanguageLevel::Fluent) => Level::Fluent,
        Ok(api::LanguageLevel::Native) => Level::Native,
        _ => {
            return Err(invalid(
                field,
                "is not given",
                "give translated, working, fluent or native",
            ));
        }
    })
}

/// How far each reach goes, as the core wants it.
const REACHES: [(api::LanguageReach, u32); 4] = [
    (api::LanguageReach::Exact, 0),
    (api::LanguageReach::Near, NEAR as u32),
    (api::LanguageReach::Far, FAR as u32),
    (api::LanguageReach::Script, limits::LANGUAGE_DISTANCE_MAX),
];

fn reach(field: &str, reach: i32) -> Result<u32, Reject> {
    let given = api::LanguageReach::try_from(reach).map_err(|_| {
        invalid(
            field,
            format!("{reach} is not known"),
            "give exact, near, far or script",
        )
    })?;
    let known = REACHES.iter().find(|(reach, _)| *reach == given);
    Ok(known.map_or(NEAR.into(), |(_, apart)| *apart))
}

/// The visitor's weight in percent from which a language counts; 0 = no second one.
fn weight_min(field: &str, percent: u32) -> Result<u32, Reject> {
    match percent {
        0 => Ok(LANGUAGE_WEIGHT_MAX + 1),
        1..=100 => Ok(percent * 10),
        _ => Err(invalid(
            field,
            format!("{percent} is out of bounds"),
            "give 0 to 100",
        )),
    }
}

/// A visitor's languages: a list, best first, or a weighted one in the form of Accept-Language; never both.
///
/// # Errors
/// The field at fault.
pub fn wanted(languages: &[String], accept_language: &str) -> Result<Vec<WantedLanguage>, Reject> {
    if accept_language.is_empty() {
        let full = |language| WantedLanguage {
            language,
            weight: LANGUAGE_WEIGHT_MAX,
        };
        return Ok(tags("languages", languages)?
            .into_iter()
            .map(full)
            .collect());
    }
    if !languages.is_empty() {
        let problem = "is given beside languages";
        return Err(invalid("accept_language", problem, "give one of the two"));
    }
    let list = meridian_language::visitor_languages(accept_language)
        .map_err(|e| refused_tag("accept_language", &e))?;
    if list.is_empty() {
        let problem = "names no language";
        return Err(invalid(
            "accept_language",
            problem,
            "name one, such as pt-BR",
        ));
    }
    // In tenths, so that visitors who differ by a hair wait in one line.
    let tenths = |weight: u16| u32::from(weight).div_ceil(100) * 100;
    Ok(list
        .into_iter()
        .map(|(tag, weight)| WantedLanguage {
            language: Language(tag),
            weight: tenths(weight),
        })
        .collect())
}

fn maybe<T>(text: &str, id: fn(String) -> T) -> Option<T> {
    (!text.is_empty()).then(|| id(text.to_owned()))
}

/// Every object of a configuration as changes, in its order; schedules resolved from `now` on.
///
/// # Errors
/// The first field at fault, named as in the configuration.
pub fn changes(config: &api::Configuration, now: Millis) -> Result<Vec<ConfigChange>, Reject> {
    let mut out = Vec::new();
    if let Some(w) = &config.workspace {
        let mut fallbacks = Vec::new();
        for (i, f) in w.fallbacks.iter().enumerate() {
            let at = format!("workspace.fallbacks[{i}]");
            fallbacks.push((
                tag(&format!("{at}.language"), &f.language)?,
                tags(&format!("{at}.accept"), &f.accept)?,
            ));
        }
        out.push(ConfigChange::PutWorkspace(Workspace {
            name: w.name.clone(),
            fallbacks,
        }));
    }
    for (i, s) in config.schedules.iter().enumerate() {
        out.push(ConfigChange::PutSchedule(schedule(
            &format!("schedules[{i}]"),
            s,
            now,
        )?));
    }
    for (i, r) in config.regions.iter().enumerate() {
        calendar::zone(&r.zone).map_err(|e| refused(&format!("regions[{i}]"), &e))?;
        out.push(ConfigChange::PutRegion(Region {
            id: RegionId(r.id.clone()),
            zone: r.zone.clone(),
            schedule: ScheduleId(r.schedule.clone()),
        }));
    }
    for (i, q) in config.queues.iter().enumerate() {
        out.push(ConfigChange::PutQueue(queue(&format!("queues[{i}]"), q)?));
    }
    for (i, a) in config.agents.iter().enumerate() {
        out.push(ConfigChange::PutAgent(agent(&format!("agents[{i}]"), a)?));
    }
    Ok(out)
}

fn queue(at: &str, q: &api::Queue) -> Result<Queue, Reject> {
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let mut steps = Vec::new();
    for (i, s) in q.steps.iter().enumerate() {
        steps.push(RelaxationStep {
            after_ms: s.after_ms,
            language_level: level(&format!("{at}.steps[{i}].language_level"), s.language_level)?,
            language_distance_max: reach(
                &format!("{at}.steps[{i}].language_reach"),
                s.language_reach,
            )?,
            language_weight_min: weight_min(
                &format!("{at}.steps[{i}].language_weight"),
                s.language_weight,
            )?,
            fallback_languages: s.fallback_languages,
            skill_levels_off: s.skill_levels_off,
            regions: s.regions.iter().cloned().map(RegionId).collect(),
        });
    }
    if steps.is_empty() {
        steps.push(RelaxationStep {
            after_ms: 0,
            language_level: Level::Fluent,
            language_distance_max: NEAR.into(),
            language_weight_min: LANGUAGE_WEIGHT_MAX + 1,
            fallback_languages: false,
            skill_levels_off: 0,
            regions: Vec::new(),
        });
    }
    Ok(Queue {
        id: QueueId(q.id.clone()),
        schedule: maybe(&q.schedule, ScheduleId),
        steps,
        offer_timeout_ms: or(q.offer_timeout_ms, 20_000),
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: or(q.wait_ms_max, 900_000),
        waiting_max: or(q.waiting_max, 10_000),
        ageing_ms: q.ageing_ms,
        answer_target_ms: or(q.answer_target_ms, 46_000),
        overflow: q.overflow.as_ref().map(|o| Overflow {
            after_ms: o.after_ms,
            queue: QueueId(o.queue.clone()),
        }),
        sticky_ms: q.sticky_ms,
    })
}

fn agent(at: &str, a: &api::Agent) -> Result<Agent, Reject> {
    let mut languages = Vec::new();
    for (i, l) in a.languages.iter().enumerate() {
        let at = format!("{at}.languages[{i}]");
        languages.push(LanguageLevel {
            language: tag(&format!("{at}.language"), &l.language)?,
            level: level(&format!("{at}.level"), l.level)?,
        });
    }
    Ok(Agent {
        id: AgentId(a.id.clone()),
        name: a.name.clone(),
        region: RegionId(a.region.clone()),
        schedule: maybe(&a.schedule, ScheduleId),
        languages,
        skills: skills(&a.skills),
        queues: a.queues.iter().cloned().map(QueueId).collect(),
        capacity: a.capacity,
    })
}

fn refused(at: &str, error: &CalendarError) -> Reject {
    let text = error.to_string();
    let (field, rest) = text.split_once(": ").unwrap_or(("zone", &text));
    let (problem, fix) = rest.split_once("; ").unwrap_or((rest, "correct it"));
    invalid(&format!("{at}.{field}"), problem, fix)
}

/// Resolves a schedule to UTC spans from a week before `now` on; its source travels with it.
///
/// # Errors
/// The first field at fault.
pub fn schedule(at: &str, s: &api::Schedule, now: Millis) -> Result<Schedule, Reject> {
    if !s.spans.is_empty() {
        return given_spans(at, s);
    }
    let plan = plan(at, s)?;
    let from = now - 7 * Millis::from(limits::DAY_MS);
    let spans = plan
        .resolve(from, HORIZON_DAYS)
        .map_err(|e| refused(at, &e))?;
    Ok(Schedule {
        id: ScheduleId(s.id.clone()),
        spans,
        horizon: from + Millis::from(HORIZON_DAYS) * Millis::from(limits::DAY_MS),
        zone_data: calendar::zone_data().to_owned(),
        source: s.encode_to_vec(),
    })
}

/// A schedule planned elsewhere is taken as it is and never resolved again.
fn given_spans(at: &str, s: &api::Schedule) -> Result<Schedule, Reject> {
    if !(s.week.is_empty() && s.holidays.is_empty() && s.exceptions.is_empty()) {
        return Err(invalid(
            &format!("{at}.spans"),
            "cannot stand beside week, holidays or exceptions",
            "give one or the other",
        ));
    }
    if !s.zone.is_empty() {
        calendar::zone(&s.zone).map_err(|e| refused(at, &e))?;
    }
    let mut spans = Vec::with_capacity(s.spans.len());
    for (i, span) in s.spans.iter().enumerate() {
        let at = format!("{at}.spans[{i}]");
        spans.push(Span {
            start: instant(&format!("{at}.from"), span.from_ms)?,
            end: instant(&format!("{at}.to"), span.to_ms)?,
        });
    }
    // The source repeats the spans, which the core bounds; only what shows them again is kept.
    let source = api::Schedule {
        id: s.id.clone(),
        zone: s.zone.clone(),
        ..Default::default()
    }
    .encode_to_vec();
    Ok(Schedule {
        id: ScheduleId(s.id.clone()),
        spans,
        horizon: Millis::MAX,
        zone_data: String::new(),
        source,
    })
}

/// A time a caller gave, inside the bounds of what may be stamped.
fn instant(field: &str, at: Millis) -> Result<Millis, Reject> {
    if (0..=limits::TIME_MAX).contains(&at) {
        return Ok(at);
    }
    Err(invalid(
        field,
        format!("{at} ms is out of bounds"),
        format!(
            "give 0 to {} ms, which is 1970 to the end of 9999",
            limits::TIME_MAX
        ),
    ))
}

fn plan(at: &str, s: &api::Schedule) -> Result<Plan, Reject> {
    let mut week = Vec::new();
    for (i, shift) in s.week.iter().enumerate() {
        let at = format!("{at}.week[{i}]");
        if shift.days.is_empty() {
            return Err(invalid(
                &format!("{at}.days"),
                "is empty",
                "name the days: mon to sun",
            ));
        }
        let (start, until) = (
            time(&format!("{at}.from"), &shift.from)?,
            end(&format!("{at}.to"), &shift.to)?,
        );
        for (d, text) in shift.days.iter().enumerate() {
            let at = format!("{at}.days[{d}]");
            if shift.days[..d].contains(text) {
                return Err(invalid(
                    &at,
                    format!("'{text}' is named twice"),
                    "take one out",
                ));
            }
            week.push(WeeklyShift {
                day: day(&at, text)?,
                start,
                end: until,
            });
        }
    }
    let mut holidays = BTreeSet::new();
    for (i, text) in s.holidays.iter().enumerate() {
        holidays.insert(date(&format!("{at}.holidays[{i}]"), text)?);
    }
    let mut exceptions = BTreeMap::new();
    for (i, e) in s.exceptions.iter().enumerate() {
        let at = format!("{at}.exceptions[{i}]");
        let mut hours = Vec::new();
        for (h, span) in e.hours.iter().enumerate() {
            hours.push((
                time(&format!("{at}.hours[{h}].from"), &span.from)?,
                end(&format!("{at}.hours[{h}].to"), &span.to)?,
            ));
        }
        if exceptions
            .insert(date(&format!("{at}.date"), &e.date)?, hours)
            .is_some()
        {
            return Err(invalid(
                &format!("{at}.date"),
                format!("'{}' is named twice", e.date),
                "put its hours together",
            ));
        }
    }
    Ok(Plan {
        zone: s.zone.clone(),
        week,
        holidays,
        exceptions,
    })
}

fn day(field: &str, text: &str) -> Result<Weekday, Reject> {
    Ok(match text {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => {
            return Err(invalid(
                field,
                format!("'{text}' is no day"),
                "use mon, tue, wed, thu, fri, sat or sun",
            ));
        }
    })
}

/// When a shift ends: as when one begins, or the end of the day.
fn end(field: &str, text: &str) -> Result<Time, Reject> {
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    time(field, text)
}

fn time(field: &str, text: &str) -> Result<Time, Reject> {
    let parsed = text
        .split_once(':')
        .filter(|(h, m)| h.len() == 2 && m.len() == 2);
    let number = |t: &str| {
        t.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| t.parse::<i8>().ok())
            .flatten()
    };
    parsed
        .and_then(|(h, m)| Time::new(number(h)?, number(m)?, 0, 0).ok())
        .ok_or_else(|| {
            invalid(
                field,
                format!("'{text}' is no time of day"),
                "use HH:MM, such as 09:30",
            )
        })
}

fn date(field: &str, text: &str) -> Result<Date, Reject> {
    let plain = text.len() == 10;
    let parsed = plain.then(|| text.parse::<Date>().ok()).flatten();
    parsed.ok_or_else(|| invalid(field, format!("'{text}' is no date"), "use YYYY-MM-DD"))
}

/// The configuration in force, as the API speaks it.
pub fn configuration(state: &meridian_routing::state::State) -> api::Configuration {
    let workspace = state.workspace();
    api::Configuration {
        workspace: (!workspace.name.is_empty()).then(|| show_workspace(workspace)),
        regions: state.regions().values().map(show_region).collect(),
        schedules: state.schedules().values().map(show_schedule).collect(),
        queues: state.queues().values().map(show_queue).collect(),
        agents: state
            .agents()
            .values()
            .map(|a| show_agent(&a.config))
            .collect(),
    }
}

pub(crate) fn show_workspace(w: &Workspace) -> api::Workspace {
    let fallback = |(l, accept): &(Language, Vec<Language>)| api::LanguageFallback {
        language: l.0.clone(),
        accept: accept.iter().map(|a| a.0.clone()).collect(),
    };
    api::Workspace {
        name: w.name.clone(),
        fallbacks: w.fallbacks.iter().map(fallback).collect(),
    }
}
pub(crate) fn show_region(r: &Region) -> api::Region {
    api::Region {
        id: r.id.0.clone(),
        zone: r.zone.clone(),
        schedule: r.schedule.0.clone(),
    }
}
pub(crate) fn show_schedule(s: &Schedule) -> api::Schedule {
    // The source was written by `schedule` above; one that cannot be read still shows its id.
    let mut shown = api::Schedule::decode(&s.source[..]).unwrap_or_else(|_| api::Schedule {
        id: s.id.0.clone(),
        ..Default::default()
    });
    if s.horizon == Millis::MAX {
        shown.spans = s
            .spans
            .iter()
            .map(|span| api::UtcSpan {
                from_ms: span.start,
                to_ms: span.end,
            })
            .collect();
    }
    shown
}
pub(crate) fn show_queue(q: &Queue) -> api::Queue {
    let step = |s: &RelaxationStep| api::RelaxationStep {
        after_ms: s.after_ms,
        language_level: s.language_level as i32,
        language_reach: REACHES
            .iter()
            .find(|(_, apart)| *apart >= s.language_distance_max)
            .map_or(0, |(reach, _)| *reach as i32),
        language_weight: if s.language_weight_min > LANGUAGE_WEIGHT_MAX {
            0
        } else {
            s.language_weight_min.div_ceil(10)
        },
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        regions: s.regions.iter().map(|r| r.0.clone()).collect(),
    };
    api::Queue {
        id: q.id.0.clone(),
        schedule: q.schedule.as_ref().map(|s| s.0.clone()).unwrap_or_default(),
        steps: q.steps.iter().map(step).collect(),
        offer_timeout_ms: q.offer_timeout_ms,
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        overflow: q.overflow.as_ref().map(|o| api::Overflow {
            after_ms: o.after_ms,
            queue: o.queue.0.clone(),
        }),
        sticky_ms: q.sticky_ms,
    }
}
pub(crate) fn show_agent(a: &Agent) -> api::Agent {
    api::Agent {
        id: a.id.0.clone(),
        name: a.name.clone(),
        region: a.region.0.clone(),
        schedule: a.schedule.as_ref().map(|s| s.0.clone()).unwrap_or_default(),
        languages: a
            .languages
            .iter()
            .map(|l| api::SpokenLanguage {
                language: l.language.0.clone(),
                level: l.level as i32,
            })
            .collect(),
        skills: a
            .skills
            .iter()
            .map(|s| api::SkillLevel {
                skill: s.skill.0.clone(),
                level: s.level,
            })
            .collect(),
        queues: a.queues.iter().map(|q| q.0.clone()).collect(),
        capacity: a.capacity,
    }
}
