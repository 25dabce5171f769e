//! The time a leader stamps on commands.
//!
//! It never falls behind what is already in the state, so that deadlines go on falling due after a leader
//! whose clock was ahead; within one term it goes at the pace of the monotonic clock and is drawn to the wall
//! clock at a tenth of that pace, so that a clock that is set does not make everything fall due at once.
//! What the wall clock is ahead for longer than [`STEP_AFTER`] is made up in one step: the machine slept.

use std::time::Duration;

use meridian_routing::ids::Millis;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A difference to the wall clock below this is made up gently.
const STEP_MS: Millis = 60_000;
/// A larger one must last this long before it is believed.
const STEP_AFTER: Duration = Duration::from_secs(30);
/// The base is moved this often, so that the difference made up grows with time and not with calls.
const BASE_EVERY: Duration = Duration::from_secs(1);

/// Tells the leader's time.
#[derive(Default)]
pub struct LeaderTime(Mutex<Option<Base>>);

#[derive(Clone, Copy)]
struct Base {
    term: u64,
    at: Millis,
    when: Instant,
    ahead_since: Option<Instant>,
}

impl LeaderTime {
    /// The time now in `term`. `when` is the monotonic clock, `wall` the wall clock, `state` the largest time
    /// in the state.
    pub fn now(&self, term: u64, when: Instant, wall: Millis, state: Millis) -> Millis {
        let mut base = self.0.lock();
        let Some(mut last) = base.filter(|b| b.term == term) else {
            let at = wall.max(state);
            *base = Some(Base {
                term,
                at,
                when,
                ahead_since: None,
            });
            return at;
        };
        let passed = when - last.when;
        let elapsed = Millis::try_from(passed.as_millis()).unwrap_or(Millis::MAX);
        let straight = last.at.saturating_add(elapsed);
        let off = wall.saturating_sub(straight);
        let mut at = straight + off.clamp(-elapsed / 10, elapsed / 10);
        if off < STEP_MS {
            last.ahead_since = None;
        } else if when - *last.ahead_since.get_or_insert(when) >= STEP_AFTER {
            tracing::warn!(
                ahead_ms = off,
                "the wall clock is far ahead of the time of the log; the time is set to it"
            );
            at = wall;
            last.ahead_since = None;
        }
        if passed >= BASE_EVERY || at == wall {
            (last.at, last.when) = (at, when);
        }
        *base = Some(last);
        at.max(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time by a monotonic clock that began at 0 and a wall clock, in ms.
    struct Clocks(LeaderTime, Instant);

    impl Clocks {
        fn new() -> Self {
            Self(LeaderTime::default(), Instant::now())
        }
        fn at(&self, term: u64, ms: u64, wall: Millis, state: Millis) -> Millis {
            self.0
                .now(term, self.1 + Duration::from_millis(ms), wall, state)
        }
    }

    #[test]
    fn a_clock_set_back_or_ahead_is_followed_gently() {
        let time = Clocks::new();
        assert_eq!(time.at(1, 0, 1_000_000, 0), 1_000_000);
        assert_eq!(time.at(1, 10_000, 1_010_000, 0), 1_010_000);
        let back = time.at(1, 20_000, 1_015_000, 0);
        assert_eq!(back, 1_019_000, "set back 5 s: a tenth slower");
        assert_eq!(time.at(1, 30_000, 1_025_000, 0), 1_028_000);
        assert_eq!(time.at(1, 130_000, 1_125_000, 0), 1_125_000, "made up");
        let ahead = time.at(1, 140_000, 1_185_000, 0);
        assert_eq!(ahead, 1_136_000, "50 s ahead: a tenth faster");
    }

    #[test]
    fn a_step_of_hours_is_believed_once_it_lasts() {
        let time = Clocks::new();
        time.at(1, 0, 0, 0);
        assert_eq!(time.at(1, 1_000, 36_001_000, 0), 1_100);
        assert_eq!(time.at(1, 2_000, 2_000, 0), 2_000, "it was a slip");
        assert!(time.at(1, 3_000, 36_003_000, 0) < 4_000);
        let slept = time.at(1, 34_000, 36_034_000, 0);
        assert_eq!(slept, 36_034_000, "the machine slept");
    }

    #[test]
    fn after_a_leader_whose_clock_was_ahead_time_goes_on() {
        let time = Clocks::new();
        assert_eq!(time.at(2, 0, 1_000, 500_000), 500_000);
        let at = time.at(2, 10_000, 11_000, 500_000);
        assert_eq!(at, 509_000, "deadlines fall due, a tenth slower");
    }

    #[test]
    fn many_calls_drift_no_faster_than_one() {
        let time = Clocks::new();
        let mut at = time.at(1, 0, 0, 0);
        for ms in 1..=20_000 {
            let now = time.at(1, ms, ms as Millis + 50_000, at);
            assert!(now >= at, "never backwards");
            at = now;
        }
        assert!((21_900..=22_100).contains(&at), "{at}");
    }
}
