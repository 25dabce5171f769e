//! What a node takes from the world, given to it at assembly, so that a simulator can give something else:
//! the clock and randomness here; the network by [`crate::raft`]'s dial and listeners, the disk by its
//! directory. Nothing below `main` reaches for a global of these.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use meridian_routing::ids::Millis;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// UTC milliseconds since 1970.
    fn now(&self) -> Millis;
}

/// Makes numbers nobody can guess, or that a seed decides.
pub trait Random: Send + Sync + 'static {
    /// The next number.
    fn next(&self) -> u64;
}

/// The world a node lives in.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Environment {
    /// The real world.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(WallClock),
            random: Arc::new(ThreadRandom),
        }
    }

    /// A new id: the time first, so that ids sort by it, then randomness; 26 characters of a-z and 0-9.
    pub fn id(&self) -> String {
        let bits = (u128::from(self.clock.now().max(0).unsigned_abs()) << 80)
            | (u128::from(self.random.next()) << 16)
            | u128::from(self.random.next() & 0xffff);
        // Five bits a letter, without i, l, o and u, which are easily misread.
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        (0..26)
            .rev()
            .map(|i| LETTERS[((bits >> (5 * i)) & 31) as usize] as char)
            .collect()
    }
}

struct WallClock;
impl Clock for WallClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

struct ThreadRandom;
impl Random for ThreadRandom {
    fn next(&self) -> u64 {
        rand::random()
    }
}

/// Numbers a seed decides (splitmix64, by Steele, Lea and Flood 2014).
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_a_seed_decides_the_rest() {
        struct Fixed(Millis);
        impl Clock for Fixed {
            fn now(&self) -> Millis {
                self.0
            }
        }
        let at = |now, seed| {
            Environment {
                clock: Arc::new(Fixed(now)),
                random: Arc::new(SeededRandom::new(seed)),
            }
            .id()
        };
        assert_eq!(at(1_700_000_000_000, 7), at(1_700_000_000_000, 7));
        assert_ne!(at(1_700_000_000_000, 7), at(1_700_000_000_000, 8));
        assert!(at(1_700_000_000_000, 9) < at(1_700_000_000_001, 1));
        assert_eq!(at(5, 5).len(), 26);
    }
}
