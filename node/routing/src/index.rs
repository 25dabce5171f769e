//! What is derived from the entities so that no decision scans agents or chats. Every row is put and
//! taken away here alone; `reindex` rebuilds all of it, and [`crate::invariants`] compares the two.

use std::collections::{BTreeMap, BTreeSet};

use crate::fit::{Bench, Fit, Line, Stage};
use crate::ids::*;
use crate::model::*;
use crate::state::{Chat, Key, QueueCounts, State};

/// Something that falls due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// A schedule begins or ends.
    Shift(ScheduleId),
    /// A lost session's grace ends.
    Grace(AgentId),
    /// An offer is not answered.
    Offer(ChatId),
    /// Wrap-up ends by itself.
    WrapUp(ChatId),
    /// A deferred chat comes back.
    Due(ChatId),
    /// A waiting chat reaches its next stage.
    Stage(ChatId),
    /// A chat may be offered again to somebody who refused it.
    Refusal(ChatId),
    /// A chat waited as long as its queue lets it.
    WaitMax(ChatId),
    /// A closed chat leaves the state.
    Forget(ChatId),
    /// A visitor's last agent is no longer preferred.
    Visitor(String),
}

pub(crate) type BenchId = usize;
pub(crate) type LineId = usize;

#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub deadlines: BTreeSet<(Millis, Deadline)>,
    /// Remembered requests by actor and id.
    pub requests: BTreeMap<(String, String), u64>,
    pub holdings: BTreeMap<AgentId, Holding>,
    pub counts: BTreeMap<QueueId, QueueCounts>,
    /// Waiting chats by arrival.
    pub arrivals: BTreeMap<QueueId, BTreeSet<(Millis, ChatId)>>,
    /// Waiting chats by the order in which they are served.
    pub order: BTreeMap<QueueId, BTreeSet<(i64, ChatId)>>,
    pub nodes: BTreeMap<NodeId, BTreeSet<AgentId>>,
    pub by_schedule: BTreeMap<ScheduleId, BTreeSet<AgentId>>,
    pub bench_ids: BTreeMap<Bench, BenchId>,
    pub benches: Vec<BenchRows>,
    pub queue_benches: BTreeMap<QueueId, BTreeSet<BenchId>>,
    pub line_ids: BTreeMap<Line, LineId>,
    pub lines: Vec<LineRows>,
    agents: BTreeMap<AgentId, AgentRow>,
    chats: BTreeMap<ChatId, ChatRow>,
}

/// What an agent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub load: u32,
    pub chats: BTreeSet<ChatId>,
}

/// Lowest occupancy first, then longest idle, then id.
pub(crate) type ReadyKey = (u32, Millis, AgentId);

