//! What happened, in order, on the simulated clock.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A story. Clones write into the same one.
#[derive(Clone)]
pub struct Trace {
    began: Instant,
    text: Arc<Mutex<String>>,
    aloud: bool,
}

impl Trace {
    /// An empty one; `aloud` prints each line at once, too.
    pub fn new(aloud: bool) -> Self {
        Self {
            began: Instant::now(),
            text: Arc::default(),
            aloud,
        }
    }

    /// Adds a line.
    pub fn tell(&self, what: impl AsRef<str>) {
        let at = self.began.elapsed().as_millis();
        let what = what.as_ref();
        if self.aloud {
            println!("{at:>9} {what}");
        }
        // A string takes everything.
        let _ = writeln!(self.text.lock(), "{at:>9} {what}");
    }

    /// A hash of all of it (FNV-1a).
    pub fn hash(&self) -> u64 {
        let text = self.text.lock();
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
