//! Raft's times, derived from the worst round trip between any two voters and the slowest sync of a disk.
//!
//! How openraft uses them, which is not how their names read:
//! - `heartbeat_interval` is also the time after which a heartbeat or the start of an append stream
//!   is given up, and we are to answer within three quarters of it. Below the round trip no
//!   heartbeat ever succeeds.
//! - A vote is given up after `election_timeout_min`; we are to answer within three quarters of it. A voter answers once
//!   its disk has the vote, so with slower disks nobody would ever be elected.
//! - A follower trusts its leader for `election_timeout_max` (the lease) after the last message,
//!   then waits for a random time between the two, and only then asks for a pre-vote.

use std::time::Duration;

/// No shorter: a busy machine or a slow sync must not look like a dead leader.
const HEARTBEAT_FLOOR_MS: u64 = 100;
const ELECTION_FLOOR_MS: u64 = 200;
/// The random part of the wait; too narrow and two nodes campaign against each other.
const SPREAD_FLOOR_MS: u64 = 300;
/// A longer round trip is a wrong measurement, or a place no voter should be.
const ROUND_TRIP_MAX_MS: u64 = 1_000;
/// A slower disk is broken.
const SYNC_MAX_MS: u64 = 1_000;
/// Scheduling during an election, in all.
const ELECTION_WORK_MS: u64 = 50;
/// Syncs that follow each other from a candidate's vote to the first entry on a majority's disks: the candidate's vote,
/// the voter's, the follower's that it is elected, the entry.
const ELECTION_SYNCS: u64 = 4;

/// Why times were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// No voter should be that far away.
    #[error(
        "a round trip of {worst_round_trip_ms} ms between voters is more than {max} ms: place the voters closer, or make the far node a learner",
        max = ROUND_TRIP_MAX_MS
    )]
    RoundTripTooLong {
        /// The round trip given.
        worst_round_trip_ms: u64,
    },
    /// Heartbeats would be given up before their answers come back.
    #[error(
        "a heartbeat is given up after three quarters of its interval ({heartbeat_ms} ms), which is not above the worst round trip of {worst_round_trip_ms} ms: no heartbeat would ever succeed"
    )]
    HeartbeatTooShort {
        /// The interval given.
        heartbeat_ms: u64,
        /// The worst round trip.
        worst_round_trip_ms: u64,
    },
    /// One lost heartbeat would start an election.
    #[error(
        "the election time-outs ({election_min_ms} to {election_max_ms} ms) must be above the heartbeat interval ({heartbeat_ms} ms), the longest at least twice that, or one lost heartbeat starts an election"
    )]
    ElectionTooShort {
        /// The shortest election time-out given.
        election_min_ms: u64,
        /// The longest election time-out given.
        election_max_ms: u64,
        /// The heartbeat interval given.
        heartbeat_ms: u64,
    },
    /// Candidates would keep splitting the vote.
    #[error(
        "the election time-outs ({election_min_ms} to {election_max_ms} ms) must be at least one round trip ({worst_round_trip_ms} ms) and {floor} ms apart, or candidates split the vote",
        floor = SPREAD_FLOOR_MS / 3
    )]
    SpreadTooNarrow {
        /// The shortest election time-out given.
        election_min_ms: u64,
        /// The longest election time-out given.
        election_max_ms: u64,
        /// The worst round trip.
        worst_round_trip_ms: u64,
    },
    /// No disk of a voter should be that slow.
    #[error(
        "a sync that takes {slowest_sync_ms} ms is more than {max} ms: such a disk is broken",
        max = SYNC_MAX_MS
    )]
    SyncTooLong {
        /// The time given.
        slowest_sync_ms: u64,
    },
    /// Votes would be given up before the voter's disk has them.
    #[error(
        "a vote is given up after three quarters of the shortest election time-out ({election_min_ms} ms), which is not above the worst round trip and the slowest sync together ({worst_round_trip_ms} and {slowest_sync_ms} ms): nobody would ever be elected"
    )]
    VoteTooShort {
        /// The shortest election time-out given.
        election_min_ms: u64,
        /// The worst round trip.
        worst_round_trip_ms: u64,
        /// The slowest sync.
        slowest_sync_ms: u64,
    },
}

/// A checked set of times. All in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    worst_round_trip_ms: u64,
    slowest_sync_ms: u64,
    heartbeat_ms: u64,
    election_min_ms: u64,
    election_max_ms: u64,
}

