//! What everybody who uses the cluster shares, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::ledger::Ledger;
use crate::trace::Trace;
use crate::world::Day;

/// How long anybody waits for one answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How people reach nodes.
pub trait Ways: Send + Sync + 'static {
    /// The channel of a person to a node, from where they are.
    fn channel(&self, from: Person, node: u64) -> Channel;
}

/// Somebody, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// Nobody else has it.
    pub number: u64,
    /// The region they are in.
    pub region: usize,
}

/// What the cluster promised to people.
#[derive(Default)]
pub struct Promises {
    /// Chats taken in, by the request that started each.
    pub chats: BTreeMap<String, String>,
    /// Chats that an agent was told are theirs.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
}

/// Where the day stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// People come, and things fail.
    Day,
    /// Nobody comes any more and nothing fails; agents do their best.
    Evening,
    /// Everybody goes home.
    Over,
}

/// What everybody shares.
#[derive(Clone)]
pub struct Stage {
    /// How they reach the nodes.
    pub ways: Arc<dyn Ways>,
    /// What happens, in order.
    pub trace: Trace,
    /// What was promised.
    pub promises: Arc<Mutex<Promises>>,
    /// What was decided.
    pub ledger: Arc<Ledger>,
    /// The nodes there are.
    pub nodes: Arc<Mutex<Vec<u64>>>,
    /// The day.
    pub day: Day,
    /// Where it stands.
    pub turn: watch::Receiver<Turn>,
}

impl Stage {
    /// Any node.
    pub fn some_node(&self, random: &mut ChaCha8Rng) -> u64 {
        let nodes = self.nodes.lock();
        nodes[random.random_range(0..nodes.len())]
    }

    /// Any chat that was taken in.
    pub fn some_chat(&self, random: &mut ChaCha8Rng) -> Option<String> {
        let promises = self.promises.lock();
        let count = promises.chats.len();
        let which = (count > 0).then(|| random.random_range(0..count))?;
        promises.chats.values().nth(which).cloned()
    }

    /// Where the day stands.
    pub fn now(&self) -> Turn {
        *self.turn.borrow()
    }

    /// Returns when the day has come so far.
    pub async fn comes(&self, turn: Turn) {
        let mut turns = self.turn.clone();
        // An error means that nobody is left to say so.
        let _ = turns.wait_for(|now| *now >= turn).await;
    }

    /// Sleeps, but no longer than until the day has come so far; whether it has.
    pub async fn rests(&self, pause: Duration, turn: Turn) -> bool {
        tokio::select! {
            biased;
            () = self.comes(turn) => true,
            () = sleep(pause) => false,
        }
    }
}

/// Between two amounts of time.
pub fn between(random: &mut ChaCha8Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(random.random_range(least..most))
}

/// Waits for an answer, but not for ever.
pub async fn answered<T>(
    asks: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match timeout(ANSWER_WITHIN, asks).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("nobody answered")),
    }
}
