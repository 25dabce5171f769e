//! The decision, both ways: the best agent for a chat, and the best chat for an agent who has room.
//!
//! Cost: a chat looks at the heads of the benches that fit its line, an agent at the heads of the lines
//! that fit its bench; each head is O(log n). Neither ever walks agents or chats, but for those that
//! refused one another, which are bounded by [`crate::limits::REFUSALS_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use crate::explain::{Candidate, Rule};
use crate::fit::Fit;
use crate::ids::*;
use crate::index::BenchId;
use crate::limits::CANDIDATES_MAX;
use crate::model::*;
use crate::state::{Chat, State};

/// How many who are not there are told with a decision.
const ABSENT_TOLD: usize = 3;

/// How an eligible agent ranks for a chat; smaller is better, field by field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Preference {
    /// 0 = the agent the visitor spoke with last.
    pub sticky: u8,
    pub fit: Fit,
    /// Place of the agent's region in sun order.
    pub sun: usize,
    /// Thousandths of capacity in use.
    pub occupancy: u32,
    pub idle_since: Millis,
    pub agent: AgentId,
}

impl State {
    /// Matches until nothing more can be: afterwards no chat waits with an eligible agent free.
    pub(crate) fn settle(&mut self) {
        // Agents first: each finds the chat that is served first of all it may take, and that chat then
        // chooses among everybody. So freed agents serve the line in order, and chats keep their preferences.
        let mut heads: BTreeMap<(i64, ChatId), BTreeSet<AgentId>> = BTreeMap::new();
        loop {
            for agent in std::mem::take(&mut self.work.agents) {
                if let Some(head) = self.best_chat(&agent) {
                    heads.entry(head).or_default().insert(agent);
                }
            }
            let Some((head, agents)) = heads.pop_first() else {
                break;
            };
            // Those who found this chat look again, whether or not they are the one it chooses.
            self.work.agents.extend(agents);
            if self.index.line_of(&head.1).is_some() {
                self.match_chat(&head.1);
            }
        }
        while let Some((_, chat)) = self.work.chats.pop_first() {
            if self.index.line_of(&chat).is_some() {
                self.match_chat(&chat);
            }
        }
    }

    /// The chat an agent would be offered, and its order.
    fn best_chat(&self, agent: &AgentId) -> Option<(i64, ChatId)> {
        if !self.index.is_ready(agent) {
            return None;
        }
        let state = self.agents.get(agent)?;
        let free = state.config.capacity.saturating_sub(self.load(agent));
        let bench = &self.index.benches[self.index.bench_of(agent)?];
        let head = |(line, stage): &(usize, usize)| {
            let mut waiting = self.index.lines[*line].waiting[*stage].iter();
            waiting
                .find(|(_, id)| self.may(&self.chats[id], agent, free))
                .cloned()
        };
        bench.lines.iter().filter_map(head).min()
    }

    /// Whether the agent has room for the chat and has not refused it just now.
    fn may(&self, chat: &Chat, agent: &AgentId, free: u32) -> bool {
        chat.weight <= free && !self.refused(chat, agent)
    }

    /// Whether the chat is kept from the agent for now.
    pub(crate) fn refused(&self, chat: &Chat, agent: &AgentId) -> bool {
        chat.refusals
            .iter()
            .any(|(who, until)| who == agent && *until > self.meta.now)
    }

    /// Offers a waiting chat to the best agent, if any is free.
    fn match_chat(&mut self, id: &ChatId) {
        let Some(chosen) = self.best_agent(id) else {
            return;
        };
        let candidates = self.candidates(id, &chosen);
        self.offer(id, &chosen.agent, candidates);
    }

    /// The best agent for a waiting chat.
    pub(crate) fn best_agent(&self, id: &ChatId) -> Option<Preference> {
        let chat = self.chats.get(id)?;
        let (line, stage) = self.index.line_of(id)?;
        let sun = self.sun_order();
        let fits = &self.index.lines[line].fits[stage];
        if let Some(last) = self.sticky(chat) {
            let bench = self.index.bench_of(last);
            let fit = fits.iter().find(|(_, b)| Some(*b) == bench);
            if let Some((fit, bench)) = fit.filter(|_| self.index.is_ready(last)) {
                let state = &self.agents[last];
                let free = state.config.capacity.saturating_sub(self.load(last));
                if self.may(chat, last, free) {
                    let key = (
                        self.load(last) * 1000 / state.config.capacity,
                        state.idle_since,
                        last.clone(),
                    );
                    return Some(self.preference(0, *fit, *bench, &sun, &key));
                }
            }
        }
        let mut best: Option<Preference> = None;
        for (fit, bench) in fits {
            if best.as_ref().is_some_and(|b| b.fit < *fit) {
                break;
            }
            let head = self
                .head(chat, *bench)
                .map(|key| self.preference(1, *fit, *bench, &sun, key));
            best = match (best, head) {
                (Some(b), Some(h)) => Some(b.min(h)),
                (b, h) => b.or(h),
            };
        }
        best
    }

