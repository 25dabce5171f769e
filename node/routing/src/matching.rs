//! The decision, both ways: the best agent for a chat, and the best chat for an agent who has room.
//!
//! Cost: an agent who has room looks at the heads of the lines that fit their bench, a chat at the heads of
//! the benches that fit its line; each head is O(log n). Neither ever walks agents or chats, but for those
//! that refused one another: a chat forgets all but [`crate::limits::REFUSALS_MAX`] refusals, and an agent
//! declines only what was offered.

use std::collections::BTreeSet;

use crate::explain::{Candidate, Rule};
use crate::fit::Fit;
use crate::ids::*;
use crate::index::{BenchId, LineId, ReadyKey};
use crate::limits::{CANDIDATES_MAX, HEAVY_WAITS_MS};
use crate::model::*;
use crate::state::{Chat, State};
use crate::sun::SunOrder;

/// How many who are not there are told with a decision.
const ABSENT_TOLD: usize = 3;
/// How many ready agents of one bench are looked at to tell of a decision.
const SEEN_MAX: usize = 8;

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

/// What came of looking for an agent.
enum Found {
    /// The best one.
    Best(Preference),
    /// Somebody has room, but whoever has refused this very chat.
    Refused,
    /// Nobody has room for chats of this kind.
    Nobody,
}

impl State {
    /// Matches until nothing more can be: afterwards no chat waits with an eligible agent free. Of all lines
    /// in which something may have changed the chat that is served first chooses first, among everybody; then
    /// the next.
    pub(crate) fn settle(&mut self) {
        if self.work.benches.is_empty() && self.work.lines.is_empty() {
            return;
        }
        let sun = self.sun_order();
        loop {
            let mut lines = std::mem::take(&mut self.work.lines);
            for bench in std::mem::take(&mut self.work.benches) {
                lines.extend(&self.index.benches[bench].lines);
            }
            let head = |(line, stage)| {
                let (order, chat) = self.index.head(line, stage, None)?.clone();
                Some((order, chat, line, stage))
            };
            let mut heads: BTreeSet<_> = lines.into_iter().filter_map(head).collect();
            if heads.is_empty() {
                return;
            }
            while let Some((order, chat, line, stage)) = heads.pop_first() {
                match self.best_agent(&chat, &sun) {
                    Found::Best(chosen) => {
                        let told = self.offer_detail(line, stage);
                        let candidates = self.weighed(&chat, Some(&chosen), &sun);
                        self.offer(&chat, &chosen.agent, &told, candidates);
                    }
                    Found::Refused => {}
                    // Nor is there for those behind it, who are of the same kind.
                    Found::Nobody => continue,
                }
                // Those before it found nobody, and offers only take room away.
                if let Some((order, chat)) = self.index.head(line, stage, Some(&(order, chat))) {
                    heads.insert((*order, chat.clone(), line, stage));
                }
            }
        }
    }

    /// Whether the chat is kept from the agent for now.
    pub(crate) fn refused(&self, chat: &Chat, agent: &AgentId) -> bool {
        chat.refusals
            .iter()
            .any(|(who, until)| who == agent && *until > self.meta.now)
    }

    /// The best agent for a waiting chat.
    fn best_agent(&self, id: &ChatId, sun: &SunOrder) -> Found {
        let Some((chat, (line, stage))) = self.chats.get(id).zip(self.index.line_of(id)) else {
            return Found::Nobody;
        };
        let fits = &self.index.lines[line].fits[stage];
        if let Some(last) = self.sticky(chat) {
            let bench = self.index.bench_of(last);
            let fit = fits.iter().find(|(_, b)| Some(*b) == bench);
            if let Some((fit, bench)) = fit
                && let Some(key) = self.index.ready_key(last)
                && self.has_room(chat, *bench, last)
                && !self.refused(chat, last)
            {
                return Found::Best(self.preference(0, *fit, *bench, sun, key));
            }
        }
        let mut best: Option<Preference> = None;
        let mut refused = false;
        for (fit, bench) in fits {
            if best.as_ref().is_some_and(|b| b.fit < *fit) {
                break;
            }
            let mut free = self.with_room(chat, *bench).peekable();
            refused |= free.peek().is_some();
            if let Some(key) = free.find(|key| !self.refused(chat, &key.2)) {
                let head = self.preference(1, *fit, *bench, sun, key);
                best = Some(best.map_or(head.clone(), |b| b.min(head)));
            }
        }
        match best {
            Some(best) => Found::Best(best),
            None if refused => Found::Refused,
            None => Found::Nobody,
        }
    }

