//! Whether people like these may take chats like those, and how well they fit: the part of the decision
//! that does not depend on who is free just now, so it is worked out once per kind and kept.

use crate::ids::*;
use crate::limits::{CHAT_LANGUAGES_MAX, LANGUAGE_DISTANCE_MAX, SKILL_LEVEL_MAX};
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::state::{Chat, State};

/// Agents that are alike to routing sit on one bench.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bench {
    pub region: RegionId,
    pub team: String,
    pub bot: bool,
    /// As it is now: a newcomer's is smaller.
    pub capacity: u32,
    pub extra: u32,
    pub queues: Vec<Served>,
    pub languages: Vec<(Language, Level)>,
    pub skills: Vec<(SkillId, u32)>,
}

/// Chats that are alike to routing wait in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub queue: QueueId,
    pub weight: u32,
    pub interrupting: bool,
    /// Only where a step of the queue asks for it.
    pub region: Option<RegionId>,
    /// With the visitor's weight of each.
    pub languages: Vec<(Language, u32)>,
    pub skills: Vec<(SkillId, u32)>,
    /// Whom the chats are held for, where they are.
    pub held: Option<HeldFor>,
    /// Whether bots are left out.
    pub people_only: bool,
}

/// Whom chats of a line are held for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HeldFor {
    /// An agent, then the agent's team.
    Agent(AgentId),
    /// A region.
    Region(Toward),
}

/// What holds for a line after a waiting time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Waiting time from which it holds.
    pub after: Millis,
    /// Who is let in: by the first way, and by a later one while nobody let in by those before it is at work.
    pub ways: Vec<Way>,
    /// The queue itself, then those it overflows into, nearest first.
    pub reach: Vec<Reach>,
}

/// Whom a stage lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// By which step of the queue.
    pub step: usize,
    /// Whom alone.
    pub only: Only,
}

/// Whom a chat is held for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// The agent it belongs to.
    Agent(AgentId),
    /// That agent's team.
    Team(String),
    /// The region it should go to.
    Region(RegionId),
    /// Nobody: anyone may take it.
    Anyone,
}

impl std::fmt::Display for Only {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent '{agent}'"),
            Self::Team(team) => write!(f, "team '{team}'"),
            Self::Region(region) => write!(f, "region '{region}'"),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

/// A queue whose agents may take a line's chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub queue: QueueId,
    /// Overflow hops away.
    pub hops: u8,
    /// Waiting time from which it is in reach.
    pub after: Millis,
    /// What must hold on the way there.
    pub gates: Vec<Gate>,
}

/// What must hold for chats of a queue to overflow, but for the wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// The queue that overflows.
    pub queue: QueueId,
    pub waiting_min: u32,
    pub no_agent: bool,
    pub service_level_below: u32,
}

/// How well a bench fits a line; smaller is better, field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fit {
    /// By which way it is let in: 0 = what the stage asks itself.
    pub way: u16,
    /// 0 = a bot.
    pub person: u8,
    /// Overflow hops away: 0 = the chat's own queue.
    pub hop: u8,
    /// Rank in that queue, 1 = first line.
    pub rank: u8,
    /// 0 = the first language exactly; otherwise [`PLACE`] times the place of the language, plus its distance.
    pub language: u32,
    /// Place among the regions that the step prefers.
    pub region: u8,
    /// How many of the skills that the step prefers are lacking.
    pub lacking: u8,
    /// Levels short of the highest in the wanted skills, where the queue's strategy asks for it.
    pub unskilled: u16,
}

/// A way for a bench to take a line's chats: who sits there, how well they fit, and by what they are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub fit: Fit,
    /// Which of the stage's queues in reach.
    pub reach: u8,
}

/// Why a bench may not take a line's chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// The chat is held for somebody else.
    Held = 1,
    /// A bot, and the chat is for people alone.
    Bot = 2,
    /// Serves none of the queues in reach.
    Queue = 3,
    /// Serves one, but their rank is not let in at this step.
    Rank = 4,
    /// Its region is not let in at this step.
    Region = 5,
    /// Speaks none of the languages well enough at this step.
    Language = 6,
    /// Lacks a skill at this step.
    Skill = 7,
    /// The chat takes more units than the agent has in all.
    Capacity = 8,
}

impl Misfit {
    /// Every one, so that a written number can be read.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Bot,
        Self::Queue,
        Self::Rank,
        Self::Region,
        Self::Language,
        Self::Skill,
        Self::Capacity,
    ];
}

