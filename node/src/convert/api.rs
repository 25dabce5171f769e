//! Configuration of the public API, checked and resolved into the routing core's.

mod agent;
mod queue;
mod schedule;

use meridian_proto::livechat::v1 as api;
use meridian_routing::command::{ConfigChange, TransferTo};
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::*;

pub(crate) use agent::show_agent;
pub(crate) use queue::show_queue;
pub use schedule::schedule;
pub(crate) use schedule::show_schedule;

use crate::calendar;
use meridian_language::LanguageError;
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
    Ok(Language::from(tag))
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
            skill: SkillId::from(s.skill.clone()),
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
            language: Language::from(tag),
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
            order: order(w.order)?,
            loads: w.loads.iter().map(load).collect(),
            break_after_ms: w.break_after_ms,
            break_ms: w.break_ms,
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
        calendar::zone(&r.zone).map_err(|e| schedule::refused(&format!("regions[{i}]"), &e))?;
        out.push(ConfigChange::PutRegion(Region {
            id: RegionId::from(r.id.clone()),
            zone: r.zone.clone(),
            schedule: ScheduleId::from(r.schedule.clone()),
            neighbours: r.neighbours.iter().cloned().map(RegionId::from).collect(),
        }));
    }
    for (i, q) in config.queues.iter().enumerate() {
        out.push(ConfigChange::PutQueue(queue::queue(
            &format!("queues[{i}]"),
            q,
        )?));
    }
    for (i, a) in config.agents.iter().enumerate() {
        out.push(ConfigChange::PutAgent(agent::agent(
            &format!("agents[{i}]"),
            a,
        )?));
    }
    Ok(out)
}

fn order(number: i32) -> Result<Order, Reject> {
    match api::ChatOrder::try_from(number) {
        Ok(api::ChatOrder::Unspecified | api::ChatOrder::Arrival) => Ok(Order::Arrival),
        Ok(api::ChatOrder::Deadline) => Ok(Order::Deadline),
        Err(_) => Err(invalid(
            "workspace.order",
            format!("{number} is not known"),
            "give arrival or deadline",
        )),
    }
}

fn load(l: &api::Load) -> Load {
    Load {
        channel: l.channel.clone(),
        kind: l.kind.clone(),
        weight: l.weight,
        interrupting: l.interrupting,
    }
}

/// Where a chat is to go.
///
/// # Errors
/// No destination is named.
pub fn destination(to: Option<&api::Destination>) -> Result<TransferTo, Reject> {
    use api::destination::To;
    Ok(match to.and_then(|d| d.to.as_ref()) {
        Some(To::QueueId(queue)) => TransferTo::Queue(QueueId::from(queue.clone())),
        Some(To::AgentId(agent)) => TransferTo::Agent(AgentId::from(agent.clone())),
        Some(To::Skills(set)) => TransferTo::Skills(skills(&set.skills)),
        Some(To::Region(region)) => TransferTo::Region(to_region(region)),
        None => {
            let fix = "name a queue, an agent, skills or a region";
            return Err(invalid("to", "is missing", fix));
        }
    })
}

/// A region to go to, held for it for a minute where nothing is said.
pub fn to_region(to: &api::ToRegion) -> Toward {
    Toward {
        region: RegionId::from(to.region_id.clone()),
        hold_ms: if to.hold_ms == 0 { 60_000 } else { to.hold_ms },
    }
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
        language: l.to_string(),
        accept: accept.iter().map(|a| a.to_string()).collect(),
    };
    let load = |l: &Load| api::Load {
        channel: l.channel.clone(),
        kind: l.kind.clone(),
        weight: l.weight,
        interrupting: l.interrupting,
    };
    api::Workspace {
        name: w.name.clone(),
        fallbacks: w.fallbacks.iter().map(fallback).collect(),
        order: w.order as i32,
        loads: w.loads.iter().map(load).collect(),
        break_after_ms: w.break_after_ms,
        break_ms: w.break_ms,
    }
}
pub(crate) fn show_region(r: &Region) -> api::Region {
    api::Region {
        id: r.id.to_string(),
        zone: r.zone.clone(),
        schedule: r.schedule.to_string(),
        neighbours: r.neighbours.iter().map(|n| n.to_string()).collect(),
    }
}
