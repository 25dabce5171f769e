//! Benches: where agents who are alike sit, and what a change of configuration moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fit::{Bench, Entry, Only};
use crate::ids::*;
use crate::index::{AgentRow, BenchId, BenchRows, Deadline, LineId, Row, move_deadline};
use crate::ready::Ready;
use crate::state::State;

impl State {
    /// Gives an agent a place on its bench, or takes it away where the agent is removed; only after a change
    /// of configuration.
    pub(crate) fn seat(&mut self, id: &AgentId) {
        self.go_to_work(id, false);
        let old = self.index.agents.remove(id);
        if let Some(row) = &old {
            let due = &mut self.index.deadlines;
            move_deadline(due, row.rest, None, || Deadline::Break(id.clone()));
            move_deadline(due, row.ramp, None, || Deadline::Ramp(id.clone()));
            let bench = &mut self.index.benches[row.bench];
            bench.members.remove(id);
            if let Some(ready) = &row.ready {
                bench.ready.remove(id, ready);
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
                let due = &mut self.index.deadlines;
                move_deadline(due, row.grace, None, || Deadline::Grace(id.clone()));
                self.index.leave_node(row.node, id);
            }
            return;
        };
        let schedule = agent.config.schedule.clone();
        let ramp = agent.config.ramp_end(self.meta.now);
        let bench = self.bench(Bench::of(&agent.config, self.meta.now));
        let due = &mut self.index.deadlines;
        move_deadline(due, None, ramp, || Deadline::Ramp(id.clone()));
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
                at_work: false,
                ramp,
                rest: None,
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
        for served in &key.queues {
            let benches = &mut self.index.queue_benches;
            let benches = benches.entry(served.queue.clone()).or_default();
            benches.insert((key.clone(), bench));
        }
        self.index.bench_ids.insert(key.clone(), bench);
        self.index.benches.push(BenchRows {
            key: key.clone(),
            members: BTreeSet::new(),
            schedules: BTreeMap::new(),
            ready: Ready::default(),
            at_work: 0,
            lines: BTreeSet::new(),
        });
        let mut lines = BTreeSet::new();
        let line_ids: Vec<LineId> = self.index.line_ids.values().copied().collect();
        for id in line_ids {
            let rows = &self.index.lines[id];
            let entries = |stage| self.entries(&rows.key, stage, &key).unwrap_or_default();
            let fits: Vec<_> = rows.stages.iter().map(entries).collect();
            let rows = &mut self.index.lines[id];
            for (stage, entries) in fits.into_iter().enumerate() {
                for entry in entries {
                    let benches = &self.index.benches;
                    let of = |e: Entry, key| (e.fit, key, e.reach);
                    let new = of(entry, &*key);
                    let before = |r: &Row| of(r.entry, &*benches[r.bench].key) < new;
                    let at = rows.fits[stage].partition_point(before);
                    rows.fits[stage].insert(at, Row { entry, bench });
                    let held = &rows.stages[stage].ways[usize::from(entry.fit.way)].only;
                    if !rows.waiting[stage].is_empty() && !matches!(held, Only::Agent(_)) {
                        lines.insert((id, stage));
                    }
                }
            }
        }
        self.index.benches[bench].lines = lines;
        bench
    }

    /// Whether most benches have nobody left on them, so that deriving everything anew pays.
    pub(crate) fn mostly_empty_benches(&self) -> bool {
        let empty = self.index.benches.iter().filter(|b| b.members.is_empty());
        let empty = empty.count();
        empty > 64 && empty * 2 > self.index.benches.len()
    }

    /// A newcomer's capacity grows: another bench is theirs.
    pub(crate) fn ramp_up(&mut self, id: &AgentId) {
        self.seat(id);
        self.work.touched.push(id.clone());
        if self.index.held_lines.contains_key(id) {
            self.reline();
        }
    }

    /// A schedule was put, removed, or came to its edge: its next edge and its agents follow. `before` is the
    /// edge that was known.
    pub(crate) fn reschedule(&mut self, id: &ScheduleId, before: Option<Millis>) {
        let now = self.meta.now;
        let after = self.schedules.get(id).and_then(|s| s.next_change(now));
        let due = &mut self.index.deadlines;
        move_deadline(due, before, after, || Deadline::Shift(id.clone()));
        for agent in self.index.by_schedule.get(id).cloned().unwrap_or_default() {
            self.refresh_agent(&agent);
            self.work.touched.push(agent);
        }
    }
}
