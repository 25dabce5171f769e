//! What is derived from the entities so that no decision scans agents or chats. Every row is put and
//! taken away here alone; `reindex` rebuilds all of it, and [`crate::invariants`] compares the two.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::closure::Shut;
use crate::fit::{Bench, Entry, Line, Stage};
use crate::ids::*;
use crate::model::*;
use crate::ready::{Orders, Ready, ReadyRow};
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
    /// A newcomer's capacity grows.
    Ramp(AgentId),
    /// The oldest minute of a queue's service stops counting.
    Slide(QueueId),
    /// The visitor's page was away too long.
    Lease(ChatId),
    /// What is tracked elsewhere was not closed in time.
    Tracked(ChatId),
    /// What was closed at once opens.
    Reopen(Shut),
    /// An agent is to be reminded of a break.
    Break(AgentId),
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
    /// Waiting chats by the order in which they are served; knows the place of each.
    pub order: BTreeMap<QueueId, indexset::BTreeSet<(i64, ChatId)>>,
    pub nodes: BTreeMap<NodeId, BTreeSet<AgentId>>,
    /// Chats whose visitor's page follows by a node.
    pub pages: BTreeMap<NodeId, BTreeSet<ChatId>>,
    pub by_schedule: BTreeMap<ScheduleId, BTreeSet<AgentId>>,
    pub bench_ids: BTreeMap<Arc<Bench>, BenchId>,
    pub benches: Vec<BenchRows>,
    /// Ordered by what the benches are, never by their numbers, which differ from replica to replica.
    pub queue_benches: BTreeMap<QueueId, BTreeSet<(Arc<Bench>, BenchId)>>,
    pub line_ids: BTreeMap<Line, LineId>,
    pub lines: Vec<LineRows>,
    /// Numbers of lines let go, to be given again.
    pub lines_free: Vec<LineId>,
    /// Lines and stages in which chats of more than one unit wait.
    pub heavy: BTreeSet<(LineId, usize)>,
    /// Lines and stages in which chats wait that are held for an agent.
    pub held: BTreeMap<AgentId, BTreeSet<(LineId, usize)>>,
    /// Assists by the chat they are for, in the order they were asked for.
    pub assists: BTreeMap<ChatId, BTreeSet<(u32, ChatId)>>,
    /// How many lines there are whose chats belong to an agent.
    pub held_lines: BTreeMap<AgentId, usize>,
    /// Lines that overflow by what happens in a queue, and the numbers waiting there from which they do.
    pub watched: BTreeMap<QueueId, BTreeSet<LineId>>,
    pub watched_sizes: BTreeMap<QueueId, BTreeSet<u32>>,
    /// When the service of a queue is looked at again.
    pub slides: BTreeMap<QueueId, Millis>,
    /// What queues order ready agents by.
    pub orders: Orders,
    /// Agents at work by queue served.
    pub at_work: BTreeMap<QueueId, usize>,
    pub agents: BTreeMap<AgentId, AgentRow>,
    pub chats: BTreeMap<ChatId, ChatRow>,
}

/// What an agent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub load: u32,
    pub chats: BTreeSet<ChatId>,
}

#[derive(Clone, Debug)]
pub(crate) struct BenchRows {
    pub key: Arc<Bench>,
    pub members: BTreeSet<AgentId>,
    /// How many members follow which schedule; `None` = no schedule.
    pub schedules: BTreeMap<Option<ScheduleId>, usize>,
    /// Members that may be offered a chat now.
    pub ready: Ready,
    /// How many members are at work, with room or without.
    pub at_work: usize,
    /// Lines, at the stage given, that hold a chat this bench may take.
    pub lines: BTreeSet<(LineId, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct LineRows {
    pub key: Line,
    pub stages: Vec<Stage>,
    /// By stage: who may take its chats, best fit first, then by what they are.
    pub fits: Vec<Vec<Row>>,
    /// By stage: the chats waiting, first served first.
    pub waiting: Vec<BTreeSet<(i64, ChatId)>>,
}

/// A bench that may take a line's chats, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub entry: Entry,
    pub bench: BenchId,
}

#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    pub bench: BenchId,
    pub schedule: Option<ScheduleId>,
    pub ready: Option<ReadyRow>,
    pub at_work: bool,
    pub ramp: Option<Millis>,
    pub rest: Option<Millis>,
    pub grace: Option<Millis>,
    pub node: NodeId,
}