impl Timing {
    /// The times for a cluster whose voters are at worst `worst_round_trip_ms` apart and whose disks take at worst
    /// `slowest_sync_ms` for a sync (take the 99.9th percentile of both, 0 for voters on one machine).
    ///
    /// # Errors
    /// [`TimingError::RoundTripTooLong`] and [`TimingError::SyncTooLong`] above one second.
    pub fn derive(worst_round_trip_ms: u64, slowest_sync_ms: u64) -> Result<Self, TimingError> {
        let (rtt, sync) = (worst_round_trip_ms, slowest_sync_ms);
        // Half a round trip of slack above it, of which three quarters count.
        let heartbeat = (rtt * 3 / 2 + 20).max(HEARTBEAT_FLOOR_MS);
        // The lease in front of the wait is what forgives lost heartbeats, so the wait may start
        // low; that leaves room for a wide spread, which is what keeps two from campaigning at once.
        let vote = (rtt + sync) * 4 / 3 + 4;
        let min = (heartbeat * 8 / 7).max(vote).max(ELECTION_FLOOR_MS);
        let max = min + (rtt * 3).max(SPREAD_FLOOR_MS);
        Self::new((rtt, sync), heartbeat, (min, max))
    }

    /// Times chosen by hand.
    ///
    /// # Errors
    /// [`TimingError`] says which rule they break and why it is one.
    pub fn new(
        (worst_round_trip_ms, slowest_sync_ms): (u64, u64),
        heartbeat_ms: u64,
        (election_min_ms, election_max_ms): (u64, u64),
    ) -> Result<Self, TimingError> {
        if slowest_sync_ms > SYNC_MAX_MS {
            return Err(TimingError::SyncTooLong { slowest_sync_ms });
        }
        if worst_round_trip_ms > ROUND_TRIP_MAX_MS {
            return Err(TimingError::RoundTripTooLong {
                worst_round_trip_ms,
            });
        }
        if heartbeat_ms * 3 / 4 <= worst_round_trip_ms {
            return Err(TimingError::HeartbeatTooShort {
                heartbeat_ms,
                worst_round_trip_ms,
            });
        }
        // openraft asks for this much; it is also how long a vote may take.
        if election_min_ms <= heartbeat_ms || election_max_ms < heartbeat_ms * 2 {
            return Err(TimingError::ElectionTooShort {
                election_min_ms,
                election_max_ms,
                heartbeat_ms,
            });
        }
        if election_min_ms * 3 / 4 <= worst_round_trip_ms + slowest_sync_ms {
            return Err(TimingError::VoteTooShort {
                election_min_ms,
                worst_round_trip_ms,
                slowest_sync_ms,
            });
        }
        let spread = worst_round_trip_ms.max(SPREAD_FLOOR_MS / 3);
        if election_max_ms < election_min_ms + spread {
            return Err(TimingError::SpreadTooNarrow {
                election_min_ms,
                election_max_ms,
                worst_round_trip_ms,
            });
        }
        Ok(Self {
            worst_round_trip_ms,
            slowest_sync_ms,
            heartbeat_ms,
            election_min_ms,
            election_max_ms,
        })
    }

    /// The worst round trip these times are for.
    pub fn worst_round_trip(&self) -> Duration {
        Duration::from_millis(self.worst_round_trip_ms)
    }

