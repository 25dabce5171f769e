//! Agents of the public API, both ways.

use meridian_proto::livechat::v1 as api;
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::*;

use super::{invalid, level, maybe, skills, tag};

pub(super) fn agent(at: &str, a: &api::Agent) -> Result<Agent, Reject> {
    let mut languages = Vec::new();
    for (i, l) in a.languages.iter().enumerate() {
        let at = format!("{at}.languages[{i}]");
        languages.push(LanguageLevel {
            language: tag(&format!("{at}.language"), &l.language)?,
            level: level(&format!("{at}.level"), l.level)?,
        });
    }
    let ramp = |r: &api::RampUp| Ramp {
        until: r.until_ms,
        capacity: r.capacity,
    };
    Ok(Agent {
        id: AgentId::from(a.id.clone()),
        name: a.name.clone(),
        region: RegionId::from(a.region.clone()),
        team: a.team.clone(),
        schedule: maybe(&a.schedule, ScheduleId::from),
        languages,
        skills: skills(&a.skills),
        queues: served(at, a)?,
        capacity: a.capacity,
        extra: a.extra,
        ramp_up: a.ramp_up.iter().map(ramp).collect(),
        share: match a.share {
            0 => limits::SHARE_USUAL,
            given => given,
        },
        bot: a.bot,
    })
}

/// The queues with how each is served.
fn served(at: &str, a: &api::Agent) -> Result<Vec<Served>, Reject> {
    let mut queues: Vec<Served> = a.queues.iter().map(|q| q.as_str().into()).collect();
    for (i, how) in a.served.iter().enumerate() {
        let field = format!("{at}.served[{i}].queue");
        if a.served[..i].iter().any(|s| s.queue == how.queue) {
            let problem = format!("'{}' is named twice", how.queue);
            return Err(invalid(&field, problem, "take one out"));
        }
        let Some(served) = queues.iter_mut().find(|s| s.queue.as_str() == how.queue) else {
            let problem = format!("'{}' is not among the agent's queues", how.queue);
            return Err(invalid(&field, problem, "name it in queues too"));
        };
        served.rank = if how.rank == 0 { 1 } else { how.rank };
        served.chats_max = how.chats_max;
    }
    Ok(queues)
}

pub(super) fn show_skills(skills: &[SkillLevel]) -> Vec<api::SkillLevel> {
    let skill = |s: &SkillLevel| api::SkillLevel {
        skill: s.skill.to_string(),
        level: s.level,
    };
    skills.iter().map(skill).collect()
}

pub(crate) fn show_agent(a: &Agent) -> api::Agent {
    let language = |l: &LanguageLevel| api::SpokenLanguage {
        language: l.language.to_string(),
        level: l.level as i32,
    };
    let told = |s: &&Served| s.rank != 1 || s.chats_max != 0;
    let served = |s: &Served| api::ServedQueue {
        queue: s.queue.to_string(),
        rank: s.rank,
        chats_max: s.chats_max,
    };
    let ramp = |r: &Ramp| api::RampUp {
        until_ms: r.until,
        capacity: r.capacity,
    };
    api::Agent {
        id: a.id.to_string(),
        name: a.name.clone(),
        region: a.region.to_string(),
        team: a.team.clone(),
        schedule: a
            .schedule
            .as_ref()
            .map(|s| s.to_string())
            .unwrap_or_default(),
        languages: a.languages.iter().map(language).collect(),
        skills: show_skills(&a.skills),
        queues: a.queues.iter().map(|s| s.queue.to_string()).collect(),
        served: a.queues.iter().filter(told).map(served).collect(),
        capacity: a.capacity,
        extra: a.extra,
        ramp_up: a.ramp_up.iter().map(ramp).collect(),
        share: a.share,
        bot: a.bot,
    }
}
