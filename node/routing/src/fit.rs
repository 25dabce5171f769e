//! Whether people like these may take chats like those, and how well they fit: the part of the decision
//! that does not depend on who is free just now, so it is worked out once per kind and kept.

use crate::ids::*;
use crate::limits::{CHAT_LANGUAGES_MAX, LANGUAGE_DISTANCE_MAX, OVERFLOW_HOPS_MAX};
use crate::model::*;
use crate::state::{Chat, State};

/// Agents that are alike to routing sit on one bench.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bench {
    pub region: RegionId,
    pub capacity: u32,
    pub queues: Vec<QueueId>,
    pub languages: Vec<(Language, Level)>,
    pub skills: Vec<(SkillId, u32)>,
}

/// Chats that are alike to routing wait in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub queue: QueueId,
    pub weight: u32,
    /// With the visitor's weight of each.
    pub languages: Vec<(Language, u32)>,
    pub skills: Vec<(SkillId, u32)>,
}

/// What holds for a line after a waiting time: a relaxation step and the queues in reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Waiting time from which it holds.
    pub after: Millis,
    /// Which step of the queue.
    pub step: usize,
    /// The queue itself, then those it overflows into, nearest first.
    pub reach: Vec<QueueId>,
}

/// How well a bench fits a line; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    /// Overflow hops away: 0 = the chat's own queue.
    pub hop: u8,
    /// 0 = the first language exactly; otherwise [`PLACE`] times the place of the language, plus its distance.
    pub language: u32,
}

/// Why a bench may not take a line's chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Serves none of the queues in reach.
    Queue,
    /// Its region is not let in at this step.
    Region,
    /// Speaks none of the languages well enough at this step.
    Language,
    /// Lacks a skill at this step.
    Skill,
    /// The chat takes more units than the agent has in all.
    Capacity,
}

impl Bench {
    pub(crate) fn of(agent: &Agent) -> Self {
        let mut bench = Self {
            region: agent.region.clone(),
            capacity: agent.capacity,
            queues: agent.queues.clone(),
            languages: agent
                .languages
                .iter()
                .map(|l| (l.language.clone(), l.level))
                .collect(),
            skills: agent
                .skills
                .iter()
                .map(|s| (s.skill.clone(), s.level))
                .collect(),
        };
        bench.queues.sort();
        bench.languages.sort();
        bench.skills.sort();
        bench
    }
}

impl Line {
    pub(crate) fn of(chat: &Chat) -> Self {
        Self {
            queue: chat.queue.clone(),
            weight: chat.weight,
            languages: chat
                .languages
                .iter()
                .map(|w| (w.language.clone(), w.weight))
                .collect(),
            skills: chat
                .skills
                .iter()
                .map(|s| (s.skill.clone(), s.level))
                .collect(),
        }
    }
}

impl State {
    /// Every stage of a queue's chats, first to last; times of steps and of overflow merged.
    pub(crate) fn stages(&self, queue: &Queue) -> Vec<Stage> {
        let mut hops = vec![(0, queue.id.clone())];
        let (mut at, mut after) = (queue, 0);
        while let Some(overflow) = &at.overflow {
            after += Millis::from(overflow.after_ms);
            hops.push((after, overflow.queue.clone()));
            match self.queues.get(&overflow.queue) {
                Some(next) if hops.len() <= OVERFLOW_HOPS_MAX => at = next,
                _ => break,
            }
        }
        let mut times: Vec<Millis> = queue
            .steps
            .iter()
            .map(|s| Millis::from(s.after_ms))
            .collect();
        times.extend(hops.iter().map(|(after, _)| *after));
        times.sort_unstable();
        times.dedup();
        let stage = |after| Stage {
            after,
            step: queue
                .steps
                .iter()
                .rposition(|s| Millis::from(s.after_ms) <= after)
                .unwrap_or(0),
            reach: hops
                .iter()
                .filter(|(from, _)| *from <= after)
                .map(|(_, id)| id.clone())
                .collect(),
        };
        times.into_iter().map(stage).collect()
    }

    /// The hard filter that depends on kind alone, in the order in which refusals are told.
    pub(crate) fn fit(&self, line: &Line, stage: &Stage, bench: &Bench) -> Result<Fit, Misfit> {
        let hop = stage
            .reach
            .iter()
            .position(|q| bench.queues.contains(q))
            .ok_or(Misfit::Queue)?;
        let step = self
            .queues
            .get(&line.queue)
            .and_then(|q| q.steps.get(stage.step))
            .ok_or(Misfit::Queue)?;
        if !step.regions.is_empty() && !step.regions.contains(&bench.region) {
            return Err(Misfit::Region);
        }
        let language = self
            .language_rank(step, &line.languages, &bench.languages)
            .ok_or(Misfit::Language)?;
        let skilled = line.skills.iter().all(|(skill, wanted)| {
            let wanted = wanted.saturating_sub(step.skill_levels_off);
            wanted == 0
                || bench
                    .skills
                    .iter()
                    .any(|(has, level)| has == skill && *level >= wanted)
        });
        if !skilled {
            return Err(Misfit::Skill);
        }
        if line.weight > bench.capacity {
            return Err(Misfit::Capacity);
        }
        Ok(Fit {
            hop: hop as u8,
            language,
        })
    }
}

