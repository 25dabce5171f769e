//! Lines: where chats that are alike wait, by stage, and which benches may take them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fit::{Bench, HeldFor, Line, Only, Stage};
use crate::ids::*;
use crate::index::{BenchId, Deadline, LineId, LineRows, Row};
use crate::limits::LINES_MAX;
use crate::state::{Chat, State};

impl State {
    /// Throws the lines away and derives them again with the places of all waiting chats; after a change of
    /// what queues demand.
    pub(crate) fn reline(&mut self) {
        let waiting: Vec<ChatId> = self
            .index
            .chats
            .iter()
            .filter(|(_, row)| row.line.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &waiting {
            self.unindex_chat(id);
        }
        let index = &mut self.index;
        index.line_ids.clear();
        index.lines.clear();
        index.lines_free.clear();
        index.heavy.clear();
        index.held.clear();
        index.held_lines.clear();
        index.watched.clear();
        index.watched_sizes.clear();
        for bench in &mut index.benches {
            bench.lines.clear();
        }
        self.work.lines.clear();
        for id in &waiting {
            self.index_chat(id);
        }
        for id in self.queues.keys().cloned().collect::<Vec<_>>() {
            self.refresh_slide(&id);
        }
    }

    /// How long a chat waits before it is put off, or an assist given up.
    pub(crate) fn wait_max(&self, chat: &Chat) -> Millis {
        let queue = self.queues.get(&chat.queue).map_or(0, |q| q.wait_ms_max);
        let patience = match chat.patience_ms {
            0 => queue,
            patience => patience,
        };
        Millis::from(patience)
    }

    /// Puts a waiting chat in its line at the stage its waiting time has come to, with the deadlines of one
    /// who waits.
    pub(crate) fn join_line(
        &mut self,
        id: &ChatId,
        deadlines: &mut Vec<(Millis, Deadline)>,
    ) -> (LineId, usize, i64, Millis) {
        let (now, chat) = (self.meta.now, &self.chats[id]);
        let (since, arrived, order) = (chat.since, chat.arrived, self.order_of(chat));
        let (queue, key) = (chat.queue.clone(), self.line_key(chat));
        let refused = chat.refusals.iter().filter(|(_, until)| *until > now);
        deadlines.extend(refused.map(|(_, until)| (*until, Deadline::Refusal(id.clone()))));
        deadlines.push((since + self.wait_max(chat), Deadline::WaitMax(id.clone())));
        let at = self.line(key);
        let index = &mut self.index;
        let rows = &mut index.lines[at];
        let passed = |s: &Stage| s.after <= now - since;
        let stage = rows.stages.iter().rposition(passed).unwrap_or(0);
        if let Some(next) = rows.stages.get(stage + 1) {
            deadlines.push((since + next.after, Deadline::Stage(id.clone())));
        }
        if rows.waiting[stage].is_empty() {
            for row in &rows.fits[stage] {
                match rows.held_for(stage, row) {
                    Some(agent) => {
                        let held = index.held.entry(agent.clone()).or_default();
                        held.insert((at, stage));
                    }
                    None => {
                        index.benches[row.bench].lines.insert((at, stage));
                    }
                }
            }
            if rows.key.weight > 1 {
                index.heavy.insert((at, stage));
            }
        }
        rows.waiting[stage].insert((order, id.clone()));
        let order_of_queue = index.order.entry(queue.clone()).or_default();
        order_of_queue.insert((order, id.clone()));
        let arrivals = index.arrivals.entry(queue).or_default();
        arrivals.insert((arrived, id.clone()));
        self.work.lines.insert((at, stage));
        (at, stage, order, arrived)
    }

    /// Takes a chat out of its line. Lines of kinds nobody waits in are let go once they are many.
    pub(crate) fn leave_line(&mut self, line: LineId, stage: usize, key: &(i64, ChatId)) {
        let index = &mut self.index;
        let rows = &mut index.lines[line];
        rows.waiting[stage].remove(key);
        if rows.key.weight > 1 {
            // Agents may have kept room for it.
            let ready = |r: &&Row| !index.benches[r.bench].ready.is_empty();
            let fits = rows.fits[stage].iter().filter(ready);
            self.work.benches.extend(fits.map(|r| r.bench));
        }
        if !rows.waiting[stage].is_empty() {
            return;
        }
        for row in &rows.fits[stage] {
            match rows.held_for(stage, row) {
                Some(agent) => {
                    if let Some(held) = index.held.get_mut(agent) {
                        held.remove(&(line, stage));
                        if held.is_empty() {
                            index.held.remove(agent);
                        }
                    }
                }
                None => {
                    index.benches[row.bench].lines.remove(&(line, stage));
                }
            }
        }
        index.heavy.remove(&(line, stage));
        if index.line_ids.len() > LINES_MAX && rows.waiting.iter().all(BTreeSet::is_empty) {
            self.let_line_go(line);
        }
    }

    fn let_line_go(&mut self, line: LineId) {
        let index = &mut self.index;
        let rows = &mut index.lines[line];
        index.line_ids.remove(&rows.key);
        for gate in rows.stages.iter().flat_map(Stage::gates) {
            if let Some(lines) = index.watched.get_mut(&gate.queue) {
                lines.remove(&line);
            }
        }
        if let Some(HeldFor::Agent(agent)) = &rows.key.held
            && let Some(count) = index.held_lines.get_mut(agent)
        {
            *count -= 1;
            if *count == 0 {
                index.held_lines.remove(agent);
            }
        }
        (rows.stages, rows.fits, rows.waiting) = Default::default();
        index.lines_free.push(line);
    }

    /// The line of a kind of chat, made with its fits when it is the first of its kind.
    fn line(&mut self, key: Line) -> LineId {
        if let Some(id) = self.index.line_ids.get(&key) {
            return *id;
        }
        let rows = self.line_rows(key.clone());
        let index = &mut self.index;
        let id = match index.lines_free.pop() {
            Some(id) => {
                index.lines[id] = rows;
                id
            }
            None => {
                index.lines.push(rows);
                index.lines.len() - 1
            }
        };
        for gate in index.lines[id].stages.iter().flat_map(Stage::gates) {
            let watched = index.watched.entry(gate.queue.clone()).or_default();
            watched.insert(id);
            if gate.waiting_min > 0 {
                let sizes = index.watched_sizes.entry(gate.queue.clone()).or_default();
                sizes.insert(gate.waiting_min);
            }
        }
        if let Some(HeldFor::Agent(agent)) = &key.held {
            *index.held_lines.entry(agent.clone()).or_default() += 1;
        }
        index.line_ids.insert(key, id);
        id
    }

    /// What a line of a kind of chat would be, with nobody in it.
    pub(crate) fn line_rows(&self, key: Line) -> LineRows {
        let stages = self.stages(&key);
        let mut fits = Vec::new();
        for stage in &stages {
            let reach = stage
                .reach
                .iter()
                .filter_map(|r| self.index.queue_benches.get(&r.queue))
                .flatten();
            let benches: BTreeSet<&(Arc<Bench>, BenchId)> = reach.collect();
            let mut fitting = Vec::new();
            for (b, bench) in benches {
                let entries = self.entries(&key, stage, b).unwrap_or_default();
                fitting.extend(entries.into_iter().map(|entry| Row {
                    entry,
                    bench: *bench,
                }));
            }
            // Stable, so those of one fit stay ordered by what they are, and by the nearest path.
            fitting.sort_by_key(|r| r.entry.fit);
            fits.push(fitting);
        }
        LineRows {
            waiting: vec![BTreeSet::new(); stages.len()],
            key,
            stages,
            fits,
        }
    }
}

impl LineRows {
    /// For whom alone a row holds the chats of a stage, where it holds them for one agent.
    pub(crate) fn held_for(&self, stage: usize, row: &Row) -> Option<&AgentId> {
        match &self.stages[stage].ways[usize::from(row.entry.fit.way)].only {
            Only::Agent(agent) => Some(agent),
            Only::Team(_) | Only::Region(_) | Only::Anyone => None,
        }
    }
}