impl Bench {
    pub(crate) fn of(agent: &Agent, now: Millis) -> Self {
        let mut bench = Self {
            region: agent.region.clone(),
            team: agent.team.clone(),
            bot: agent.bot,
            capacity: agent.capacity_at(now),
            extra: agent.extra,
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

    /// How its agents serve a queue.
    pub(crate) fn serves(&self, queue: &QueueId) -> Option<&Served> {
        self.queues.iter().find(|s| s.queue == *queue)
    }

    /// Units that a chat may fill up to.
    pub(crate) fn room(&self, interrupting: bool) -> u32 {
        let more = u32::from(mutants::is(Mutant::OverCapacity));
        self.capacity + more + if interrupting { self.extra } else { 0 }
    }
}

impl Agent {
    /// Capacity units at a time: a newcomer has fewer.
    pub fn capacity_at(&self, now: Millis) -> u32 {
        let ramp = self.ramp_up.iter().find(|r| r.until > now);
        ramp.map_or(self.capacity, |r| r.capacity)
    }

    /// When the present capacity of a newcomer ends.
    pub(crate) fn ramp_end(&self, now: Millis) -> Option<Millis> {
        let ramp = self.ramp_up.iter().find(|r| r.until > now);
        ramp.map(|r| r.until)
    }
}

impl State {
    pub(crate) fn line_key(&self, chat: &Chat) -> Line {
        let queue = self.queues.get(&chat.queue);
        let by_region = queue.is_some_and(|q| q.steps.iter().any(|s| s.near.is_some()));
        let holds = queue.is_some_and(|q| q.hold_agent_ms > 0 || q.hold_team_ms > 0);
        let toward = chat.toward.clone().filter(|t| t.hold_ms > 0);
        let owner = chat.belongs_to().filter(|_| holds).cloned();
        let held = match toward {
            Some(toward) => Some(HeldFor::Region(toward)),
            None => owner.map(HeldFor::Agent),
        };
        Line {
            queue: chat.queue.clone(),
            weight: chat.weight,
            interrupting: chat.interrupting,
            region: chat.region.clone().filter(|_| by_region),
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
            held,
            people_only: chat.people_only,
        }
    }

    /// The hard filter that depends on kind alone: every way in which a bench may take a line's chats at a stage,
    /// best first; or why there is none.
    pub(crate) fn entries(
        &self,
        line: &Line,
        stage: &Stage,
        bench: &Bench,
    ) -> Result<Vec<Entry>, Misfit> {
        if bench.bot && line.people_only {
            return Err(Misfit::Bot);
        }
        let mut entries = Vec::new();
        let mut misfit = Misfit::Held;
        for (way, rule) in stage.ways.iter().enumerate() {
            match &rule.only {
                Only::Agent(agent) => {
                    let agent = self.agents.get(agent);
                    if agent.is_none_or(|a| Bench::of(&a.config, self.meta.now) != *bench) {
                        continue;
                    }
                }
                Only::Team(team) if *team != bench.team => continue,
                Only::Region(region) if *region != bench.region => continue,
                _ => {}
            }
            let step = self
                .queues
                .get(&line.queue)
                .and_then(|q| q.steps.get(rule.step));
            let Some(step) = step else { continue };
            for (reach, queue) in stage.reach.iter().enumerate() {
                match self.fit(line, step, queue, bench) {
                    Ok(fit) => entries.push(Entry {
                        fit: Fit {
                            way: way as u16,
                            ..fit
                        },
                        reach: reach as u8,
                    }),
                    // What comes nearest to letting it in is what is told.
                    Err(why) => misfit = misfit.max(why),
                }
            }
        }
        if entries.is_empty() {
            return Err(misfit);
        }
        entries.sort();
        Ok(entries)
    }

    /// One step, one queue in reach, one bench; refusals in the order in which they are told.
    fn fit(
        &self,
        line: &Line,
        step: &RelaxationStep,
        reach: &Reach,
        bench: &Bench,
    ) -> Result<Fit, Misfit> {
        let served = bench.serves(&reach.queue).ok_or(Misfit::Queue)?;
        if served.rank > step.rank_max {
            return Err(Misfit::Rank);
        }
        if !self.lets_in(step, line, &bench.region) {
            return Err(Misfit::Region);
        }
        let language = self
            .language_rank(step, &line.languages, &bench.languages)
            .ok_or(Misfit::Language)?;
        let level = |skill: &SkillId| {
            let has = bench.skills.iter().find(|(has, _)| has == skill);
            has.map_or(0, |(_, level)| *level)
        };
        let skilled = line.skills.iter().all(|(skill, wanted)| {
            let wanted = wanted.saturating_sub(step.skill_levels_off);
            step.skills_off.contains(skill) || level(skill) >= wanted
        });
        if !skilled {
            return Err(Misfit::Skill);
        }
        if line.weight > bench.room(line.interrupting) {
            return Err(Misfit::Capacity);
        }
        let preferred = step.prefer_regions.iter();
        let region = preferred
            .clone()
            .position(|r| *r == bench.region)
            .unwrap_or(preferred.len());
        let lacking = step.prefer_skills.iter();
        let lacking = lacking.filter(|s| level(&s.skill) < s.level).count();
        let most = self.queues.get(&line.queue);
        let unskilled = if most.is_some_and(|q| q.strategy == Strategy::MostSkilled) {
            let short = line.skills.iter().map(|(s, _)| SKILL_LEVEL_MAX - level(s));
            short.sum::<u32>() as u16
        } else {
            0
        };
        Ok(Fit {
            way: 0,
            person: u8::from(!bench.bot),
            hop: reach.hops,
            rank: served.rank as u8,
            language,
            region: region as u8,
            lacking: lacking as u8,
            unskilled,
        })
    }

    /// Whether a step lets a region in.
    fn lets_in(&self, step: &RelaxationStep, line: &Line, region: &RegionId) -> bool {
        let Some(near) = step.near else {
            return step.regions.is_empty() || step.regions.contains(region);
        };
        let Some(own) = &line.region else {
            return true;
        };
        let neighbours = self.regions.get(own).map(|r| &r.neighbours);
        own == region
            || neighbours.is_some_and(|n| n.iter().take(near as usize).any(|r| r == region))
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
            language_weight_min: 500,
            fallback_languages,
            ..RelaxationStep::default()
        }
    }
    /// The rank of a visitor's languages, of weight 1000 but for the last.
    fn rank(fallback: bool, wanted: &[&str], spoken: &[(&str, Level)]) -> Option<u32> {
        let state = State {
            workspace: Workspace {
                name: "w".into(),
                fallbacks: vec![("ca".into(), vec!["es".into(), "fr".into()])],
                ..Workspace::default()
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
