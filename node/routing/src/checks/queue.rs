//! What a queue must keep to: its bounds, its steps, and where it overflows.

use super::agent::check_skills;
use super::{Check, View, check_id, check_once, invalid};
use crate::chat::unknown;
use crate::effect::Reject;
use crate::ids::*;
use crate::limits::*;
use crate::model::*;
use crate::offer::{bounds, bytes};

impl View<'_> {
    pub(super) fn check_queue(&self, queue: &Queue, at: &str) -> Check {
        check_id(&format!("{at}.id"), queue.id.as_str())?;
        if let Some(schedule) = &queue.schedule {
            self.schedule(&format!("{at}.schedule"), schedule)?;
        }
        let count = queue.steps.len() as u64;
        bounds(&format!("{at}.steps"), count, 1, STEPS_MAX as u64)?;
        for i in 0..queue.steps.len() {
            self.check_step(queue, i, &format!("{at}.steps[{i}]"))?;
        }
        check_numbers(queue, at)?;
        check_reasons(queue, at)?;
        let count = queue.overflow.len() as u64;
        bounds(&format!("{at}.overflow"), count, 0, OVERFLOWS_MAX as u64)?;
        for (i, overflow) in queue.overflow.iter().enumerate() {
            let at = format!("{at}.overflow[{i}]");
            let number = |name: &str, value: u32, most: u32| {
                bounds(&format!("{at}.{name}"), value.into(), 0, most.into())
            };
            number("after", overflow.after_ms, DAY_MS)?;
            number("waiting_min", overflow.waiting_min, WAITING_MAX)?;
            number("service_level_below", overflow.service_level_below, 100)?;
            reached(queue, format!("{at}.after"), overflow.after_ms)?;
        }
        self.check_overflow(queue, at)
    }

    fn check_step(&self, queue: &Queue, i: usize, at: &str) -> Check {
        let step = &queue.steps[i];
        let after = format!("{at}.after");
        match i.checked_sub(1).map(|before| queue.steps[before].after_ms) {
            None if step.after_ms != 0 => {
                let problem = "the first step must hold from the start";
                return Err(invalid(after, problem, "give 0s"));
            }
            Some(before) if step.after_ms <= before => {
                let problem = "does not come after the step before";
                return Err(invalid(after, problem, "order the steps by rising time"));
            }
            _ => bounds(&after, step.after_ms.into(), 0, DAY_MS.into())?,
        }
        reached(queue, after, step.after_ms)?;
        let number = |name: &str, value: u32, least: u32, most: u32| {
            let field = format!("{at}.{name}");
            bounds(&field, value.into(), least.into(), most.into())
        };
        number(
            "skill_levels_off",
            step.skill_levels_off,
            0,
            SKILL_LEVEL_MAX,
        )?;
        let apart = step.language_distance_max;
        number("language_distance_max", apart, 0, LANGUAGE_DISTANCE_MAX)?;
        let weight = step.language_weight_min;
        number("language_weight", weight, 0, LANGUAGE_WEIGHT_MAX + 1)?;
        number("rank_max", step.rank_max, 1, RANK_MAX)?;
        number("near", step.near.unwrap_or(0), 0, NEIGHBOURS_MAX as u32)?;
        if step.near.is_some() && !step.regions.is_empty() {
            return Err(invalid(
                format!("{at}.near"),
                "is given beside regions",
                "give one of the two",
            ));
        }
        for (name, regions) in [
            ("regions", &step.regions),
            ("prefer_regions", &step.prefer_regions),
        ] {
            let field = format!("{at}.{name}");
            for (r, region) in regions.iter().enumerate() {
                self.region(&format!("{field}[{r}]"), region)?;
            }
            check_once(&field, "", regions.iter())?;
        }
        let field = format!("{at}.skills_off");
        let count = step.skills_off.len() as u64;
        bounds(&field, count, 0, AGENT_SKILLS_MAX as u64)?;
        for (s, skill) in step.skills_off.iter().enumerate() {
            check_id(&format!("{field}[{s}]"), skill.as_str())?;
        }
        check_once(&field, "", step.skills_off.iter())?;
        let field = format!("{at}.prefer_skills");
        check_skills(&field, &step.prefer_skills, CHAT_SKILLS_MAX)?;
        if step.skip_if_nobody && i + 1 == queue.steps.len() {
            return Err(invalid(
                format!("{at}.skip_if_nobody"),
                "the last step has none after it",
                "leave it out, or add a step",
            ));
        }
        Ok(())
    }

    /// Follows every path a chat would take; each must end, and soon.
    pub(crate) fn check_overflow(&self, queue: &Queue, at: &str) -> Check {
        let mut reached = 1;
        self.follow(queue, &mut vec![&queue.id], &mut reached, at)
    }

    fn follow<'b>(
        &'b self,
        queue: &'b Queue,
        path: &mut Vec<&'b QueueId>,
        reached: &mut usize,
        at: &str,
    ) -> Check {
        for (i, overflow) in queue.overflow.iter().enumerate() {
            // What is wrong further on is told where the path begins.
            let field = match path.len() {
                1 => format!("{at}.overflow[{i}].queue"),
                _ => format!("{at}.overflow"),
            };
            let target = self
                .queue(&overflow.queue)
                .ok_or_else(|| unknown(&field, "queue", overflow.queue.as_str()))?;
            let told = || {
                let names: Vec<_> = path.iter().map(|q| q.as_str()).collect();
                names.join(" -> ")
            };
            if path.contains(&&overflow.queue) {
                return Err(invalid(
                    field,
                    format!("runs in a circle: {} -> {}", told(), overflow.queue),
                    "let the last queue overflow nowhere",
                ));
            }
            if path.len() > OVERFLOW_HOPS_MAX {
                return Err(invalid(
                    field,
                    format!("is too long: {}", told()),
                    format!("use at most {OVERFLOW_HOPS_MAX} hops"),
                ));
            }
            *reached += 1;
            if *reached > REACH_MAX {
                return Err(invalid(
                    field,
                    format!("brings more than {REACH_MAX} queues in reach"),
                    "let fewer queues overflow, or each into fewer",
                ));
            }
            path.push(&overflow.queue);
            self.follow(target, path, reached, at)?;
            path.pop();
        }
        Ok(())
    }
}

