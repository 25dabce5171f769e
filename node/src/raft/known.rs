//! What this node has learnt of the others: how far their logs go, and how far away they are.

use std::collections::VecDeque;
use std::time::Duration;

use super::types::LogId;

/// So many round trips are remembered; at one measurement in five seconds that is under two minutes.
const SAMPLES_MAX: usize = 20;
/// Fewer say nothing yet.
pub(super) const SAMPLES_MIN: usize = 3;

/// What was learnt of one node's log. Each part holds for one term.
#[derive(Default)]
pub(super) struct KnownLog {
    /// Committed there and on its disk, as it said in an election.
    pub(super) committed: Option<(u64, LogId)>,
    /// The furthest position it acknowledged to this node as its leader.
    pub(super) matched: Option<(u64, LogId)>,
    /// The term in which it was found to have lost what it had acknowledged.
    pub(super) reverted: Option<u64>,
}

impl KnownLog {
    /// Raises `matched`; a new term begins anew.
    pub(super) fn matches(&mut self, term: u64, position: LogId) {
        let before = self.matched.filter(|(of, _)| *of == term);
        let furthest = before.map_or(position, |(_, before)| before.max(position));
        self.matched = Some((term, furthest));
    }
}

/// What is remembered of one of the two.
pub(super) fn of_term(known: Option<(u64, LogId)>, term: u64) -> Option<LogId> {
    known.and_then(|(of, position)| (of == term).then_some(position))
}

/// The last round trips to one node.
#[derive(Default)]
pub(super) struct RoundTrips(VecDeque<Duration>);

impl RoundTrips {
    pub(super) fn add(&mut self, measured: Duration) {
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(measured);
    }

    pub(super) fn enough(&self) -> bool {
        self.0.len() >= SAMPLES_MIN
    }

    /// The one that nine of ten do not exceed; a single slow one among few does not count. `None`
    /// before there are enough.
    pub(super) fn high(&self) -> Option<Duration> {
        self.tenths(9)
    }

    /// The one in the middle; a machine that is busy half of the time does not look far away. `None` before there are
    /// enough.
    pub(super) fn usual(&self) -> Option<Duration> {
        self.tenths(5)
    }

    fn tenths(&self, tenths: usize) -> Option<Duration> {
        if !self.enough() {
            return None;
        }
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get((sorted.len() - 1) * tenths / 10).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_round_trip_forgives_an_outlier_and_forgets_the_past() {
        let ms = Duration::from_millis;
        let mut trips = RoundTrips::default();
        trips.add(ms(900));
        trips.add(ms(10));
        assert_eq!(trips.high(), None, "too few");
        trips.add(ms(11));
        assert_eq!(trips.high(), Some(ms(11)));
        assert_eq!(trips.usual(), Some(ms(11)));
        for _ in 0..SAMPLES_MAX {
            trips.add(ms(200));
        }
        assert_eq!(trips.high(), Some(ms(200)));
        trips.add(ms(999));
        assert_eq!(trips.high(), Some(ms(200)));
        for n in 0..SAMPLES_MAX {
            trips.add(ms(if n % 3 == 0 { 80 } else { 5 }));
        }
        assert_eq!((trips.high(), trips.usual()), (Some(ms(80)), Some(ms(5))));
        for _ in 0..SAMPLES_MAX {
            trips.add(ms(5));
        }
        assert_eq!(trips.high(), Some(ms(5)));
    }

    #[test]
    fn what_was_acknowledged_only_grows_within_a_term_and_is_void_after_it() {
        let at = |term: u64, index| LogId::new(term.into(), index);
        let mut log = KnownLog::default();
        log.matches(3, at(3, 9));
        log.matches(3, at(2, 7));
        assert_eq!(of_term(log.matched, 3), Some(at(3, 9)));
        assert_eq!(of_term(log.matched, 4), None);
        log.matches(4, at(2, 7));
        assert_eq!(of_term(log.matched, 4), Some(at(2, 7)));
    }
}