    /// The ready agents of a bench who have room for the chat, least occupied first.
    fn with_room<'a>(
        &'a self,
        chat: &'a Chat,
        bench: BenchId,
    ) -> impl Iterator<Item = &'a ReadyKey> {
        let rows = &self.index.benches[bench];
        // Everyone on a bench has the same capacity, so past the first without room nobody has any.
        let capacity = rows.key.capacity;
        rows.ready
            .iter()
            .take_while(move |key| chat.weight <= capacity.saturating_sub(self.load(&key.2)))
            .filter(move |key| !self.kept_for_heavier(chat, bench, &key.2))
    }

    fn has_room(&self, chat: &Chat, bench: BenchId, agent: &AgentId) -> bool {
        let capacity = self.index.benches[bench].key.capacity;
        chat.weight <= capacity.saturating_sub(self.load(agent))
            && !self.kept_for_heavier(chat, bench, agent)
    }

    /// Whether the agent keeps their room for a chat that is served before this one, takes more units, and
    /// has waited [`HEAVY_WAITS_MS`]: otherwise light chats would take every unit that comes free, and the
    /// heavy one would wait for ever.
    fn kept_for_heavier(&self, chat: &Chat, bench: BenchId, agent: &AgentId) -> bool {
        if self.index.heavy.is_empty() {
            return false;
        }
        let place = (self.order_of(chat), chat.id.clone());
        let lines = self.index.benches[bench].lines.iter();
        lines
            .filter(|at| self.index.heavy.contains(at))
            .filter(|(line, _)| self.index.lines[*line].key.weight > chat.weight)
            .filter_map(|(line, stage)| self.index.head(*line, *stage, None))
            .filter(|head| **head < place)
            .map(|(_, id)| &self.chats[id])
            .any(|heavy| {
                self.meta.now - heavy.since >= HEAVY_WAITS_MS && !self.refused(heavy, agent)
            })
    }

    fn preference(
        &self,
        sticky: u8,
        fit: Fit,
        bench: BenchId,
        sun: &SunOrder,
        key: &ReadyKey,
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

    /// The agent a returning visitor spoke with last, while that still counts in the chat's queue.
    fn sticky(&self, chat: &Chat) -> Option<&AgentId> {
        let queue = self.queues.get(&chat.queue)?;
        if chat.visitor.is_empty() || queue.sticky_ms == 0 {
            return None;
        }
        let last = self.visitors.get(&chat.visitor)?;
        (last.until > self.meta.now).then_some(&last.agent)
    }

    /// What the queue demanded when the chat was offered; empty for one that demands the same all along.
    fn offer_detail(&self, line: LineId, stage: usize) -> String {
        let Some(rows) = self.index.lines.get(line).filter(|l| l.stages.len() > 1) else {
            return String::new();
        };
        let at = &rows.stages[stage];
        let steps = self
            .queues
            .get(&rows.key.queue)
            .map_or(1, |q| q.steps.len());
        let reach: Vec<_> = at.reach.iter().map(|q| q.0.as_str()).collect();
        format!(
            "step {} of {steps}, in reach of {}",
            at.step + 1,
            reach.join(", ")
        )
    }

    /// Who was weighed when `chosen` was, or when nobody was: the chosen, runners-up, best first, then some
    /// who could not take it and why. A bounded sample, so that recording costs no more than deciding.
    pub(crate) fn weighed(
        &self,
        id: &ChatId,
        chosen: Option<&Preference>,
        sun: &SunOrder,
    ) -> Vec<Candidate> {
        let chat = &self.chats[id];
        let Some((line, stage)) = self.index.line_of(id) else {
            return Vec::new();
        };
        let rows = &self.index.lines[line];
        let chosen_bench = chosen.and_then(|c| self.index.bench_of(&c.agent));
        let mut eligible: Vec<Preference> = chosen.cloned().into_iter().collect();
        let mut refused = Vec::new();
        // Told only when it is certain: everybody who fits was looked at.
        // Benches without anybody are left out, since not every replica has them.
        let taken = |b: BenchId| !self.index.benches[b].members.is_empty();
        let fits: Vec<_> = rows.fits[stage].iter().filter(|(_, b)| taken(*b)).collect();
        let mut all_seen = fits.len() <= CANDIDATES_MAX;
        let (near, far) = fits.split_at(fits.len().min(CANDIDATES_MAX));
        let own = far.iter().filter(|(_, b)| Some(*b) == chosen_bench);
        for (fit, bench) in near.iter().chain(own) {
            let members = &self.index.benches[*bench];
            let others = members
                .ready
                .iter()
                .filter(|key| chosen.is_none_or(|c| c.agent != key.2));
            let mut found = 0;
            for (seen, key) in others.enumerate() {
                if found == 2 || seen == SEEN_MAX {
                    all_seen = false;
                    break;
                }
                match self.refusal_of(chat, line, stage, &key.2) {
                    None => {
                        eligible.push(self.preference(1, *fit, *bench, sun, key));
                        found += 1;
                    }
                    Some(refusal) => refused.push(refusal),
                }
            }
            let absent = members.members.iter().take(4);
            let absent = absent.filter(|a| self.index.ready_key(a).is_none());
            refused.extend(absent.filter_map(|a| self.refusal_of(chat, line, stage, a)));
        }
        eligible.sort();
        eligible.truncate(CANDIDATES_MAX / 2);
        let mut told: Vec<Candidate> = Vec::new();
        if let Some((best, others)) = eligible.split_first() {
            told.push(Candidate::chosen(best, others.first(), all_seen));
            told.extend(others.iter().map(|p| Candidate::runner_up(best, p)));
        }
        // Benches in reach that do not fit at all: one member each.
        let reach = rows.stages[stage].reach.iter();
        let benches = reach
            .filter_map(|q| self.index.queue_benches.get(q))
            .flatten();
        let misfits = benches
            .filter_map(|(key, b)| Some((key, self.index.benches[*b].members.first()?)))
            .take(CANDIDATES_MAX)
            .filter(|(key, _)| self.fit(&rows.key, &rows.stages[stage], key).is_err())
            .take(CANDIDATES_MAX / 4);
        refused.extend(misfits.filter_map(|(_, a)| self.refusal_of(chat, line, stage, a)));
        // The busy and the willing tell more than those who are not there.
        refused.sort_by_key(Candidate::weight);
        refused.dedup_by(|a, b| a.agent == b.agent);
        let absent = refused.partition_point(|c| c.rule != Rule::Presence);
        let last = self
            .sticky(chat)
            .filter(|last| chosen.is_none_or(|c| c.agent != **last));
        let last = last.and_then(|last| self.refusal_of(chat, line, stage, last));
        refused.truncate((absent + ABSENT_TOLD).min(CANDIDATES_MAX - 1 - told.len()));
        if let Some(last) = last {
            refused.retain(|c| c.agent != last.agent);
            told.push(last.of_sticky());
        }
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
        if !self.works(agent) {
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
        let bench = self.index.bench_of(id)?;
        if self.kept_for_heavier(chat, bench, id) {
            return no(
                Rule::Capacity,
                "keeps room for a chat that came before and takes more".into(),
            );
        }
        if self.refused(chat, id) {
            return no(
                Rule::Declined,
                "declined, ignored or handed it on within the last minute".into(),
            );
        }
        None
    }
}
