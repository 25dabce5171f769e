//! Which voter should lead. Pure: numbers in, a decision out; nothing here asks a clock or the network.
//!
//! A write goes from the node that takes it to the leader and back, and meanwhile from the leader to its nearest majority
//! and back. So what a write would take on average if another voter led follows from where writes come from and from how
//! far all are apart. Leadership costs a few round trips without writes whenever it moves, so it moves only to where much
//! is gained, for long enough.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::raft::{NodeId, Timing};

/// Fewer writes that count say nothing of where they come from: they come at less than one a second.
pub(super) const WRITES_MIN: u64 = 50;
/// A move must save at least so much of what a write takes on average, in percent: distances are measured, and writes
/// counted, with noise.
pub(super) const GAIN_PERCENT: u64 = 20;
/// And at least so much, in microseconds. Nobody feels less, and within a region there is no more to gain.
pub(super) const GAIN_US: u64 = 10_000;
/// So many looks one after the other must find the same region best: half a minute.
pub(super) const LOOKS: u32 = 6;
/// The least time between two moves after the sun.
pub(super) const LEADS_MIN: Duration = Duration::from_secs(60);

/// How long a leader of either kind leads before it hands over: time for others to come back and for a change to settle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// After the sun.
    pub(super) sun: Duration,
    /// To where leadership is pinned.
    pub(super) pin: Duration,
}

impl Rest {
    /// Many failovers' time, so that what moves cost is little beside what they gain; a pin waits for two.
    pub(super) fn of(timing: &Timing) -> Self {
        let failover = timing.failover_bound();
        Self {
            sun: LEADS_MIN.max(failover * 10),
            pin: failover * 2,
        }
    }
}

/// One voter, as the leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Voter {
    /// Where it stands.
    pub(super) region: String,
    /// Whether it has answered lately, so that it counts for a majority.
    pub(super) answers: bool,
    /// Whether leadership can be handed to it: it has caught up, too, and is not too far away.
    pub(super) fit: bool,
}

/// What a decision is made of.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Who leads; one of the voters.
    pub(super) leader: NodeId,
    /// Every voter.
    pub(super) voters: BTreeMap<NodeId, Voter>,
    /// Writes that count, by the member that handed them on.
    pub(super) writes: BTreeMap<NodeId, u64>,
    /// Round trips in microseconds, from whom to whom, as each has measured them.
    pub(super) ways: BTreeMap<(NodeId, NodeId), u64>,
}

/// That leadership should move after the sun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Better {
    /// To whom.
    pub(super) to: NodeId,
    /// What a write takes on average now, in microseconds.
    pub(super) now_us: u64,
    /// What it would take then.
    pub(super) then_us: u64,
}

impl Scene {
    /// The region in which the leader stands.
    pub(super) fn region(&self) -> &str {
        self.voters.get(&self.leader).map_or("", |v| &v.region)
    }

    /// The round trip between two nodes; of two measurements the lesser, since what is wrong with one makes it longer.
    fn way(&self, one: NodeId, other: NodeId) -> Option<u64> {
        if one == other {
            return Some(0);
        }
        let told = [(one, other), (other, one)].map(|way| self.ways.get(&way).copied());
        told.into_iter().flatten().min()
    }

    /// The round trip from a voter to the nearest majority of which it is one. Who does not answer is in none.
    fn majority(&self, voter: NodeId) -> Option<u64> {
        let counts = |id: &NodeId, v: &Voter| v.answers || *id == voter;
        let answer = self.voters.iter().filter(|(id, v)| counts(id, v));
        let ways: Option<Vec<u64>> = answer.map(|(id, _)| self.way(voter, *id)).collect();
        let mut ways = ways?;
        ways.sort_unstable();
        ways.get(self.voters.len() / 2).copied()
    }

    /// What a write would take on average if this voter led, in microseconds; `None` if that is not known.
    pub(super) fn expected(&self, voter: NodeId) -> Option<u64> {
        let writes = || self.writes.iter().filter(|(_, count)| **count > 0);
        let total: u128 = writes().map(|(_, count)| u128::from(*count)).sum();
        let mut sum = 0;
        for (from, count) in writes() {
            sum += u128::from(*count) * u128::from(self.way(*from, voter)?);
        }
        let there = sum.checked_div(total).unwrap_or(0);
        Some(u64::try_from(there).ok()? + self.majority(voter)?)
    }

    /// Whether every voter that answers has told how far the others are. One of an older version does not, and what is not
    /// known whole is not acted upon.
    fn all_told(&self) -> bool {
        let mut answer = self.voters.iter().filter(|(_, v)| v.answers);
        let told = |id: &NodeId| self.ways.range((*id, 0)..=(*id, u64::MAX)).next().is_some();
        answer.all(|(id, _)| told(id))
    }

    /// The voter of another region that would be clearly better than the leader. Within the leader's own region there is
    /// nothing to gain; of one region it is the best voter, of equal ones that of the least number.
    pub(super) fn better(&self) -> Option<Better> {
        if self.writes.values().sum::<u64>() < WRITES_MIN || !self.all_told() {
            return None;
        }
        let now_us = self.expected(self.leader)?;
        let elsewhere = |v: &Voter| v.fit && v.region != self.region();
        let others = self.voters.iter().filter(|(_, v)| elsewhere(v));
        let expected = others.filter_map(|(id, _)| Some((self.expected(*id)?, *id)));
        let (then_us, to) = expected.min()?;
        let clear = then_us.saturating_mul(100) <= now_us.saturating_mul(100 - GAIN_PERCENT)
            && then_us.saturating_add(GAIN_US) <= now_us;
        clear.then_some(Better {
            to,
            now_us,
            then_us,
        })
    }

    /// Whom to hand over to in the region that leadership is pinned to; `None` where the leader stands there already, or
    /// nobody there is fit.
    pub(super) fn pinned(&self, region: &str) -> Option<NodeId> {
        if self.region() == region {
            return None;
        }
        let fit = |v: &Voter| v.fit && v.region == region;
        let there = self.voters.iter().filter(|(_, v)| fit(v));
        let expected = there.map(|(id, _)| (self.expected(*id).unwrap_or(u64::MAX), *id));
        expected.min().map(|(_, id)| id)
    }
}

/// How often in a row the same region was found better.
#[derive(Clone, Debug, Default)]
pub(super) struct Steady {
    region: String,
    times: u32,
}

impl Steady {
    /// Takes another look; a move once it is due for a leader that has led for so long.
    pub(super) fn look(&mut self, scene: &Scene, led: Duration, rest: Rest) -> Option<Better> {
        let better = scene.better();
        let region = better.and_then(|b| Some(scene.voters.get(&b.to)?.region.clone()));
        let Some(region) = region else {
            *self = Self::default();
            return None;
        };
        if region != self.region {
            *self = Self { region, times: 0 };
        }
        self.times = self.times.saturating_add(1);
        better.filter(|_| self.times >= LOOKS && led >= rest.sun)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
