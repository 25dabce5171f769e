//! What came of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ground::Kind;
use crate::recovery::Figures;

/// What came of it. That there is one says that no invariant was broken, nothing acknowledged was lost, no chat had two
/// owners, nobody carried more than they can, and every answer was linearizable: the first breach ends everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where the nodes stood.
    pub ground: Kind,
    /// The seed.
    pub seed: u64,
    /// Rounds of faults.
    pub rounds: u32,
    /// How long it took.
    pub seconds: u64,
    /// Chats taken in.
    pub chats: usize,
    /// Requests of which nobody knows what became.
    pub unknown: u64,
    /// Times an agent was told that a chat is theirs.
    pub accepted: usize,
    /// What failed, by kind.
    pub faults: BTreeMap<String, u32>,
    /// Damaged nodes that refused to start.
    pub damaged_refused: u32,
    /// Damaged nodes that started, as they did not need what was damaged.
    pub damaged_unharmed: u32,
    /// Commands carried out, by kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Longest round trip between nodes, in ms.
    pub round_trip_ms: u128,
    /// How long the nodes expect to be without a leader at most, in ms, and a command to be committed after.
    pub bound_ms: u128,
    /// How long nobody was taken in after each kind of loss.
    pub recovery: BTreeMap<String, Figures>,
    /// Log index at the end.
    pub index: u64,
    /// Hash of the state, the same on every node.
    pub state: String,
}