#[derive(Clone, Debug)]
pub(crate) struct BenchRows {
    pub key: Bench,
    pub members: BTreeSet<AgentId>,
    /// Members that may be offered a chat now.
    pub ready: BTreeSet<ReadyKey>,
    /// Lines, at the stage given, that hold a chat this bench may take.
    pub lines: BTreeSet<(LineId, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct LineRows {
    pub stages: Vec<Stage>,
    /// By stage: the benches that may take its chats, best fit first.
    pub fits: Vec<Vec<(Fit, BenchId)>>,
    /// By stage: the chats waiting, first served first.
    pub waiting: Vec<BTreeSet<(i64, ChatId)>>,
}

#[derive(Clone, Debug)]
struct AgentRow {
    bench: BenchId,
    ready: Option<ReadyKey>,
    grace: Option<Millis>,
    node: NodeId,
}

#[derive(Clone, Debug)]
struct ChatRow {
    queue: QueueId,
    kind: Option<Kind>,
    holder: Option<(AgentId, u32)>,
    line: Option<(LineId, usize, i64, Millis)>,
    deadlines: Vec<(Millis, Deadline)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Waiting,
    Offered,
    Active,
    WrapUp,
    Deferred,
}

impl Index {
    pub(crate) fn ready_count(&self, queue: &QueueId) -> u32 {
        let benches = self.queue_benches.get(queue).into_iter().flatten();
        benches.map(|b| self.benches[*b].ready.len() as u32).sum()
    }
    pub(crate) fn bench_of(&self, agent: &AgentId) -> Option<BenchId> {
        self.agents.get(agent).map(|row| row.bench)
    }
    pub(crate) fn is_ready(&self, agent: &AgentId) -> bool {
        self.agents
            .get(agent)
            .is_some_and(|row| row.ready.is_some())
    }
    /// The line and stage a waiting chat is in.
    pub(crate) fn line_of(&self, chat: &ChatId) -> Option<(LineId, usize)> {
        let (line, stage, ..) = self.chats.get(chat)?.line?;
        Some((line, stage))
    }
    fn count(&mut self, queue: &QueueId, kind: Option<Kind>, up: bool) {
        let counts = self.counts.entry(queue.clone()).or_default();
        let count = match kind {
            None => return,
            Some(Kind::Waiting) => &mut counts.waiting,
            Some(Kind::Offered) => &mut counts.offered,
            Some(Kind::Active) => &mut counts.active,
            Some(Kind::WrapUp) => &mut counts.wrap_up,
            Some(Kind::Deferred) => &mut counts.deferred,
        };
        *count = if up { *count + 1 } else { *count - 1 };
    }
}

impl State {
    /// Throws every index away and derives it again.
    pub(crate) fn reindex(&mut self) {
        self.index = Index::default();
        let now = self.meta.now;
        for schedule in self.schedules.values() {
            if let Some(edge) = schedule.next_edge(now) {
                self.index
                    .deadlines
                    .insert((edge, Deadline::Shift(schedule.id.clone())));
            }
        }
        for (number, request) in &self.requests {
            self.index
                .requests
                .insert((request.actor.clone(), request.id.clone()), *number);
        }
        for (visitor, last) in &self.visitors {
            self.index
                .deadlines
                .insert((last.until, Deadline::Visitor(visitor.clone())));
        }
        for id in self.agents.keys().cloned().collect::<Vec<_>>() {
            self.seat(&id);
        }
        for id in self.chats.keys().cloned().collect::<Vec<_>>() {
            self.index_chat(&id);
        }
    }

    /// Gives an agent a place on its bench; only after a change of configuration.
    fn seat(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let key = Bench::of(&agent.config);
        let index = &mut self.index;
        let bench = *index.bench_ids.entry(key.clone()).or_insert_with(|| {
            for queue in &key.queues {
                index
                    .queue_benches
                    .entry(queue.clone())
                    .or_default()
                    .insert(index.benches.len());
            }
            let rows = BenchRows {
                key: key.clone(),
                members: BTreeSet::new(),
                ready: BTreeSet::new(),
                lines: BTreeSet::new(),
            };
            index.benches.push(rows);
            index.benches.len() - 1
        });
        index.benches[bench].members.insert(id.clone());
        if let Some(schedule) = &agent.config.schedule {
            index
                .by_schedule
                .entry(schedule.clone())
                .or_default()
                .insert(id.clone());
        }
        index.agents.insert(
            id.clone(),
            AgentRow {
                bench,
                ready: None,
                grace: None,
                node: 0,
            },
        );
        self.refresh_agent(id);
    }

    /// Brings an agent's rows in line with presence, shift, session and load.
    pub(crate) fn refresh_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let load = self.load(id);
        let capacity = agent.config.capacity;
        let able = agent.presence == Presence::Available && load < capacity && self.on_shift(agent);
        let ready = able.then(|| (load * 1000 / capacity, agent.idle_since, id.clone()));
        let grace = (agent.presence == Presence::Lost).then_some(agent.grace_until);
        let node = agent.node;
        let index = &mut self.index;
        let Some(row) = index.agents.get_mut(id) else {
            return;
        };
        if row.ready != ready {
            let bench = &mut index.benches[row.bench];
            if let Some(old) = &row.ready {
                bench.ready.remove(old);
            }
            if let Some(new) = &ready {
                bench.ready.insert(new.clone());
                self.work.agents.insert(id.clone());
            }
            row.ready = ready;
        }
        if row.grace != grace {
            if let Some(at) = row.grace {
                index.deadlines.remove(&(at, Deadline::Grace(id.clone())));
            }
            if let Some(at) = grace {
                index.deadlines.insert((at, Deadline::Grace(id.clone())));
            }
            row.grace = grace;
        }
        if row.node != node {
            if let Some(agents) = index.nodes.get_mut(&row.node) {
                agents.remove(id);
                if agents.is_empty() {
                    index.nodes.remove(&row.node);
                }
            }
            if node != 0 {
                index.nodes.entry(node).or_default().insert(id.clone());
            }
            row.node = node;
        }
    }

    /// Changes an agent and its rows together.
    pub(crate) fn edit_agent(
        &mut self,
        id: &AgentId,
        change: impl FnOnce(&mut crate::state::AgentState),
    ) {
        if let Some(agent) = self.agents.get_mut(id) {
            change(agent);
            self.work.dirty.insert(Key::Agent(id.clone()));
            self.work.touched.insert(id.clone());
            self.refresh_agent(id);
        }
    }

    /// Changes a chat and its rows together.
    pub(crate) fn edit_chat(&mut self, id: &ChatId, change: impl FnOnce(&mut Chat)) {
        self.unindex_chat(id);
        let index = self.meta.index;
        if let Some(chat) = self.chats.get_mut(id) {
            change(chat);
            chat.index = index;
            self.index_chat(id);
            self.work.dirty.insert(Key::Chat(id.clone()));
        }
    }

    /// Takes a chat's rows away.
    pub(crate) fn unindex_chat(&mut self, id: &ChatId) {
        let Some(row) = self.index.chats.remove(id) else {
            return;
        };
        self.index.count(&row.queue, row.kind, false);
        for deadline in &row.deadlines {
            self.index.deadlines.remove(deadline);
        }
        if let Some((line, stage, order, arrived)) = row.line {
            let key = (order, id.clone());
            if let Some(set) = self.index.order.get_mut(&row.queue) {
                set.remove(&key);
            }
            if let Some(set) = self.index.arrivals.get_mut(&row.queue) {
                set.remove(&(arrived, id.clone()));
            }
            let rows = &mut self.index.lines[line];
            rows.waiting[stage].remove(&key);
            if rows.waiting[stage].is_empty() {
                for (_, bench) in &rows.fits[stage] {
                    self.index.benches[*bench].lines.remove(&(line, stage));
                }
            }
        }
        if let Some((agent, weight)) = row.holder {
            if let Some(holding) = self.index.holdings.get_mut(&agent) {
                holding.load -= weight;
                holding.chats.remove(id);
                if holding.chats.is_empty() {
                    self.index.holdings.remove(&agent);
                }
            }
            self.work.touched.insert(agent.clone());
            self.refresh_agent(&agent);
        }
    }

    /// Puts a chat's rows.
    pub(crate) fn index_chat(&mut self, id: &ChatId) {
        let Some(chat) = self.chats.get(id) else {
            return;
        };
        let now = self.meta.now;
        let mut deadlines = Vec::new();
        let mut line = None;
        let kind = match &chat.phase {
            Phase::Waiting => Some(Kind::Waiting),
            Phase::Offered { until, .. } => {
                deadlines.push((*until, Deadline::Offer(id.clone())));
                Some(Kind::Offered)
            }
            Phase::Active { .. } => Some(Kind::Active),
            Phase::WrapUp { until, .. } => {
                deadlines.push((*until, Deadline::WrapUp(id.clone())));
                Some(Kind::WrapUp)
            }
            Phase::Deferred { due } => {
                deadlines.push((*due, Deadline::Due(id.clone())));
                Some(Kind::Deferred)
            }
            Phase::Closed(_) => {
                deadlines.push((
                    chat.closed + crate::limits::CLOSED_KEPT_MS,
                    Deadline::Forget(id.clone()),
                ));
                None
            }
        };
        let (queue, since, arrived, order) = (
            chat.queue.clone(),
            chat.since,
            chat.arrived,
            self.order_of(chat),
        );
        let holder = chat.holder().map(|agent| (agent.clone(), chat.weight));
        if matches!(kind, Some(Kind::Waiting)) {
            deadlines.extend(
                chat.refusals
                    .iter()
                    .map(|(_, until)| (*until, Deadline::Refusal(id.clone())))
                    .filter(|d| d.0 > now),
            );
            let wait_max = self.queues.get(&queue).map_or(0, |q| q.wait_ms_max);
            deadlines.push((
                since + Millis::from(wait_max),
                Deadline::WaitMax(id.clone()),
            ));
            let key = Line::of(chat);
            let at = self.line(key);
            let stages = &self.index.lines[at].stages;
            let stage = stages
                .iter()
                .rposition(|s| s.after <= now - since)
                .unwrap_or(0);
            if let Some(next) = stages.get(stage + 1) {
                deadlines.push((since + next.after, Deadline::Stage(id.clone())));
            }
            line = Some((at, stage, order, arrived));
            let index = &mut self.index;
            let rows = &mut index.lines[at];
            if rows.waiting[stage].is_empty() {
                for (_, bench) in &rows.fits[stage] {
                    index.benches[*bench].lines.insert((at, stage));
                }
            }
            rows.waiting[stage].insert((order, id.clone()));
            index
                .order
                .entry(queue.clone())
                .or_default()
                .insert((order, id.clone()));
            index
                .arrivals
                .entry(queue.clone())
                .or_default()
                .insert((arrived, id.clone()));
            self.work.chats.insert((order, id.clone()));
        }
        self.index.deadlines.extend(deadlines.iter().cloned());
        self.index.count(&queue, kind, true);
        let agent = holder.as_ref().map(|(agent, _)| agent.clone());
        if let Some((agent, weight)) = &holder {
            let holding = self.index.holdings.entry(agent.clone()).or_default();
            holding.load += weight;
            holding.chats.insert(id.clone());
            self.work.touched.insert(agent.clone());
        }
        self.index.chats.insert(
            id.clone(),
            ChatRow {
                queue,
                kind,
                holder,
                line,
                deadlines,
            },
        );
        if let Some(agent) = agent {
            self.refresh_agent(&agent);
        }
    }

    /// The line of a kind of chat, made with its fits when it is the first of its kind.
    fn line(&mut self, key: Line) -> LineId {
        if let Some(id) = self.index.line_ids.get(&key) {
            return *id;
        }
        let stages = self
            .queues
            .get(&key.queue)
            .map(|q| self.stages(q))
            .unwrap_or_default();
        let mut fits = Vec::new();
        for stage in &stages {
            let reach = stage
                .reach
                .iter()
                .filter_map(|q| self.index.queue_benches.get(q))
                .flatten();
            let benches: BTreeSet<BenchId> = reach.copied().collect();
            let fit =
                |b: BenchId| Some((self.fit(&key, stage, &self.index.benches[b].key).ok()?, b));
            let mut fitting: Vec<_> = benches.into_iter().filter_map(fit).collect();
            fitting.sort();
            fits.push(fitting);
        }
        let id = self.index.lines.len();
        let waiting = vec![BTreeSet::new(); stages.len()];
        self.index.lines.push(LineRows {
            stages,
            fits,
            waiting,
        });
        self.index.line_ids.insert(key, id);
        id
    }
}

impl Deadline {
    pub(crate) fn concerns(&self, id: &ChatId) -> bool {
        match self {
            Self::Offer(c)
            | Self::WrapUp(c)
            | Self::Due(c)
            | Self::Stage(c)
            | Self::Refusal(c)
            | Self::WaitMax(c)
            | Self::Forget(c) => c == id,
            Self::Shift(_) | Self::Grace(_) | Self::Visitor(_) => false,
        }
    }
}

impl Index {
    /// Compares two indexes, whatever numbers their benches and lines happen to carry.
    pub(crate) fn same_as(&self, other: &Index) -> Result<(), String> {
        let differ = |what: &str, same: bool| {
            if same {
                Ok(())
            } else {
                Err(format!(
                    "10: the index of {what} is not what the state says"
                ))
            }
        };
        let some = |map: &BTreeMap<QueueId, BTreeSet<(i64, ChatId)>>| {
            map.iter()
                .filter(|(_, s)| !s.is_empty())
                .map(|(q, s)| (q.clone(), s.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let counts = |i: &Index| {
            i.counts
                .iter()
                .filter(|(_, c)| **c != QueueCounts::default())
                .map(|(q, c)| (q.clone(), *c))
                .collect::<BTreeMap<_, _>>()
        };
        differ("deadlines", self.deadlines == other.deadlines)?;
        differ("requests", self.requests == other.requests)?;
        differ("holdings", self.holdings == other.holdings)?;
        differ("counts", counts(self) == counts(other))?;
        differ("arrivals", some(&self.arrivals) == some(&other.arrivals))?;
        differ("order", some(&self.order) == some(&other.order))?;
        differ("sessions by node", self.nodes == other.nodes)?;
        differ("agents by schedule", self.by_schedule == other.by_schedule)?;
        let ready = |i: &Index| {
            i.benches
                .iter()
                .map(|b| (b.key.clone(), (b.members.clone(), b.ready.clone())))
                .collect::<BTreeMap<_, _>>()
        };
        differ("ready agents", ready(self) == ready(other))?;
        let waiting = |i: &Index| {
            let rows = i
                .line_ids
                .iter()
                .map(|(key, id)| (key.clone(), i.lines[*id].waiting.clone()));
            rows.filter(|(_, w)| w.iter().any(|s| !s.is_empty()))
                .collect::<BTreeMap<_, _>>()
        };
        differ("waiting lines", waiting(self) == waiting(other))?;
        let reach = |i: &Index| {
            let names: BTreeMap<LineId, &Line> =
                i.line_ids.iter().map(|(key, id)| (*id, key)).collect();
            let rows = i.benches.iter().map(|b| {
                (
                    b.key.clone(),
                    b.lines
                        .iter()
                        .map(|(l, s)| (names[l].clone(), *s))
                        .collect::<BTreeSet<_>>(),
                )
            });
            rows.collect::<BTreeMap<_, _>>()
        };
        differ("lines within reach", reach(self) == reach(other))
    }
}
