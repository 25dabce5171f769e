//! What a seed decides, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::ValueEnum;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// A process is killed: what the operating system has stays.
    Killed,
    /// A machine loses its power: what was not synced stays in part, by chance.
    LostPower,
    /// All of them do, at once.
    AllLostPower,
    /// A node hears the others no more, or they do not hear it, or both.
    CutOff,
    /// A region is cut off from the others.
    RegionCutOff,
    /// Two nodes hear each other no more.
    PairCut,
    /// Every connection of a node breaks; what was under way is lost.
    Snapped,
    /// Two regions are much further apart.
    SlowWay,
    /// A clock jumps.
    ClockWrong,
    /// A clock goes too fast or too slow.
    ClockDrifts,
    /// A leader is cut off, and so is the next one as soon as it is elected, while those who voted lose their power for
    /// a moment; the old one is heard again, and loses its power while it learns what it missed.
    Usurped,
    /// A disk takes longer for a sync.
    DiskSlow,
    /// A disk is full, which ends the node.
    DiskFull,
    /// All of them are.
    AllDisksFull,
    /// Leadership is moved by hand.
    Transferred,
    /// Leadership is pinned to a region, or let go.
    Pinned,
    /// A snapshot is taken by hand.
    Snapshot,
    /// A machine is lost for good, and another takes its place in the membership.
    Replaced,
    /// A node is killed, and a bit of its database, or a file beside it, is damaged before it comes back. Who refuses to
    /// start on that, or ends on it later, is lost for good.
    Damaged,
}

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How long the day is.
    pub lasts: Duration,
    /// What may fail; nothing else does.
    pub faults: BTreeSet<Fault>,
}

impl Plan {
    /// What fails on this day, each as often as it stands there. Not everything fails on every day: faults that happen
    /// all the time hide what others show.
    pub fn mix(&self, random: &mut ChaCha8Rng) -> Vec<Fault> {
        let mut mix = Vec::new();
        for &fault in &self.faults {
            if random.random_bool(0.6) {
                let times = random.random_range(1..4);
                mix.extend(std::iter::repeat_n(fault, times));
            }
        }
        mix
    }
}

/// What came of a day.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Nodes at the beginning.
    pub nodes: u64,
    /// Simulated seconds.
    pub seconds: u64,
    /// Chats taken in.
    pub chats: usize,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
    /// Times an agent was told that a chat is theirs.
    pub accepted: usize,
    /// What failed, by kind.
    pub faults: BTreeMap<String, u32>,
    /// Commands carried out, by kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Log index at the end.
    pub index: u64,
    /// Hash of the state, the same on every node.
    pub state: String,
    /// Hash of everything that was told, in order.
    pub trace: String,
}