/// What one place in the visitor's list, or one more fallback, is worth in [`Fit::language`]: more than any distance.
pub(crate) const PLACE: u32 = LANGUAGE_DISTANCE_MAX + 1;

impl State {
    /// How near the spoken languages come to the wanted ones, or `None` where none is near enough: [`PLACE`] times
    /// the place of the wanted language, plus the distance; a fallback of the workspace ranks after all of them.
    fn language_rank(
        &self,
        step: &RelaxationStep,
        wanted: &[(Language, u32)],
        spoken: &[(Language, Level)],
    ) -> Option<u32> {
        let near = |tag: &Language| {
            let able = spoken
                .iter()
                .filter(|(_, level)| *level >= step.language_level);
            let apart = able.filter_map(|(has, _)| self.distance(tag, has));
            apart.filter(|d| *d <= step.language_distance_max).min()
        };
        let counts = |place: usize, weight: u32| {
            place == 0 || step.fallback_languages || weight >= step.language_weight_min
        };
        for (place, (tag, weight)) in wanted.iter().enumerate() {
            if counts(place, *weight)
                && let Some(d) = near(tag)
            {
                return Some(place as u32 * PLACE + d);
            }
        }
        if !step.fallback_languages {
            return None;
        }
        let mut rank = CHAT_LANGUAGES_MAX as u32 * PLACE;
        for (tag, _) in wanted {
            for other in self.fallbacks(tag) {
                if let Some(d) = near(other) {
                    return Some(rank + d);
                }
                rank += PLACE;
            }
        }
        None
    }

    /// What the workspace accepts in place of a language: by the rule of the very tag, else of the nearest form of
    /// the same language and script.
    fn fallbacks(&self, wanted: &Language) -> &[Language] {
        let rules = self.workspace.fallbacks.iter();
        let same = |from: &Language| match self.languages.get(from).zip(self.languages.get(wanted))
        {
            Some((from, wanted)) => from.key == wanted.key,
            None => true,
        };
        let nearest = rules
            .filter_map(|rule| Some((self.distance(wanted, &rule.0)?, rule)))
            .filter(|(_, rule)| same(&rule.0))
            .min_by_key(|(apart, _)| *apart);
        nearest.map_or(&[], |(_, (_, accept))| accept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(fallback_languages: bool) -> RelaxationStep {
        RelaxationStep {
            after_ms: 0,
            language_level: Level::Fluent,
            language_distance_max: 90,
            language_weight_min: 500,
            fallback_languages,
            skill_levels_off: 0,
            regions: vec![],
        }
    }
    /// The rank of a visitor's languages, of weight 1000 but for the last.
    fn rank(fallback: bool, wanted: &[&str], spoken: &[(&str, Level)]) -> Option<u32> {
        let state = State {
            workspace: Workspace {
                name: "w".into(),
                fallbacks: vec![("ca".into(), vec!["es".into(), "fr".into()])],
            },
            ..State::default()
        };
        let last = wanted.len() - 1;
        let weight = |i| if i == last { 100 } else { 1_000 };
        let wanted = wanted.iter().enumerate();
        let wanted: Vec<_> = wanted.map(|(i, t)| ((*t).into(), weight(i))).collect();
        let spoken: Vec<_> = spoken.iter().map(|(t, l)| ((*t).into(), *l)).collect();
        state.language_rank(&step(fallback), &wanted, &spoken)
    }

    #[test]
    fn exact_beats_parent_beats_later_languages_beat_fallbacks() {
        use Level::*;
        assert_eq!(rank(false, &["pt-BR"], &[("pt-BR", Native)]), Some(0));
        assert_eq!(rank(false, &["pt-BR"], &[("pt", Fluent)]), Some(1));
        assert_eq!(
            rank(false, &["pt-BR", "es"], &[("es", Native)]),
            None,
            "too little wanted"
        );
        assert_eq!(
            rank(false, &["pt-BR", "es", "fr"], &[("es", Native)]),
            Some(PLACE),
            "wanted enough"
        );
        assert_eq!(rank(true, &["pt-BR", "es"], &[("es", Native)]), Some(PLACE));
        assert_eq!(
            rank(true, &["ca"], &[("fr", Native), ("es", Working)]),
            Some(9 * PLACE),
            "es is not fluent"
        );
        assert_eq!(rank(true, &["ca"], &[("es", Fluent)]), Some(8 * PLACE));
        assert_eq!(rank(true, &["ca-ES"], &[("es", Fluent)]), Some(8 * PLACE));
    }
}