    /// No voter may be further away: a heartbeat is given up when it takes longer.
    pub fn round_trip_max(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms * 3 / 4)
    }

    /// Who has not answered for longer has missed two heartbeats and is no heir of leadership.
    pub fn silence_max(&self) -> Duration {
        Duration::from_millis(3 * self.heartbeat_ms + self.worst_round_trip_ms)
    }

    /// Between two heartbeats, and how long one may take.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// The shortest wait before a campaign, and how long a vote may take.
    pub fn election_min(&self) -> Duration {
        Duration::from_millis(self.election_min_ms)
    }

    /// The longest wait before a campaign, and the lease of a leader.
    pub fn election_max(&self) -> Duration {
        Duration::from_millis(self.election_max_ms)
    }

    /// How long one voter has for its campaign before the next one may begin: a pre-vote there and back, its own vote on
    /// its disk, and the request on its way, which ends everybody else's campaign.
    pub(super) fn turn(&self) -> Duration {
        Duration::from_millis(
            self.worst_round_trip_ms * 3 / 2 + self.slowest_sync_ms + ELECTION_WORK_MS,
        )
    }

    /// The longest time from a leader's death to the first commit under the next one, when a
    /// majority is left, the first candidate wins, and no message is lost: the lease, the longest
    /// wait, then a round trip each for pre-vote and vote, two to find where the logs meet, and one
    /// for the first entry, with a sync of a disk here and there. The wait is saved when the others
    /// can talk (see `succession`); a split vote adds up to another [`Timing::election_max`] and two
    /// round trips.
    pub fn failover_bound(&self) -> Duration {
        // openraft looks at its clocks 64/13 times per heartbeat; lease and wait each end on a look.
        let tick = self.heartbeat_ms * 13 / 64 + 1;
        Duration::from_millis(
            2 * self.election_max_ms
                + 5 * self.worst_round_trip_ms
                + ELECTION_SYNCS * self.slowest_sync_ms
                + 2 * tick
                + ELECTION_WORK_MS,
        )
    }

    /// Whether a leader that a majority last answered `ago` keeps quiet. Were it to send without
    /// hearing, the others would follow it for ever; were it quiet for good, it would not notice that
    /// it is answered again. So it is quiet and probes by turns. openraft does so with heartbeats
    /// alone, but every append keeps the others waiting as well.
    pub(super) fn keeps_quiet(&self, ago: Duration) -> bool {
        let over = ago.checked_sub(self.election_max());
        over.is_some_and(|over| (over.as_millis() / u128::from(self.probe_ms())).is_multiple_of(2))
    }

    fn probe_ms(&self) -> u64 {
        3 * self.election_max_ms
    }

    /// openraft's configuration with these times. A snapshot is taken every `snapshot_every`
    /// entries; `log_to_keep` entries before it stay, for followers that lag a little.
    pub(super) fn config(
        &self,
        name: &str,
        snapshot_every: u64,
        log_to_keep: u64,
    ) -> openraft::Config {
        openraft::Config {
            cluster_name: name.to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            enable_pre_vote: Some(true),
            // A leader that hears no majority keeps quiet for a while, so that one whose incoming
            // links alone are cut does not hold the others back for ever.
            quorum_loss_probe_interval: Some(self.probe_ms()),
            // A restarted leader asks for votes: its state may be older than what it once served.
            enable_leader_restore: Some(false),
            // A removed leader stays until the others have heard that it is.
            removed_leader_step_down: openraft::StepDownPolicy::After(
                150 + 2 * self.worst_round_trip_ms,
            ),
            // For the installing side too: loading a big snapshot takes its time.
            install_snapshot_timeout: 60_000.max(20 * self.worst_round_trip_ms),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(snapshot_every),
            max_in_snapshot_log_to_keep: log_to_keep,
            purge_batch_size: (log_to_keep / 4).max(1),
            // As long as the log still holds what a follower lacks, sending that is cheaper.
            replication_lag_threshold: snapshot_every + log_to_keep,
            backoff: format!("{}ms ...1000ms", self.heartbeat_ms / 2),
            ..openraft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_times_hold_for_every_distance_and_openraft_accepts_them() {
        for rtt in 0..=ROUND_TRIP_MAX_MS {
            for sync in [0, 1, 50, 333, SYNC_MAX_MS] {
                let timing = Timing::derive(rtt, sync).unwrap();
                timing.config("c", 10_000, 1_000).validate().unwrap();
            }
        }
        assert!(matches!(
            Timing::derive(ROUND_TRIP_MAX_MS + 1, 0),
            Err(TimingError::RoundTripTooLong { .. })
        ));
        assert!(matches!(
            Timing::derive(0, SYNC_MAX_MS + 1),
            Err(TimingError::SyncTooLong { .. })
        ));
    }

    #[test]
    fn a_planet_fails_over_within_four_seconds_and_a_lan_much_sooner() {
        assert!(Timing::derive(220, 50).unwrap().failover_bound() < Duration::from_secs(4));
        assert!(Timing::derive(1, 50).unwrap().failover_bound() < Duration::from_millis(1_500));
    }

    #[test]
    fn a_leader_nobody_answers_is_quiet_and_probes_by_turns() {
        let timing = Timing::new((0, 0), 100, (200, 500)).unwrap();
        let quiet = |ms| timing.keeps_quiet(Duration::from_millis(ms));
        assert!(!quiet(0) && !quiet(499));
        assert!(quiet(500) && quiet(1_999));
        assert!(!quiet(2_000) && !quiet(3_499));
        assert!(quiet(3_500));
    }

    #[test]
    fn bad_combinations_are_refused_with_the_reason() {
        assert!(matches!(
            Timing::new((220, 0), 250, (600, 1_200)),
            Err(TimingError::HeartbeatTooShort { .. })
        ));
        assert!(matches!(
            Timing::new((10, 0), 100, (100, 600)),
            Err(TimingError::ElectionTooShort { .. })
        ));
        assert!(matches!(
            Timing::new((220, 0), 350, (700, 800)),
            Err(TimingError::SpreadTooNarrow { .. })
        ));
        assert!(matches!(
            Timing::new((220, 400), 350, (700, 1_400)),
            Err(TimingError::VoteTooShort { .. })
        ));
    }
}
