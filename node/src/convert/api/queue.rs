//! Queues of the public API and their steps, both ways.

use meridian_language::{FAR, NEAR};
use meridian_proto::livechat::v1 as api;
use meridian_routing::effect::Reject;
use meridian_routing::ids::*;
use meridian_routing::limits::{self, LANGUAGE_WEIGHT_MAX};
use meridian_routing::model::*;

use super::agent::show_skills;
use super::{invalid, level, maybe, skills};

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

fn strategy(field: &str, number: i32) -> Result<Strategy, Reject> {
    Ok(match api::Strategy::try_from(number) {
        Ok(api::Strategy::Unspecified | api::Strategy::LeastOccupied) => Strategy::LeastOccupied,
        Ok(api::Strategy::LongestIdle) => Strategy::LongestIdle,
        Ok(api::Strategy::RoundRobin) => Strategy::RoundRobin,
        Ok(api::Strategy::Weighted) => Strategy::Weighted,
        Ok(api::Strategy::MostSkilled) => Strategy::MostSkilled,
        Err(_) => {
            return Err(invalid(
                field,
                format!("{number} is not known"),
                "give least_occupied, longest_idle, round_robin, weighted or most_skilled",
            ));
        }
    })
}

fn regions(ids: &[String]) -> Vec<RegionId> {
    ids.iter().cloned().map(RegionId::from).collect()
}

fn step(at: &str, s: &api::RelaxationStep) -> Result<RelaxationStep, Reject> {
    Ok(RelaxationStep {
        after_ms: s.after_ms,
        language_level: level(&format!("{at}.language_level"), s.language_level)?,
        language_distance_max: reach(&format!("{at}.language_reach"), s.language_reach)?,
        language_weight_min: weight_min(&format!("{at}.language_weight"), s.language_weight)?,
        fallback_languages: s.fallback_languages,
        skill_levels_off: s.skill_levels_off,
        skills_off: s.skills_off.iter().cloned().map(SkillId::from).collect(),
        regions: regions(&s.regions),
        near: s.near,
        prefer_regions: regions(&s.prefer_regions),
        prefer_skills: skills(&s.prefer_skills),
        rank_max: match s.rank_max {
            0 => limits::RANK_MAX,
            given => given,
        },
        skip_if_nobody: s.skip_if_nobody,
    })
}

pub(super) fn queue(at: &str, q: &api::Queue) -> Result<Queue, Reject> {
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let usual = Queue::default();
    let mut steps = Vec::new();
    for (i, s) in q.steps.iter().enumerate() {
        steps.push(step(&format!("{at}.steps[{i}]"), s)?);
    }
    let overflow = |o: &api::Overflow| Overflow {
        after_ms: o.after_ms,
        queue: QueueId::from(o.queue.clone()),
        waiting_min: o.waiting_min,
        no_agent: o.no_agent,
        service_level_below: o.service_level_below,
    };
    Ok(Queue {
        id: QueueId::from(q.id.clone()),
        schedule: maybe(&q.schedule, ScheduleId::from),
        steps: if steps.is_empty() { usual.steps } else { steps },
        offer_timeout_ms: or(q.offer_timeout_ms, usual.offer_timeout_ms),
        offer_to: or(q.offer_to, usual.offer_to),
        auto_accept: q.auto_accept,
        decline_reasons: q.decline_reasons.clone(),
        refusal_ms: q.refusal_ms.unwrap_or(usual.refusal_ms),
        ignored_max: or(q.ignored_max, usual.ignored_max),
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: or(q.wait_ms_max, usual.wait_ms_max),
        waiting_max: or(q.waiting_max, usual.waiting_max),
        priority: q.priority,
        vip_priority: q.vip_priority,
        ageing_ms: q.ageing_ms,
        answer_target_ms: or(q.answer_target_ms, usual.answer_target_ms),
        service_level: q.service_level,
        overflow: q.overflow.iter().map(overflow).collect(),
        strategy: strategy(&format!("{at}.strategy"), q.strategy)?,
        sticky_ms: q.sticky_ms,
        hold_agent_ms: q.hold_agent_ms,
        hold_team_ms: q.hold_team_ms,
        staff_min: q.staff_min,
    })
}

fn show_step(s: &RelaxationStep) -> api::RelaxationStep {
    let names = |regions: &[RegionId]| regions.iter().map(|r| r.to_string()).collect();
    api::RelaxationStep {
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
        regions: names(&s.regions),
        skills_off: s.skills_off.iter().map(|s| s.to_string()).collect(),
        near: s.near,
        prefer_regions: names(&s.prefer_regions),
        prefer_skills: show_skills(&s.prefer_skills),
        rank_max: s.rank_max,
        skip_if_nobody: s.skip_if_nobody,
    }
}

pub(crate) fn show_queue(q: &Queue) -> api::Queue {
    let overflow = |o: &Overflow| api::Overflow {
        after_ms: o.after_ms,
        queue: o.queue.to_string(),
        waiting_min: o.waiting_min,
        no_agent: o.no_agent,
        service_level_below: o.service_level_below,
    };
    api::Queue {
        id: q.id.to_string(),
        schedule: q
            .schedule
            .as_ref()
            .map(|s| s.to_string())
            .unwrap_or_default(),
        steps: q.steps.iter().map(show_step).collect(),
        offer_timeout_ms: q.offer_timeout_ms,
        offer_to: q.offer_to,
        auto_accept: q.auto_accept,
        decline_reasons: q.decline_reasons.clone(),
        refusal_ms: Some(q.refusal_ms),
        ignored_max: q.ignored_max,
        wrap_up_ms: q.wrap_up_ms,
        wait_ms_max: q.wait_ms_max,
        waiting_max: q.waiting_max,
        priority: q.priority,
        vip_priority: q.vip_priority,
        ageing_ms: q.ageing_ms,
        answer_target_ms: q.answer_target_ms,
        service_level: q.service_level,
        overflow: q.overflow.iter().map(overflow).collect(),
        strategy: q.strategy as i32,
        sticky_ms: q.sticky_ms,
        hold_agent_ms: q.hold_agent_ms,
        hold_team_ms: q.hold_team_ms,
        staff_min: q.staff_min,
    }
}