#[derive(Clone, Debug)]
pub(crate) struct ChatRow {
    pub queue: QueueId,
    pub kind: Option<Kind>,
    pub holders: Vec<AgentId>,
    pub weight: u32,
    pub line: Option<(LineId, usize, i64, Millis)>,
    /// For an assist: the chat it is for, and its number.
    pub assist: Option<(ChatId, u32)>,
    /// The node by which the visitor's page follows.
    pub page: Option<NodeId>,
    pub deadlines: Vec<(Millis, Deadline)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Waiting,
    Offered,
    Active,
    WrapUp,
    Deferred,
    Tracked,
}

impl Index {
    pub(crate) fn ready_count(&self, queue: &QueueId) -> u32 {
        let benches = self.queue_benches.get(queue).into_iter().flatten();
        benches
            .map(|(_, b)| self.benches[*b].ready.len() as u32)
            .sum()
    }
    pub(crate) fn bench_of(&self, agent: &AgentId) -> Option<BenchId> {
        self.agents.get(agent).map(|row| row.bench)
    }
    /// The agent's place on its bench while ready to take a chat.
    pub(crate) fn ready_row(&self, agent: &AgentId) -> Option<&ReadyRow> {
        self.agents.get(agent)?.ready.as_ref()
    }
    /// Whether the agent takes chats now, with room for one or without.
    pub(crate) fn at_work(&self, agent: &AgentId) -> bool {
        self.agents.get(agent).is_some_and(|row| row.at_work)
    }
    /// How many of those who serve a queue are.
    pub(crate) fn queue_at_work(&self, queue: &QueueId) -> usize {
        self.at_work.get(queue).copied().unwrap_or(0)
    }
    /// The line and stage a waiting chat is in.
    pub(crate) fn line_of(&self, chat: &ChatId) -> Option<(LineId, usize)> {
        let (line, stage, ..) = self.chats.get(chat)?.line?;
        Some((line, stage))
    }
    /// The chat of a line and stage that is served first, or first after the one given.
    pub(crate) fn head(
        &self,
        line: LineId,
        stage: usize,
        after: Option<&(i64, ChatId)>,
    ) -> Option<&(i64, ChatId)> {
        let waiting = self.lines.get(line)?.waiting.get(stage)?;
        match after {
            None => waiting.first(),
            Some(key) => waiting
                .range((std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded))
                .next(),
        }
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
            Some(Kind::Tracked) => &mut counts.tracked,
        };
        *count = if up { *count + 1 } else { *count - 1 };
    }
}

