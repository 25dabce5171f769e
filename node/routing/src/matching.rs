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
use crate::mutants::{self, Mutant};
use crate::ready::Best;
use crate::reason::Reason;
use crate::stage::Gates;
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

/// A chat that looks for an agent, whether it waits or might.
pub(crate) struct Seeker<'a> {
    pub chat: &'a Chat,
    pub rows: &'a LineRows,
    pub stage: usize,
    /// What of the stage is open just now.
    pub gates: Gates,
    pub strategy: Strategy,
}

impl Seeker<'_> {
    /// Who may take it by their kind, best fit first.
    pub fn fits(&self) -> &[Row] {
        &self.rows.fits[self.stage]
    }

    /// The ways of one bench.
    pub fn of_bench(&self, bench: BenchId) -> impl Iterator<Item = &Row> {
        self.fits().iter().filter(move |row| row.bench == bench)
    }

    /// The queue by which a row leads.
    fn via(&self, row: &Row) -> &QueueId {
        &self.rows.stages[self.stage].reach[usize::from(row.entry.reach)].queue
    }
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
                if !mutants::is(Mutant::FreeUnseen) {
                    lines.extend(&self.index.benches[bench].lines);
                }
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
                let Some(seeker) = self.seeker_at(&chat, line, stage) else {
                    continue;
                };
                match self.best_for(&seeker, &sun, &[]) {
                    Found::Best(chosen) => {
                        let told = self.offer_detail(&seeker, &chosen);
                        let candidates = self.weighed(&seeker, Some(&chosen), &sun);
                        let to = self.offer_to(&seeker, chosen, &sun);
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
    fn offer_to(&self, seeker: &Seeker, chosen: Preference, sun: &SunOrder) -> Vec<Preference> {
        let queue = self.queues.get(&seeker.chat.queue);
        let many = queue.map_or(1, |q| q.offer_to as usize);
        let mut to = vec![chosen];
        while to.len() < many {
            match self.best_for(seeker, sun, &to) {
                Found::Best(next) if next.via == to[0].via => to.push(next),
                _ => break,
            }
        }
        to
    }

    /// A waiting chat as it looks for an agent.
    pub(crate) fn seeker(&self, id: &ChatId) -> Option<Seeker<'_>> {
        let (line, stage) = self.index.line_of(id)?;
        self.seeker_at(id, line, stage)
    }

    fn seeker_at(&self, id: &ChatId, line: LineId, stage: usize) -> Option<Seeker<'_>> {
        Some(self.seeker_of(self.chats.get(id)?, &self.index.lines[line], stage))
    }

    /// A chat of a kind at a stage.
    pub(crate) fn seeker_of<'a>(
        &self,
        chat: &'a Chat,
        rows: &'a LineRows,
        stage: usize,
    ) -> Seeker<'a> {
        let queue = self.queues.get(&chat.queue);
        Seeker {
            chat,
            rows,
            stage,
            gates: self.gates(rows, stage),
            strategy: queue.map_or(Strategy::default(), |q| q.strategy),
        }
    }

    /// Whether the chat is kept from the agent for now.
    pub(crate) fn refused(&self, chat: &Chat, agent: &AgentId) -> bool {
        chat.refusals
            .iter()
            .any(|(who, until)| who == agent && *until > self.meta.now)
    }

    /// The best agent for a chat, besides those `taken` already.
    pub(crate) fn best_for(&self, seeker: &Seeker, sun: &SunOrder, taken: &[Preference]) -> Found {
        let gates = &seeker.gates;
        if taken.is_empty()
            && let Some(agent) = seeker.chat.belongs_to()
            && let Some(bench) = self.index.bench_of(agent)
        {
            for row in seeker.of_bench(bench) {
                if gates.open(&row.entry)
                    && let Ok(best) = self.alone(seeker, row, agent, sun)
                {
                    return Found::Best(Preference { sticky: 0, ..best });
                }
            }
        }
        let mut best: Option<Preference> = None;
        let mut refused = false;
        for row in seeker.fits() {
            if best.as_ref().is_some_and(|b| b.fit < row.entry.fit) {
                break;
            }
            if !gates.open(&row.entry) {
                continue;
            }
            match self.best_of(seeker, row, sun, taken) {
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
    fn best_of(&self, seeker: &Seeker, row: &Row, sun: &SunOrder, taken: &[Preference]) -> Found {
        let (chat, strategy) = (seeker.chat, seeker.strategy);
        let is_taken = |agent: &AgentId| taken.iter().any(|t| t.agent == *agent);
        if let Some(agent) = seeker.rows.held_for(seeker.stage, row) {
            let best = Some(agent).filter(|a| !is_taken(a));
            let best = best.and_then(|a| self.alone(seeker, row, a, sun).ok());
            return best.map_or(Found::Nobody, Found::Best);
        }
        let bench = &self.index.benches[row.bench];
        let via = seeker.via(row);
        let Some(load_max) = bench.key.room(chat.interrupting).checked_sub(chat.weight) else {
            return Found::Nobody;
        };
        let may = |agent: &AgentId| {
            !self.refused(chat, agent)
                && !is_taken(agent)
                && !self.kept_for_heavier(chat, row.bench, agent)
        };
        match bench.ready.best(strategy, load_max, via, may) {
            Best::Agent(load, (first, idle_since, agent)) => {
                let first = self.first(strategy, row.bench, load, first);
                Found::Best(self.preference(row, sun, first, idle_since, &agent, via))
            }
            Best::Unwilling => Found::Refused,
            Best::Nobody => Found::Nobody,
        }
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
        seeker: &Seeker,
        row: &Row,
        agent: &AgentId,
        sun: &SunOrder,
    ) -> Result<Preference, Reason> {
        let chat = seeker.chat;
        let bench = &self.index.benches[row.bench];
        let via = seeker.via(row);
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
        let key = match seeker.strategy {
            Strategy::RoundRobin => ready.turn,
            Strategy::Weighted => ready.pass,
            _ => 0,
        };
        let first = self.first(seeker.strategy, row.bench, ready.load, key);
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
    fn offer_detail(&self, seeker: &Seeker, chosen: &Preference) -> String {
        let (via, way) = (&chosen.via, usize::from(chosen.fit.way));
        let rows = seeker.rows;
        let at = &rows.stages[seeker.stage];
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
