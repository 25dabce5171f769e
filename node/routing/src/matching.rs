//! The decision, both ways: the best agent for a chat, and the best chat for an agent who has room.
//!
//! Cost: an agent who has room looks at the heads of the lines that fit their bench, a chat at the heads of
//! the benches that fit its line; each head is O(log n). Neither ever walks agents or chats, but for those
//! that refused one another: a chat forgets all but [`crate::limits::REFUSALS_MAX`] refusals, and an agent
//! declines only what was offered.

use std::collections::BTreeSet;

use crate::fit::{Fit, Only};
use crate::ids::*;
use crate::index::{BenchId, LineId, LineRows, Row};
use crate::limits::HEAVY_WAITS_MS;
use crate::model::*;
use crate::ready::Best;
use crate::reason::Reason;
use crate::state::{Chat, State};
use crate::sun::SunOrder;

/// How an eligible agent ranks for a chat; smaller is better, field by field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Preference {
    /// 0 = the agent the chat belongs to.
    pub sticky: u8,
    pub fit: Fit,
    /// Place of the agent's region in sun order.
    pub sun: usize,
    /// What the queue's strategy compares: occupancy in thousandths, turn or pass.
    pub first: u64,
    pub idle_since: Millis,
    pub agent: AgentId,
    /// The queue in reach by which they are found.
    pub via: QueueId,
}

