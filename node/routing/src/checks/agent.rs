//! What an agent and a region must keep to.

use super::{Check, View, check_id, check_language, check_once, invalid};
use crate::chat::unknown;
use crate::limits::*;
use crate::model::*;
use crate::offer::{bounds, bytes};

impl View<'_> {
    pub(super) fn check_agent(&self, agent: &Agent, at: &str) -> Check {
        check_id(&format!("{at}.id"), agent.id.as_str())?;
        bytes(&format!("{at}.name"), &agent.name, 1, NAME_BYTES_MAX)?;
        self.region(&format!("{at}.region"), &agent.region)?;
        if let Some(schedule) = &agent.schedule {
            self.schedule(&format!("{at}.schedule"), schedule)?;
        }
        if !agent.team.is_empty() {
            check_id(&format!("{at}.team"), &agent.team)?;
        }
        let field = format!("{at}.languages");
        let count = agent.languages.len() as u64;
        bounds(&field, count, 1, AGENT_LANGUAGES_MAX as u64)?;
        for (i, spoken) in agent.languages.iter().enumerate() {
            check_language(&format!("{field}[{i}].language"), &spoken.language)?;
        }
        let spoken = agent.languages.iter().map(|l| &l.language);
        check_once(&field, ".language", spoken)?;
        check_skills(&format!("{at}.skills"), &agent.skills, AGENT_SKILLS_MAX)?;
        self.check_served(agent, at)?;
        check_capacity(agent, at)
    }

    fn check_served(&self, agent: &Agent, at: &str) -> Check {
        let field = format!("{at}.queues");
        let count = agent.queues.len() as u64;
        bounds(&field, count, 1, AGENT_QUEUES_MAX as u64)?;
        for (i, served) in agent.queues.iter().enumerate() {
            let at = format!("{field}[{i}]");
            self.queue(&served.queue)
                .ok_or_else(|| unknown(&at, "queue", served.queue.as_str()))?;
            bounds(
                &format!("{at}.rank"),
                served.rank.into(),
                1,
                RANK_MAX.into(),
            )?;
            let most = served.chats_max.into();
            bounds(&format!("{at}.chats_max"), most, 0, CAPACITY_MAX.into())?;
        }
        check_once(&field, "", agent.queues.iter().map(|s| &s.queue))
    }

    pub(super) fn check_neighbours(&self, region: &Region, at: &str) -> Check {
        let field = format!("{at}.neighbours");
        let count = region.neighbours.len() as u64;
        bounds(&field, count, 0, NEIGHBOURS_MAX as u64)?;
        for (i, near) in region.neighbours.iter().enumerate() {
            let field = format!("{field}[{i}]");
            self.region(&field, near)?;
            if *near == region.id {
                let problem = "is the region itself";
                return Err(invalid(field, problem, "name other regions"));
            }
        }
        check_once(&field, "", region.neighbours.iter())
    }
}

fn check_capacity(agent: &Agent, at: &str) -> Check {
    let capacity = agent.capacity.into();
    bounds(&format!("{at}.capacity"), capacity, 1, CAPACITY_MAX.into())?;
    bounds(
        &format!("{at}.extra"),
        agent.extra.into(),
        0,
        CAPACITY_MAX.into(),
    )?;
    bounds(
        &format!("{at}.share"),
        agent.share.into(),
        1,
        SHARE_MAX.into(),
    )?;
    let field = format!("{at}.ramp_up");
    bounds(&field, agent.ramp_up.len() as u64, 0, RAMPS_MAX as u64)?;
    for (i, ramp) in agent.ramp_up.iter().enumerate() {
        let at = format!("{field}[{i}]");
        bounds(&format!("{at}.capacity"), ramp.capacity.into(), 1, capacity)?;
        if !(0..=TIME_MAX).contains(&ramp.until) {
            let problem = format!("{} is no time", ramp.until);
            let fix = format!("give 0 to {TIME_MAX}");
            return Err(invalid(format!("{at}.until"), problem, fix));
        }
        let before = i.checked_sub(1).map(|b| agent.ramp_up[b].until);
        if before.is_some_and(|before| before >= ramp.until) {
            return Err(invalid(
                format!("{at}.until"),
                "does not come after the one before",
                "order them by rising time",
            ));
        }
    }
    Ok(())
}

/// Bounds a list of skills with levels.
pub(crate) fn check_skills(field: &str, skills: &[SkillLevel], most: usize) -> Check {
    bounds(field, skills.len() as u64, 0, most as u64)?;
    for (i, skill) in skills.iter().enumerate() {
        check_id(&format!("{field}[{i}].skill"), skill.skill.as_str())?;
        let level = format!("{field}[{i}].level");
        bounds(&level, skill.level.into(), 1, SKILL_LEVEL_MAX.into())?;
    }
    check_once(field, ".skill", skills.iter().map(|s| &s.skill))
}
