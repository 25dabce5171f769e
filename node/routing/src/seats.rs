//! Benches: where agents who are alike sit, and what a change of configuration moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fit::{Bench, Fit};
use crate::ids::*;
use crate::index::{AgentRow, BenchId, BenchRows, Deadline, LineId};
use crate::state::State;

impl State {
    /// Gives an agent a place on its bench, or takes it away where the agent is removed; only after a change
    /// of configuration.
    pub(crate) fn seat(&mut self, id: &AgentId) {
        let old = self.index.agents.remove(id);
        if let Some(row) = &old {
            let bench = &mut self.index.benches[row.bench];
            bench.members.remove(id);
            if let Some(ready) = &row.ready {
                bench.ready.remove(ready);
            }
            if let Some(count) = bench.schedules.get_mut(&row.schedule) {
                *count -= 1;
                if *count == 0 {
                    bench.schedules.remove(&row.schedule);
                }
            }
            if let Some(schedule) = &row.schedule
                && let Some(agents) = self.index.by_schedule.get_mut(schedule)
            {
                agents.remove(id);
                if agents.is_empty() {
                    self.index.by_schedule.remove(schedule);
                }
            }
        }
        let Some(agent) = self.agents.get(id) else {
            // Gone for good: nothing of the session is left either.
            if let Some(row) = old {
                if let Some(at) = row.grace {
                    self.index
                        .deadlines
                        .remove(&(at, Deadline::Grace(id.clone())));
                }
                self.index.leave_node(row.node, id);
            }
            return;
        };
        let schedule = agent.config.schedule.clone();
        let bench = self.bench(Bench::of(&agent.config));
        let rows = &mut self.index.benches[bench];
        rows.members.insert(id.clone());
        *rows.schedules.entry(schedule.clone()).or_default() += 1;
        if let Some(schedule) = &schedule {
            self.index
                .by_schedule
                .entry(schedule.clone())
                .or_default()
                .insert(id.clone());
        }
        self.index.agents.insert(
            id.clone(),
            AgentRow {
                bench,
                schedule,
                ready: None,
                grace: old.as_ref().and_then(|row| row.grace),
                node: old.map_or(0, |row| row.node),
            },
        );
        self.refresh_agent(id);
    }

    /// The bench of a kind of agent. A new one is told to every line whose chats it may take.
    fn bench(&mut self, key: Bench) -> BenchId {
        if let Some(bench) = self.index.bench_ids.get(&key) {
            return *bench;
        }
        let (key, bench) = (Arc::new(key), self.index.benches.len());
        for queue in &key.queues {
            let benches = self.index.queue_benches.entry(queue.clone()).or_default();
            benches.insert((key.clone(), bench));
        }
        let mut lines = BTreeSet::new();
        let line_ids: Vec<LineId> = self.index.line_ids.values().copied().collect();
        for id in line_ids {
            let rows = &self.index.lines[id];
            let fit = |stage| self.fit(&rows.key, stage, &key).ok();
            let fits: Vec<Option<Fit>> = rows.stages.iter().map(fit).collect();
            let rows = &mut self.index.lines[id];
            for (stage, fit) in fits.into_iter().enumerate() {
                let Some(fit) = fit else { continue };
                let benches = &self.index.benches;
                let before = |(f, b): &(Fit, BenchId)| (f, &benches[*b].key) < (&fit, &key);
                let at = rows.fits[stage].partition_point(before);
                rows.fits[stage].insert(at, (fit, bench));
                if !rows.waiting[stage].is_empty() {
                    lines.insert((id, stage));
                }
            }
        }
        self.index.bench_ids.insert(key.clone(), bench);
        self.index.benches.push(BenchRows {
            key,
            members: BTreeSet::new(),
            schedules: BTreeMap::new(),
            ready: BTreeSet::new(),
            lines,
        });
        bench
    }

    /// Whether most benches have nobody left on them, so that deriving everything anew pays.
    pub(crate) fn mostly_empty_benches(&self) -> bool {
        let empty = self.index.benches.iter().filter(|b| b.members.is_empty());
        let empty = empty.count();
        empty > 64 && empty * 2 > self.index.benches.len()
    }

    /// A schedule was put, removed, or came to its edge: its next edge and its agents follow. `before` is the
    /// edge that was known.
    pub(crate) fn reschedule(&mut self, id: &ScheduleId, before: Option<Millis>) {
        let now = self.meta.now;
        let deadline = |at| (at, Deadline::Shift(id.clone()));
        if let Some(edge) = before {
            self.index.deadlines.remove(&deadline(edge));
        }
        if let Some(edge) = self.schedules.get(id).and_then(|s| s.next_edge(now)) {
            self.index.deadlines.insert(deadline(edge));
        }
        for agent in self.index.by_schedule.get(id).cloned().unwrap_or_default() {
            self.refresh_agent(&agent);
            self.work.touched.insert(agent);
        }
    }
}
