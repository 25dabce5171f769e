//! Simulated people, over the same API as real ones: visitors who seek help, and agents who give it.

pub mod agent;
pub mod notes;
pub mod visitor;
pub mod ways;

use std::time::Duration;

use meridian_traffic::arrivals::LogNormal;
use meridian_traffic::draw::Draw;

/// How people go about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Habits {
    /// How many times faster than in life they act.
    pub people: f64,
    /// How long agents look at an offer before they accept it, in life.
    pub look: LogNormal,
    /// How long they talk with a visitor who does not say how long that takes, in life.
    pub talk: LogNormal,
    /// How long they write up a chat, in life.
    pub write_up: LogNormal,
    /// How long a broken session's chats wait for the agent to come back, in ms.
    pub grace_ms: u32,
    /// How many in a hundred visitors rate a talk that was answered.
    pub rate: u32,
    /// The same seed gives the same habits.
    pub seed: u64,
    /// Begins every request id of visitors, so that those of two runs are told apart; at most 40 bytes.
    pub run: String,
}

impl Habits {
    /// A length of life, as long as it takes here.
    pub fn here(&self, life_ms: f64) -> Duration {
        Duration::from_secs_f64((life_ms / self.people / 1_000.0).max(0.0))
    }

    fn drawn(&self, draw: &mut Draw, length: LogNormal) -> Duration {
        self.here(draw.log_normal(length.median_ms.into(), length.deviation))
    }
}
