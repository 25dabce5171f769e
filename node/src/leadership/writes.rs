//! Where writes come from: counted by the node that handed them on, and half forgotten after about a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::raft::NodeId;

/// What a fresh write counts; a power of two, so that nothing is lost to rounding for long.
const ONE: u64 = 1 << 10;
/// Every count loses a sixteenth so often: half of it in 55 seconds.
const STEP: Duration = Duration::from_secs(5);
const LOSES: u64 = 16;
/// After so many steps nothing counts any more.
const STEPS_MAX: u128 = 1_000;

/// Counts writes of one leader, from the beginning of its term on.
#[derive(Debug)]
pub(super) struct Writes {
    counts: BTreeMap<NodeId, u64>,
    /// Up to when the past is forgotten.
    at: Instant,
}

impl Writes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counts: BTreeMap::new(),
            at: now,
        }
    }

    /// One more, handed on by `from`.
    pub(super) fn add(&mut self, from: NodeId, now: Instant) {
        self.forget(now);
        *self.counts.entry(from).or_default() += ONE;
    }

    /// How many count now, by node.
    pub(super) fn counts(&mut self, now: Instant) -> BTreeMap<NodeId, u64> {
        self.forget(now);
        let counts = self.counts.iter();
        counts.map(|(node, count)| (*node, count / ONE)).collect()
    }

    fn forget(&mut self, now: Instant) {
        let steps = now.saturating_duration_since(self.at).as_nanos() / STEP.as_nanos();
        if steps > STEPS_MAX {
            *self = Self::new(now);
            return;
        }
        for _ in 0..steps {
            self.at += STEP;
            self.counts.values_mut().for_each(|n| *n -= *n / LOSES);
            // Below this a sixteenth is nothing.
            self.counts.retain(|_, n| *n >= LOSES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_forgotten_in_a_minute_and_all_of_it_in_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut writes = Writes::new(start);
        for _ in 0..1_000 {
            writes.add(1, after(1));
        }
        writes.add(2, after(4));
        assert_eq!(
            writes.counts(after(4)),
            BTreeMap::from([(1, 1_000), (2, 1)])
        );
        let half = writes.counts(after(55))[&1];
        assert!((450..=510).contains(&half), "{half}");
        for _ in 0..half {
            writes.add(3, after(55));
        }
        assert_eq!(
            writes.counts(after(56))[&3],
            half,
            "as much as what is left"
        );
        assert!(writes.counts(after(1_500)).is_empty());
        writes.add(2, after(1_500));
        assert!(writes.counts(after(60_000)).is_empty(), "long ago");
    }
}
