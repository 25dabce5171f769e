//! Whether people like these may take chats like those, and how well they fit: the part of the decision
//! that does not depend on who is free just now, so it is worked out once per kind and kept.

use crate::ids::*;
use crate::limits::OVERFLOW_HOPS_MAX;
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
    pub languages: Vec<Language>,
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
    /// 0 = the first language exactly; see [`language_rank`].
    pub language: u16,
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
            languages: chat.languages.clone(),
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
        let language = language_rank(&self.workspace, step, &line.languages, &bench.languages)
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

/// How near the spoken languages come to the wanted ones, or `None`: 4 × place of the wanted language,
/// plus 1 when only its parent or child is spoken (`pt` for `pt-BR`, or `pt-BR` for `pt`); a fallback of
/// the workspace ranks after all of them. At a step without fallbacks only the first language counts.
pub fn language_rank(
    workspace: &Workspace,
    step: &RelaxationStep,
    wanted: &[Language],
    spoken: &[(Language, Level)],
) -> Option<u16> {
    let places = if step.fallback_languages {
        wanted.len()
    } else {
        1
    };
    let near = |tag: &Language| {
        let able = spoken
            .iter()
            .filter(|(_, level)| *level >= step.language_level);
        able.filter_map(|(has, _)| distance(tag, has)).min()
    };
    for (place, tag) in wanted.iter().take(places).enumerate() {
        if let Some(d) = near(tag) {
            return Some(place as u16 * 4 + d);
        }
    }
    if !step.fallback_languages {
        return None;
    }
    let mut rank = crate::limits::CHAT_LANGUAGES_MAX as u16 * 4;
    for tag in wanted {
        let accept = workspace
            .fallbacks
            .iter()
            .find(|(from, _)| from == tag)
            .map_or(&[][..], |(_, to)| to);
        for other in accept {
            if let Some(d) = near(other) {
                return Some(rank + d);
            }
            rank += 4;
        }
    }
    None
}

/// 0 = the same tag, 1 = one is the other with parts left off at the end; `None` = neither.
fn distance(a: &Language, b: &Language) -> Option<u16> {
    if a == b {
        return Some(0);
    }
    let (short, long) = if a.0.len() < b.0.len() {
        (&a.0, &b.0)
    } else {
        (&b.0, &a.0)
    };
    let rest = long.strip_prefix(short.as_str())?;
    rest.starts_with('-').then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(fallback_languages: bool) -> RelaxationStep {
        RelaxationStep {
            after_ms: 0,
            language_level: Level::Fluent,
            fallback_languages,
            skill_levels_off: 0,
            regions: vec![],
        }
    }
    fn rank(fallback: bool, wanted: &[&str], spoken: &[(&str, Level)]) -> Option<u16> {
        let workspace = Workspace {
            name: "w".into(),
            fallbacks: vec![("ca".into(), vec!["es".into(), "fr".into()])],
        };
        let wanted: Vec<Language> = wanted.iter().map(|t| (*t).into()).collect();
        let spoken: Vec<_> = spoken.iter().map(|(t, l)| ((*t).into(), *l)).collect();
        language_rank(&workspace, &step(fallback), &wanted, &spoken)
    }

    #[test]
    fn exact_beats_parent_beats_later_languages_beat_fallbacks() {
        use Level::*;
        assert_eq!(rank(false, &["pt-BR"], &[("pt-BR", Native)]), Some(0));
        assert_eq!(rank(false, &["pt-BR"], &[("pt", Fluent)]), Some(1));
        assert_eq!(rank(false, &["pt"], &[("pt-BR", Fluent)]), Some(1));
        assert_eq!(
            rank(false, &["pt-BR"], &[("pt-PT", Native)]),
            None,
            "siblings need a fallback"
        );
        assert_eq!(
            rank(false, &["pt-BR", "es"], &[("es", Native)]),
            None,
            "the first step is strict"
        );
        assert_eq!(rank(true, &["pt-BR", "es"], &[("es", Native)]), Some(4));
        assert_eq!(
            rank(true, &["ca"], &[("fr", Native), ("es", Working)]),
            Some(36),
            "es is not fluent"
        );
        assert_eq!(rank(true, &["ca"], &[("es", Fluent)]), Some(32));
    }

    #[test]
    fn a_language_is_not_a_prefix_of_another_word() {
        assert_eq!(rank(true, &["de"], &[("den", Level::Native)]), None);
    }
}