/// What came of looking for an agent.
pub(crate) enum Found {
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
                match self.best_agent(&chat, &sun, &[]) {
                    Found::Best(chosen) => {
                        let told = self.offer_detail(line, stage, &chosen);
                        let candidates = self.weighed(&chat, Some(&chosen), &sun);
                        let to = self.offer_to(&chat, chosen, &sun);
                        self.offer(&chat, &to, &told, candidates);
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

    /// The chosen agent and, where the queue offers a chat to several, the next best who serve the same queue.
    fn offer_to(&self, chat: &ChatId, chosen: Preference, sun: &SunOrder) -> Vec<Preference> {
        let queue = self.queues.get(&self.chats[chat].queue);
        let many = queue.map_or(1, |q| q.offer_to as usize);
        let mut to = vec![chosen];
        while to.len() < many {
            match self.best_agent(chat, sun, &to) {
                Found::Best(next) if next.via == to[0].via => to.push(next),
                _ => break,
            }
        }
        to
    }

    /// Whether the chat is kept from the agent for now.
    pub(crate) fn refused(&self, chat: &Chat, agent: &AgentId) -> bool {
        chat.refusals
            .iter()
            .any(|(who, until)| who == agent && *until > self.meta.now)
    }

    /// The best agent for a waiting chat, besides those `taken` already.
    fn best_agent(&self, id: &ChatId, sun: &SunOrder, taken: &[Preference]) -> Found {
        let Some((chat, (line, stage))) = self.chats.get(id).zip(self.index.line_of(id)) else {
            return Found::Nobody;
        };
        self.best_for(chat, &self.index.lines[line], stage, sun, taken)
    }

    /// The best agent for a chat of a kind, whether it waits or might.
    pub(crate) fn best_for(
        &self,
        chat: &Chat,
        rows: &LineRows,
        stage: usize,
        sun: &SunOrder,
        taken: &[Preference],
    ) -> Found {
        let gates = self.gates(rows, stage);
        if taken.is_empty()
            && let Some(agent) = chat.belongs_to()
            && let Some(bench) = self.index.bench_of(agent)
        {
            let of_bench = rows.fits[stage].iter().filter(|r| r.bench == bench);
            for row in of_bench {
                if gates.open(&row.entry)
                    && let Ok(best) = self.alone(chat, rows, stage, row, agent, sun)
                {
                    return Found::Best(Preference { sticky: 0, ..best });
                }
            }
        }
        let mut best: Option<Preference> = None;
        let mut refused = false;
        for row in &rows.fits[stage] {
            if best.as_ref().is_some_and(|b| b.fit < row.entry.fit) {
                break;
            }
            if !gates.open(&row.entry) {
                continue;
            }
            match self.best_of(chat, rows, stage, row, sun, taken) {
                Found::Best(head) => {
                    best = Some(match best {
                        Some(best) => best.min(head),
                        None => head,
                    })
                }
                Found::Refused => refused = true,
                Found::Nobody => {}
            }
        }
        match best {
            Some(best) => Found::Best(best),
            None if refused => Found::Refused,
            None => Found::Nobody,
        }
    }

    /// The best of one bench by one way.
    fn best_of(
        &self,
        chat: &Chat,
        rows: &LineRows,
        stage: usize,
        row: &Row,
        sun: &SunOrder,
        taken: &[Preference],
    ) -> Found {
        let is_taken = |agent: &AgentId| taken.iter().any(|t| t.agent == *agent);
        if let Some(agent) = rows.held_for(stage, row) {
            let best = Some(agent).filter(|a| !is_taken(a));
            let best = best.and_then(|a| self.alone(chat, rows, stage, row, a, sun).ok());
            return best.map_or(Found::Nobody, Found::Best);
        }
        let bench = &self.index.benches[row.bench];
        let via = &rows.stages[stage].reach[usize::from(row.entry.reach)].queue;
        let Some(load_max) = bench.key.room(chat.interrupting).checked_sub(chat.weight) else {
            return Found::Nobody;
        };
        let may = |agent: &AgentId| {
            !self.refused(chat, agent)
                && !is_taken(agent)
                && !self.kept_for_heavier(chat, row.bench, agent)
        };
        let strategy = self.strategy(chat);
        match bench.ready.best(strategy, load_max, via, may) {
            Best::Agent(load, (first, idle_since, agent)) => {
                let first = self.first(strategy, row.bench, load, first);
                Found::Best(self.preference(row, sun, first, idle_since, &agent, via))
            }
            Best::Unwilling => Found::Refused,
            Best::Nobody => Found::Nobody,
        }
    }

    pub(crate) fn strategy(&self, chat: &Chat) -> Strategy {
        let queue = self.queues.get(&chat.queue);
        queue.map_or(Strategy::default(), |q| q.strategy)
    }

    /// What a strategy compares between benches.
    fn first(&self, strategy: Strategy, bench: BenchId, load: u32, key: u64) -> u64 {
        match strategy {
            Strategy::LeastOccupied | Strategy::MostSkilled => {
                u64::from(load) * 1000 / u64::from(self.index.benches[bench].key.capacity)
            }
            Strategy::LongestIdle => 0,
            Strategy::RoundRobin | Strategy::Weighted => key,
        }
    }

    /// How one agent at work ranks for a chat, or why they may not take it.
    pub(crate) fn alone(
        &self,
        chat: &Chat,
        rows: &LineRows,
        stage: usize,
        row: &Row,
        agent: &AgentId,
        sun: &SunOrder,
    ) -> Result<Preference, Reason> {
        let bench = &self.index.benches[row.bench];
        let via = &rows.stages[stage].reach[usize::from(row.entry.reach)].queue;
        let (room, weight) = (bench.key.room(chat.interrupting), chat.weight);
        let full = |load| Reason::Full { load, room, weight };
        let Some(ready) = self.index.ready_row(agent) else {
            return Err(full(self.load(agent)));
        };
        if ready.load + weight > room {
            return Err(full(ready.load));
        }
        if ready.full.contains(via) {
            return Err(Reason::QueueCap(via.clone()));
        }
        if self.kept_for_heavier(chat, row.bench, agent) {
            return Err(Reason::KeepsRoom);
        }
        if self.refused(chat, agent) {
            return Err(Reason::Declined(self.kept_from(chat)));
        }
        let strategy = self.strategy(chat);
        let key = match strategy {
            Strategy::RoundRobin => ready.turn,
            Strategy::Weighted => ready.pass,
            _ => 0,
        };
        let first = self.first(strategy, row.bench, ready.load, key);
        Ok(self.preference(row, sun, first, ready.idle_since, agent, via))
    }

    fn preference(
        &self,
        row: &Row,
        sun: &SunOrder,
        first: u64,
        idle_since: Millis,
        agent: &AgentId,
        via: &QueueId,
    ) -> Preference {
        let region = &self.index.benches[row.bench].key.region;
        Preference {
            sticky: 1,
            fit: row.entry.fit,
            sun: sun.get(region).copied().unwrap_or(usize::MAX),
            first,
            idle_since,
            agent: agent.clone(),
            via: via.clone(),
        }
    }

    /// Whether the agent keeps their room for a chat that is served before this one, takes more units, and
    /// has waited [`HEAVY_WAITS_MS`]: otherwise light chats would take every unit that comes free, and the
    /// heavy one would wait for ever.
    pub(crate) fn kept_for_heavier(&self, chat: &Chat, bench: BenchId, agent: &AgentId) -> bool {
        if self.index.heavy.is_empty() {
            return false;
        }
        let place = (self.order_of(chat), chat.id.clone());
        let lines = self.index.benches[bench].lines.iter();
        let held = self.index.held.get(agent).into_iter().flatten();
        lines
            .chain(held)
            .filter(|at| self.index.heavy.contains(at))
            .filter(|(line, _)| self.index.lines[*line].key.weight > chat.weight)
            .filter_map(|(line, stage)| Some((line, stage, self.index.head(*line, *stage, None)?)))
            .filter(|(_, _, head)| **head < place)
            .map(|(line, stage, (_, id))| (line, stage, &self.chats[id]))
            .any(|(line, stage, heavy)| {
                self.meta.now - heavy.since >= HEAVY_WAITS_MS
                    && !self.refused(heavy, agent)
                    && self.let_in(*line, *stage, bench)
            })
    }

    /// Whether a line lets a bench in just now.
    fn let_in(&self, line: LineId, stage: usize, bench: BenchId) -> bool {
        let rows = &self.index.lines[line];
        if rows.stages[stage].is_plain() {
            return true;
        }
        let of_bench = rows.fits[stage].iter().filter(|r| r.bench == bench);
        let gates = self.gates(rows, stage);
        of_bench.into_iter().any(|row| gates.open(&row.entry))
    }

    /// What the queue demanded when the chat was offered, and by which queue the agent was found; empty for a queue
    /// that demands the same all along.
    fn offer_detail(&self, line: LineId, stage: usize, chosen: &Preference) -> String {
        let (via, way) = (&chosen.via, usize::from(chosen.fit.way));
        let rows = &self.index.lines[line];
        let at = &rows.stages[stage];
        let mut told = Vec::new();
        if rows.stages.len() > 1 || at.ways.len() > 1 || at.reach.len() > 1 {
            let steps = self
                .queues
                .get(&rows.key.queue)
                .map_or(1, |q| q.steps.len());
            let mut reach: Vec<_> = at.reach.iter().map(|r| r.queue.as_str()).collect();
            let mut seen = BTreeSet::new();
            reach.retain(|q| seen.insert(*q));
            let (step, reach) = (at.ways[way].step + 1, reach.join(", "));
            told.push(format!("step {step} of {steps}, in reach of {reach}"));
        }
        match &at.ways[way].only {
            Only::Anyone => {}
            only => told.push(format!("held for {only}")),
        }
        let hops = at
            .reach
            .iter()
            .find(|r| r.queue == *via)
            .map_or(0, |r| r.hops);
        match hops {
            0 => {}
            1 => told.push(format!("overflowed to '{via}'")),
            n => told.push(format!("overflowed to '{via}' by {n} hops")),
        }
        told.join(", ")
    }
}
