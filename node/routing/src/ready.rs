//! Who of a bench may be offered a chat, kept in every order that a queue may ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::*;
use crate::model::Strategy;

/// A ready agent: what of them matters to the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadyRow {
    pub load: u32,
    /// Queues of which they carry as many chats as they may, ordered.
    pub full: Vec<QueueId>,
    pub idle_since: Millis,
    pub turn: u64,
    pub pass: u64,
}

/// Which orders any queue asks for; those that none does are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub turn: bool,
    pub pass: bool,
}

/// What a strategy compares, then the longest idle, then the id.
pub(crate) type ReadyKey = (u64, Millis, AgentId);

/// The ready agents of a bench: those who carry the same together, each group in every order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    groups: BTreeMap<(u32, Vec<QueueId>), Group>,
    count: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    idle: BTreeSet<ReadyKey>,
    turn: BTreeSet<ReadyKey>,
    pass: BTreeSet<ReadyKey>,
}

impl Group {
    fn by(&self, strategy: Strategy) -> &BTreeSet<ReadyKey> {
        match strategy {
            Strategy::LeastOccupied | Strategy::LongestIdle | Strategy::MostSkilled => &self.idle,
            Strategy::RoundRobin => &self.turn,
            Strategy::Weighted => &self.pass,
        }
    }
}

impl ReadyRow {
    fn keys(&self, agent: &AgentId) -> [ReadyKey; 3] {
        let key = |first| (first, self.idle_since, agent.clone());
        [key(0), key(self.turn), key(self.pass)]
    }
}

impl Ready {
    pub fn insert(&mut self, agent: &AgentId, row: &ReadyRow, orders: Orders) {
        let key = (row.load, row.full.clone());
        let group = self.groups.entry(key).or_default();
        let [idle, turn, pass] = row.keys(agent);
        group.idle.insert(idle);
        if orders.turn {
            group.turn.insert(turn);
        }
        if orders.pass {
            group.pass.insert(pass);
        }
        self.count += 1;
    }

    pub fn remove(&mut self, agent: &AgentId, row: &ReadyRow) {
        let key = (row.load, row.full.clone());
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        let [idle, turn, pass] = row.keys(agent);
        if group.idle.remove(&idle) {
            self.count -= 1;
        }
        group.turn.remove(&turn);
        group.pass.remove(&pass);
        if group.idle.is_empty() {
            self.groups.remove(&key);
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The best that `may` take a chat, by a strategy: of those who carry at most `load_max` and have room for the
    /// queue, with what the strategy compares. Looks at heads alone, past those who may not.
    pub fn best(
        &self,
        strategy: Strategy,
        load_max: u32,
        queue: &QueueId,
        mut may: impl FnMut(&AgentId) -> bool,
    ) -> Best {
        let mut best: Option<(u32, &ReadyKey)> = None;
        let mut somebody = false;
        for ((load, full), group) in &self.groups {
            if *load > load_max {
                break;
            }
            if full.contains(queue) {
                continue;
            }
            let by_load = matches!(strategy, Strategy::LeastOccupied | Strategy::MostSkilled);
            // Groups come by load, so nobody further on is less occupied.
            if by_load && best.is_some_and(|(least, _)| least < *load) {
                break;
            }
            somebody = true;
            if let Some(key) = group.by(strategy).iter().find(|key| may(&key.2))
                && best.is_none_or(|(_, b)| key < b)
            {
                best = Some((*load, key));
            }
        }
        match best {
            Some((load, key)) => Best::Agent(load, key.clone()),
            None if somebody => Best::Unwilling,
            None => Best::Nobody,
        }
    }

    /// Everybody, the least loaded first, then the longest idle.
    pub fn iter(&self) -> impl Iterator<Item = &AgentId> {
        self.groups
            .values()
            .flat_map(|g| g.idle.iter().map(|key| &key.2))
    }
}

/// What came of looking for the best of a bench.
pub(crate) enum Best {
    /// Load and key.
    Agent(u32, ReadyKey),
    /// Somebody has room, but none who may.
    Unwilling,
    /// Nobody has room.
    Nobody,
}