    /// The first ready agent of a bench that has room for the chat and did not refuse it.
    fn head(&self, chat: &Chat, bench: BenchId) -> Option<&crate::index::ReadyKey> {
        let rows = &self.index.benches[bench];
        // Everyone on a bench has the same capacity, so past the first without room nobody has any.
        let capacity = rows.key.capacity;
        let room = |key: &&crate::index::ReadyKey| chat.weight <= capacity - self.load(&key.2);
        rows.ready
            .iter()
            .take_while(room)
            .find(|key| !self.refused(chat, &key.2))
    }

    fn preference(
        &self,
        sticky: u8,
        fit: Fit,
        bench: BenchId,
        sun: &BTreeMap<RegionId, usize>,
        key: &crate::index::ReadyKey,
    ) -> Preference {
        let region = &self.index.benches[bench].key.region;
        let (occupancy, idle_since, agent) = key.clone();
        Preference {
            sticky,
            fit,
            sun: sun.get(region).copied().unwrap_or(usize::MAX),
            occupancy,
            idle_since,
            agent,
        }
    }

    /// The agent a returning visitor spoke with last, while that still counts.
    fn sticky(&self, chat: &Chat) -> Option<&AgentId> {
        if chat.visitor.is_empty() {
            return None;
        }
        let last = self.visitors.get(&chat.visitor)?;
        (last.until > self.meta.now).then_some(&last.agent)
    }

    /// Who was weighed when `chosen` was: runners-up, best first, then some who could not take it and why.
    /// A bounded sample, so that recording costs no more than deciding.
    fn candidates(&self, id: &ChatId, chosen: &Preference) -> Vec<Candidate> {
        let chat = &self.chats[id];
        let Some((line, stage)) = self.index.line_of(id) else {
            return Vec::new();
        };
        let sun = self.sun_order();
        let mut eligible = vec![chosen.clone()];
        let mut refused = Vec::new();
        for (fit, bench) in self.index.lines[line].fits[stage]
            .iter()
            .take(CANDIDATES_MAX)
        {
            let rows = &self.index.benches[*bench];
            for key in rows.ready.iter().take(2) {
                if key.2 != chosen.agent && self.refusal_of(chat, line, stage, &key.2).is_none() {
                    eligible.push(self.preference(1, *fit, *bench, &sun, key));
                }
            }
            for agent in rows.members.iter().take(4) {
                if let Some(candidate) = self.refusal_of(chat, line, stage, agent) {
                    refused.push(candidate);
                }
            }
        }
        eligible.sort();
        eligible.truncate(CANDIDATES_MAX / 2);
        let mut told: Vec<Candidate> = vec![Candidate::chosen(&eligible)];
        told.extend(
            eligible
                .iter()
                .skip(1)
                .map(|p| Candidate::runner_up(&eligible[0], p)),
        );
        // Benches of the queue that do not fit at all: one member each.
        let fitting: BTreeSet<_> = self.index.lines[line].fits[stage]
            .iter()
            .map(|(_, b)| *b)
            .collect();
        let others = self
            .index
            .queue_benches
            .get(&chat.queue)
            .into_iter()
            .flatten();
        for bench in others
            .filter(|b| !fitting.contains(b))
            .take(CANDIDATES_MAX / 4)
        {
            let first = self.index.benches[*bench].members.first();
            refused.extend(first.and_then(|agent| self.refusal_of(chat, line, stage, agent)));
        }
        // The busy and the willing tell more than those who are not there.
        refused.sort_by_key(Candidate::weight);
        let absent = refused.partition_point(|c| c.rule != Rule::Presence);
        refused.truncate((absent + ABSENT_TOLD).min(CANDIDATES_MAX - told.len()));
        told.extend(refused);
        told
    }

    /// Why an agent may not take a waiting chat now, or `None` when they may.
    pub(crate) fn refusal_of(
        &self,
        chat: &Chat,
        line: usize,
        stage: usize,
        id: &AgentId,
    ) -> Option<Candidate> {
        let agent = self.agents.get(id)?;
        let rows = &self.index.lines[line];
        let bench = &self.index.benches[self.index.bench_of(id)?].key;
        let key = crate::fit::Line::of(chat);
        if let Err(misfit) = self.fit(&key, &rows.stages[stage], bench) {
            return Some(Candidate::misfit(id, misfit));
        }
        let no = |rule, reason: String| {
            Some(Candidate {
                agent: id.clone(),
                eligible: false,
                rule,
                reason,
            })
        };
        if agent.presence != Presence::Available {
            return no(
                Rule::Presence,
                format!("is {}", crate::explain::presence_word(agent.presence)),
            );
        }
        if !self.on_shift(agent) {
            return no(Rule::Shift, "is off shift".into());
        }
        let load = self.load(id);
        if load + chat.weight > agent.config.capacity {
            return no(
                Rule::Capacity,
                format!(
                    "{load} of {} units in use, the chat takes {}",
                    agent.config.capacity, chat.weight
                ),
            );
        }
        if self.refused(chat, id) {
            return no(
                Rule::Declined,
                "declined or ignored it within the last minute".into(),
            );
        }
        None
    }
}