impl State {
    /// Throws every index away and derives it again.
    pub(crate) fn reindex(&mut self) {
        self.index = Index {
            orders: self.orders(),
            ..Index::default()
        };
        self.work.benches.clear();
        self.work.lines.clear();
        let now = self.meta.now;
        for schedule in self.schedules.values() {
            if let Some(edge) = schedule.next_change(now) {
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
        for (what, closure) in &self.closures {
            let deadline = (closure.until, Deadline::Reopen(what.clone()));
            self.index.deadlines.insert(deadline);
        }
        for id in self.queues.keys().cloned().collect::<Vec<_>>() {
            self.refresh_slide(&id);
        }
        for id in self.chats.keys().cloned().collect::<Vec<_>>() {
            self.index_chat(&id);
        }
        let holders: Vec<AgentId> = self.index.holdings.keys().cloned().collect();
        for id in &holders {
            self.refresh_agent(id);
        }
    }

    /// What queues order ready agents by.
    pub(crate) fn orders(&self) -> Orders {
        let any = |strategy| self.queues.values().any(|q| q.strategy == strategy);
        Orders {
            turn: any(Strategy::RoundRobin),
            pass: any(Strategy::Weighted),
        }
    }

    /// Brings an agent's rows in line with presence, shift, session and load.
    pub(crate) fn refresh_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else {
            return;
        };
        let load = self.load(id);
        let at_work = agent.presence == Presence::Available && self.takes_chats(agent);
        let room = agent.config.capacity_at(self.meta.now) + agent.config.extra;
        let ready = (at_work && load < room).then(|| ReadyRow {
            load,
            full: self.full_queues(agent),
            idle_since: agent.idle_since,
            // What no queue asks for is left out, so that it moves nobody.
            turn: if self.index.orders.turn {
                agent.turn
            } else {
                0
            },
            pass: if self.index.orders.pass {
                agent.pass
            } else {
                0
            },
        });
        let rest = self.rest_due(agent);
        let grace = (agent.presence == Presence::Lost).then_some(agent.grace_until);
        let node = agent.node;
        let index = &mut self.index;
        let Some(row) = index.agents.get_mut(id) else {
            return;
        };
        let comes_or_goes = row.at_work != at_work;
        if row.ready != ready {
            let bench = &mut index.benches[row.bench];
            if let Some(old) = &row.ready {
                bench.ready.remove(id, old);
            }
            if let Some(new) = &ready {
                bench.ready.insert(id, new, index.orders);
                // Whoever has less room than before can take nothing they could not take then.
                let more = |old: &ReadyRow| new.load < old.load || new.full != old.full;
                if row.ready.as_ref().is_none_or(more) {
                    self.work.benches.insert(row.bench);
                    let held = index.held.get(id).into_iter().flatten();
                    self.work.lines.extend(held);
                }
            }
            row.ready = ready;
        }
        let due = &mut index.deadlines;
        let before = std::mem::replace(&mut row.grace, grace);
        move_deadline(due, before, grace, || Deadline::Grace(id.clone()));
        let before = std::mem::replace(&mut row.rest, rest);
        move_deadline(due, before, rest, || Deadline::Break(id.clone()));
        if row.node != node {
            let before = std::mem::replace(&mut row.node, node);
            index.leave_node(before, id);
            if node != 0 {
                index.nodes.entry(node).or_default().insert(id.clone());
            }
        }
        if comes_or_goes {
            self.go_to_work(id, at_work);
        }
    }

    /// Counts an agent among those at work, or no more. Where the last one goes, what waited for them may go on.
    pub(crate) fn go_to_work(&mut self, id: &AgentId, at_work: bool) {
        let index = &mut self.index;
        let Some(row) = index.agents.get_mut(id) else {
            return;
        };
        if row.at_work == at_work {
            return;
        }
        row.at_work = at_work;
        let bench = &mut index.benches[row.bench];
        let key = bench.key.clone();
        if at_work {
            bench.at_work += 1;
        } else {
            bench.at_work -= 1;
            let held = index.held.get(id).into_iter().flatten();
            self.work.lines.extend(held);
            if bench.at_work == 0 {
                let ways = |(line, stage): &&(LineId, usize)| {
                    index.lines[*line].stages[*stage].ways.len() > 1
                };
                self.work.lines.extend(bench.lines.iter().filter(ways));
            }
        }
        let mut left = Vec::new();
        for served in &key.queues {
            let count = index.at_work.entry(served.queue.clone()).or_default();
            if at_work {
                *count += 1;
                continue;
            }
            *count -= 1;
            if *count == 0 {
                index.at_work.remove(&served.queue);
                left.push(&served.queue);
            }
        }
        for queue in left {
            self.look_again(queue);
        }
    }

    /// Queues of which the agent carries as many chats as they may.
    pub(crate) fn full_queues(&self, agent: &crate::state::AgentState) -> Vec<QueueId> {
        let bounded = agent.config.queues.iter().filter(|s| s.chats_max > 0);
        let held = |queue: &QueueId| {
            let held = self.held(&agent.config.id);
            held.filter(|c| c.via == *queue).count()
        };
        let full = bounded.filter(|s| held(&s.queue) >= s.chats_max as usize);
        let mut full: Vec<QueueId> = full.map(|s| s.queue.clone()).collect();
        full.sort();
        full
    }

    /// Changes an agent and its rows together.
    pub(crate) fn edit_agent(
        &mut self,
        id: &AgentId,
        change: impl FnOnce(&mut crate::state::AgentState),
    ) {
        if let Some(agent) = self.agents.get_mut(id) {
            change(agent);
            self.work.dirty.push(Key::Agent(id.clone()));
            self.work.touched.push(id.clone());
            self.refresh_agent(id);
        }
    }

    /// Changes a chat and its rows together.
    pub(crate) fn edit_chat(&mut self, id: &ChatId, change: impl FnOnce(&mut Chat)) {
        let before = self.unindex_chat(id);
        let index = self.meta.index;
        let mut after = Vec::new();
        if let Some(chat) = self.chats.get_mut(id) {
            change(chat);
            chat.index = index;
            after = self.index_chat(id);
            self.work.dirty.push(Key::Chat(id.clone()));
        }
        // Only now, so that nobody seems to gain room they do not have.
        for agent in before
            .iter()
            .chain(after.iter().filter(|a| !before.contains(a)))
        {
            self.work.touched.push(agent.clone());
            self.refresh_agent(agent);
        }
    }

    /// Takes a chat's rows away; tells whose load went down, for [`Self::refresh_agent`].
    pub(crate) fn unindex_chat(&mut self, id: &ChatId) -> Vec<AgentId> {
        let Some(row) = self.index.chats.remove(id) else {
            return Vec::new();
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
            self.leave_line(line, stage, &key);
        }
        if let Some(node) = row.page
            && let Some(pages) = self.index.pages.get_mut(&node)
        {
            pages.remove(id);
            if pages.is_empty() {
                self.index.pages.remove(&node);
            }
        }
        if let Some((of, number)) = &row.assist
            && let Some(assists) = self.index.assists.get_mut(of)
        {
            assists.remove(&(*number, id.clone()));
            if assists.is_empty() {
                self.index.assists.remove(of);
            }
        }
        for agent in &row.holders {
            if let Some(holding) = self.index.holdings.get_mut(agent) {
                holding.load -= row.weight;
                holding.chats.remove(id);
                if holding.chats.is_empty() {
                    self.index.holdings.remove(agent);
                }
            }
        }
        row.holders
    }

    /// Puts a chat's rows; tells whose load went up.
    pub(crate) fn index_chat(&mut self, id: &ChatId) -> Vec<AgentId> {
        let Some(chat) = self.chats.get(id) else {
            return Vec::new();
        };
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
            Phase::Deferred { due, .. } => {
                deadlines.push((*due, Deadline::Due(id.clone())));
                Some(Kind::Deferred)
            }
            Phase::Tracked { due, .. } => {
                deadlines.push((*due, Deadline::Tracked(id.clone())));
                Some(Kind::Tracked)
            }
            Phase::Closed(_) => {
                deadlines.push((
                    chat.closed + crate::limits::CLOSED_KEPT_MS,
                    Deadline::Forget(id.clone()),
                ));
                None
            }
        };
        // While it is put off the visitor need not be there.
        if let Page::Gone(until) = chat.page
            && !matches!(
                chat.phase,
                Phase::Deferred { .. } | Phase::WrapUp { .. } | Phase::Closed(_)
            )
        {
            deadlines.push((until, Deadline::Lease(id.clone())));
        }
        let page = match chat.page {
            Page::There(node) if !chat.is_closed() => Some(node),
            _ => None,
        };
        let queue = chat.queue.clone();
        let (holders, weight) = (chat.holders().to_vec(), chat.weight);
        let assist = chat.assist.as_ref();
        let assist = assist.map(|(of, _)| (of.clone(), assist_number(id)));
        if matches!(kind, Some(Kind::Waiting)) {
            line = Some(self.join_line(id, &mut deadlines));
        }
        let index = &mut self.index;
        index.deadlines.extend(deadlines.iter().cloned());
        index.count(&queue, kind, true);
        for agent in &holders {
            let holding = index.holdings.entry(agent.clone()).or_default();
            holding.load += weight;
            holding.chats.insert(id.clone());
        }
        let sizes = index.watched_sizes.get(&queue);
        let waiting = index.counts.get(&queue).map_or(0, |c| c.waiting);
        let grown = line.is_some() && sizes.is_some_and(|s| s.contains(&waiting));
        if let Some((of, number)) = &assist {
            let assists = index.assists.entry(of.clone()).or_default();
            assists.insert((*number, id.clone()));
        }
        if let Some(node) = page {
            index.pages.entry(node).or_default().insert(id.clone());
        }
        let row = ChatRow {
            page,
            assist,
            queue: queue.clone(),
            kind,
            holders: holders.clone(),
            weight,
            line,
            deadlines,
        };
        index.chats.insert(id.clone(), row);
        if grown {
            self.look_again(&queue);
        }
        holders
    }
}