fn check_numbers(queue: &Queue, at: &str) -> Check {
    let number = |name: &str, value: u32, least: u32, most: u32| {
        let field = format!("{at}.{name}");
        bounds(&field, value.into(), least.into(), most.into())
    };
    let timeout = queue.offer_timeout_ms;
    number("offer_timeout", timeout, OFFER_TIMEOUT_MS_MIN, HOUR_MS)?;
    number("offer_to", queue.offer_to, 1, OFFER_TO_MAX)?;
    number("refusal", queue.refusal_ms, 0, DAY_MS)?;
    number("ignored_max", queue.ignored_max, 1, IGNORED_MOST)?;
    number("wrap_up", queue.wrap_up_ms, 0, HOUR_MS)?;
    number("wait_max", queue.wait_ms_max, WAIT_MS_MIN, DAY_MS)?;
    number("waiting_max", queue.waiting_max, 1, WAITING_MAX)?;
    number("priority", queue.priority, 0, PRIORITY_MAX)?;
    number("vip_priority", queue.vip_priority, 0, PRIORITY_MAX)?;
    number("ageing", queue.ageing_ms, 0, DAY_MS)?;
    number("answer_target", queue.answer_target_ms, 0, DAY_MS)?;
    number("service_level", queue.service_level, 0, 100)?;
    number("sticky", queue.sticky_ms, 0, DAY_MS)?;
    number("hold_agent", queue.hold_agent_ms, 0, HOUR_MS)?;
    number("hold_team", queue.hold_team_ms, 0, HOUR_MS)?;
    number("staff_min", queue.staff_min, 0, WAITING_MAX)?;
    if queue.auto_accept && queue.offer_to > 1 {
        return Err(invalid(
            format!("{at}.auto_accept"),
            "cannot be set where a chat is offered to several agents",
            "give offer_to 1, or leave auto_accept out",
        ));
    }
    Ok(())
}

fn check_reasons(queue: &Queue, at: &str) -> Check {
    let field = format!("{at}.decline_reasons");
    let count = queue.decline_reasons.len() as u64;
    bounds(&field, count, 0, DECLINE_REASONS_MAX as u64)?;
    for (i, reason) in queue.decline_reasons.iter().enumerate() {
        bytes(&format!("{field}[{i}]"), reason, 1, REASON_BYTES_MAX)?;
    }
    check_once(&field, "", queue.decline_reasons.iter())
}

/// A chat put off begins anew, so what holds later than the longest wait would never hold.
fn reached(queue: &Queue, field: String, after: u32) -> Result<(), Reject> {
    if after < queue.wait_ms_max {
        return Ok(());
    }
    Err(invalid(
        field,
        "is not before the longest wait, so it would never hold",
        "give less than wait_max, or raise that",
    ))
}
