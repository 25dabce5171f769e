//! What came of the day, in figures: the report `meridian demo` prints.

use std::collections::BTreeMap;

use serde::Serialize;

/// First new commit after the leader's region is killed, at the default round trips.
pub const FAILOVER_TARGET_MS: u64 = 4_000;

/// What came of a region's end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Failover {
    /// The region killed.
    pub region: String,
    /// Whether its node led.
    pub led: bool,
    /// From just before SIGKILL to the first new commit, in ms.
    pub failover_ms: u64,
    /// Longest time without a leader by the timings in force, in ms, as the survivors say.
    pub bound_ms: u64,
    /// What the default round trips must keep to; `null` with others.
    pub target_ms: Option<u64>,
    /// From its restart until it had caught up, in ms.
    pub back_ms: u64,
}

impl Failover {
    /// In words.
    pub fn told(&self) -> String {
        let target = self
            .target_ms
            .map_or(String::new(), |ms| format!(", target {ms} ms"));
        format!(
            "first new commit {} ms after the kill (bound {} ms by the timings in force{target})",
            self.failover_ms, self.bound_ms
        )
    }
}

/// The report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Repeats the day.
    pub seed: u64,
    /// Chats asked for: accepted, refused or unknown.
    pub offered: u64,
    /// Chats the cluster took in.
    pub accepted: u64,
    /// Chats it refused, by reason; asked again by nobody.
    pub refused: BTreeMap<String, u64>,
    /// Chats asked for without an answer in time; each may have been taken in.
    pub unknown: u64,
    /// Chats an agent answered, and that are over.
    pub answered: u64,
    /// Chats whose visitor left before.
    pub abandoned: u64,
    /// Chats put off to a later time.
    pub deferred: u64,
    /// Chats put off too often.
    pub expired: u64,
    /// Chats still open at the end.
    pub open: u64,
    /// Accepted chats that the cluster no longer knows: must be 0.
    pub lost: u64,
    /// Chats that had two owners at once: must be 0.
    pub double_assigned: u64,
    /// Agents who ever carried more than their capacity: must be 0.
    pub over_capacity: u64,
    /// Chats the cluster holds though nobody can have asked for them: must be 0; `null` where the day was too
    /// long to tell.
    pub ghosts: Option<u64>,
    /// Acknowledgements compared with the cluster's own story.
    pub acknowledgements: u64,
    /// From SIGKILL of the leader's region to the first new commit.
    pub failover_ms: Option<u64>,
    /// The region killed.
    pub failure: Option<Failover>,
    /// From arrival to answer by the cluster's clock, in ms of this machine (people act 20 times as fast as
    /// in life).
    pub wait_ms: Percentiles,
    /// From coming to seeing an answer by the visitor's clock.
    pub felt_wait_ms: Percentiles,
    /// How long those waited who left before an answer.
    pub abandoned_wait_ms: Percentiles,
    /// Share of answered chats whose agent speaks a language the visitor listed, as working language or better.
    pub language_match_share: f64,
    /// Share of answered chats whose agent speaks the visitor's first language, so well.
    pub first_language_share: f64,
    /// Share of answered chats served through machine translation.
    pub machine_translated_share: f64,
    /// Chats answered in each hour of the day by the region of the agent.
    pub by_hour: BTreeMap<String, Vec<u64>>,
    /// Chats answered once the day was over.
    pub after_midnight: u64,
    /// How much faster than in life people act.
    pub human_speed: u64,
    /// How long the day took, in ms.
    pub day_ms: i64,
    /// What the audit found wrong; empty = nothing.
    pub faults: Vec<String>,
}

/// Waiting times in ms, by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// How many waited.
    pub count: usize,
    /// Half waited at most this.
    pub p50: i64,
    /// Nine in ten.
    pub p90: i64,
    /// Ninety-nine in a hundred.
    pub p99: i64,
    /// The longest.
    pub max: i64,
}

impl Percentiles {
    /// Of these waits, in any order.
    pub fn of(mut waits: Vec<i64>) -> Self {
        waits.sort_unstable();
        // Nearest rank: the smallest wait that at least so many in a hundred did not exceed.
        let at = |percent: usize| {
            let rank = (waits.len() * percent).div_ceil(100);
            rank.checked_sub(1)
                .and_then(|i| waits.get(i))
                .copied()
                .unwrap_or(0)
        };
        Self {
            count: waits.len(),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let of = |waits: Vec<i64>| {
            let p = Percentiles::of(waits);
            (p.p50, p.p90, p.p99, p.max)
        };
        assert_eq!(Percentiles::of(vec![]), Percentiles::default());
        assert_eq!(of(vec![7]), (7, 7, 7, 7));
        assert_eq!(of((1..=100).rev().collect()), (50, 90, 99, 100));
        assert_eq!(of((1..=10).collect()), (5, 9, 10, 10));
        assert_eq!(of(vec![1, 2, 3]), (2, 3, 3, 3));
    }
}