/// The number that ends the id of an assist.
fn assist_number(id: &ChatId) -> u32 {
    let number = id
        .as_str()
        .rsplit_once('~')
        .and_then(|(_, n)| n.parse().ok());
    number.unwrap_or(0)
}

/// What falls due at another time than it was known for, or no more.
pub(crate) fn move_deadline(
    deadlines: &mut BTreeSet<(Millis, Deadline)>,
    before: Option<Millis>,
    after: Option<Millis>,
    what: impl Fn() -> Deadline,
) {
    if before == after {
        return;
    }
    if let Some(at) = before {
        deadlines.remove(&(at, what()));
    }
    if let Some(at) = after {
        deadlines.insert((at, what()));
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
            | Self::Lease(c)
            | Self::Tracked(c)
            | Self::Forget(c) => c == id,
            Self::Shift(_)
            | Self::Grace(_)
            | Self::Visitor(_)
            | Self::Ramp(_)
            | Self::Slide(_)
            | Self::Reopen(_)
            | Self::Break(_) => false,
        }
    }
}

impl Index {
    pub(crate) fn leave_node(&mut self, node: NodeId, agent: &AgentId) {
        if let Some(agents) = self.nodes.get_mut(&node) {
            agents.remove(agent);
            if agents.is_empty() {
                self.nodes.remove(&node);
            }
        }
    }
}
