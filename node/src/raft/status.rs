//! What a node knows of its group, copied out of openraft.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant, ServerState};
use tokio::sync::watch;

use super::types::{Config, Node, NodeId};

/// The metrics openraft publishes. Borrowed only for the length of a copy: holding the borrow stops
/// the node.
pub(super) type Metrics = WatchReceiverOf<Config, RaftMetrics<Config>>;

/// What a node is in its group at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Receives the log, has no vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Takes proposals.
    Leader,
    /// Stopped, by itself or by a failure: see [`Status::failure`].
    Stopped,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where and how to reach it.
    pub node: Node,
    /// Whether it votes; a learner does not.
    pub voter: bool,
    /// At the leader: how far its log is known to equal ours; `None` elsewhere or if unknown.
    pub matched: Option<u64>,
    /// At the leader: how long ago it last answered; `None` elsewhere, for the leader itself, or if never.
    pub heard: Option<Duration>,
}

/// A copy of a node's state in its group. Indexes are 0 before the first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node_id: NodeId,
    /// What it is.
    pub role: Role,
    /// The term it is in.
    pub term: u64,
    /// The leader it knows of.
    pub leader: Option<NodeId>,
    /// The end of its log.
    pub last_log: u64,
    /// How far it knows the log to be committed.
    pub committed: u64,
    /// How far the log is applied to its machine.
    pub applied: u64,
    /// What its newest snapshot covers.
    pub snapshot: u64,
    /// How far its log was deleted.
    pub purged: u64,
    /// The members, as far as its log says.
    pub members: BTreeMap<NodeId, Member>,
    /// At the leader: how long ago a majority last answered.
    pub quorum_age: Option<Duration>,
    /// Why the node stopped, if it did.
    pub failure: Option<String>,
}

impl Status {
    pub(super) fn of(metrics: &Metrics) -> Self {
        let metrics = metrics.borrow_watched().clone();
        let index = |id: Option<super::types::LogId>| id.map_or(0, |id| id.index);
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let matched = |id: NodeId| {
            metrics
                .replication
                .as_ref()
                .and_then(|replication| replication.get(&id).copied().flatten())
                .map(|id| id.index)
        };
        let heard = |id: NodeId| {
            let heartbeat = metrics.heartbeat.as_ref()?;
            Some(heartbeat.get(&id).copied().flatten()?.elapsed())
        };
        Self {
            node_id: metrics.id,
            role: match (metrics.running_state.is_ok(), metrics.state) {
                (false, _) | (_, ServerState::Shutdown) => Role::Stopped,
                (_, ServerState::Learner) => Role::Learner,
                (_, ServerState::Follower) => Role::Follower,
                (_, ServerState::Candidate) => Role::Candidate,
                (_, ServerState::Leader) => Role::Leader,
            },
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index(metrics.local_committed),
            applied: index(metrics.last_applied),
            snapshot: index(metrics.snapshot),
            purged: index(metrics.purged),
            members: membership
                .nodes()
                .map(|(&id, node)| {
                    let member = Member {
                        node: node.clone(),
                        voter: voters.contains(&id),
                        matched: matched(id),
                        heard: heard(id),
                    };
                    (id, member)
                })
                .collect(),
            quorum_age: metrics.last_quorum_acked.map(|at| at.elapsed()),
            failure: metrics.running_state.err().map(|error| error.to_string()),
        }
    }

    /// The leader with its address, as far as this node knows.
    pub fn leader_node(&self) -> Option<(NodeId, Node)> {
        let id = self.leader?;
        Some((id, self.members.get(&id)?.node.clone()))
    }
}

/// Follows the metrics with copies. Ends when openraft does.
pub(super) fn follow(mut metrics: Metrics) -> watch::Receiver<Status> {
    let (copies, status) = watch::channel(Status::of(&metrics));
    tokio::spawn(async move {
        while metrics.changed().await.is_ok() {
            let copy = Status::of(&metrics);
            if copies.is_closed() {
                return;
            }
            copies.send_if_modified(|last| {
                let changed = *last != copy;
                *last = copy;
                changed
            });
        }
    });
    status
}
