//! What a node knows of its group, copied out of openraft.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{Instant as _, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

use super::peers::Peers;
use super::timing::Timing;
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
    /// At the leader: when the last message it answered was sent; `None` elsewhere, for the leader
    /// itself, or if it never answered.
    pub heard: Option<Instant>,
    /// The way there and back from here: nine of the last ten were not longer. `None` for this node
    /// and until it has been measured.
    pub round_trip: Option<Duration>,
    /// Whether that is more than the times in force allow a voter; see [`Timing::round_trip_max`].
    pub too_far: bool,
    /// The newest rules its machine knows; `None` for this node and until it has said so.
    pub rules: Option<u32>,
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
    /// Whether a change of voters is under way: decisions need a majority of the old and of the new.
    pub joint: bool,
    /// At the leader: when the last message was sent that a majority answered.
    pub quorum_heard: Option<Instant>,
    /// Why the node stopped, if it did.
    pub failure: Option<String>,
}

impl Status {
    pub(super) fn of(metrics: &Metrics, peers: &Peers, timing: &Timing) -> Self {
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
            instant(heartbeat.get(&id).copied().flatten()?.into_inner())
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
                    let round_trip = peers.round_trip(id);
                    let member = Member {
                        node: node.clone(),
                        voter: voters.contains(&id),
                        matched: matched(id),
                        heard: heard(id),
                        round_trip,
                        rules: peers.rules(id),
                        too_far: round_trip.is_some_and(|way| way > timing.round_trip_max()),
                    };
                    (id, member)
                })
                .collect(),
            joint: membership.get_joint_config().len() > 1,
            quorum_heard: metrics
                .last_quorum_acked
                .and_then(|at| instant(at.into_inner())),
            failure: metrics.running_state.err().map(|error| error.to_string()),
        }
    }

    /// Makes this the status of a core that has ended.
    fn end(&mut self) {
        self.role = Role::Stopped;
        self.leader = None;
        self.failure
            .get_or_insert_with(|| "the Raft core ended; its last words are in the log".to_owned());
    }

    /// Whether the two differ in nothing but times: those change with every heartbeat, and nobody
    /// need wake for them.
    fn says_the_same(&self, other: &Self) -> bool {
        let plain = |s: &Self| {
            let indexes = (s.last_log, s.committed, s.applied, s.snapshot, s.purged);
            (s.node_id, s.role, s.term, s.leader, indexes, s.joint)
        };
        let alike = |(a, b): (&Member, &Member)| {
            let plain = |m: &Member| (m.voter, m.matched, m.rules, m.too_far);
            a.node == b.node && plain(a) == plain(b)
        };
        plain(self) == plain(other)
            && self.failure == other.failure
            && self.members.keys().eq(other.members.keys())
            && self.members.values().zip(other.members.values()).all(alike)
    }

    /// The mark of the cluster's founding; empty while none is known.
    pub fn founded(&self) -> &str {
        let mut members = self.members.values();
        members.next().map_or("", |m| &m.node.founded)
    }

    /// The leader with its address, as far as this node knows.
    pub fn leader_node(&self) -> Option<(NodeId, Node)> {
        let id = self.leader?;
        Some((id, self.members.get(&id)?.node.clone()))
    }
}

/// openraft's instants are tokio's, but do not show it.
fn instant(at: InstantOf<Config>) -> Option<Instant> {
    Instant::now().checked_sub(at.elapsed())
}

/// Follows the metrics with copies. Ends when openraft does, with a copy that says so: the core may
/// die without a word, and what it published last would look alive for ever.
pub(super) fn follow(
    mut metrics: Metrics,
    peers: Peers,
    timing: Timing,
) -> watch::Receiver<Status> {
    let (copies, status) = watch::channel(Status::of(&metrics, &peers, &timing));
    tokio::spawn(async move {
        let mut known: BTreeMap<NodeId, Node> = BTreeMap::new();
        // The term it leads, and since when.
        let mut leads = None;
        loop {
            let copy = Status::of(&metrics, &peers, &timing);
            let members = copy.members.iter().map(|(id, m)| (id, &m.node));
            if !members.clone().eq(&known) {
                known = members.map(|(id, node)| (*id, node.clone())).collect();
                peers.members_are(known.clone());
            }
            leads = match leads {
                _ if copy.role != Role::Leader => None,
                Some((term, since)) if term == copy.term => Some((term, since)),
                _ => Some((copy.term, Instant::now())),
            };
            let alone = copy
                .members
                .iter()
                .all(|(id, m)| !m.voter || *id == copy.node_id);
            peers.answered(
                leads
                    .filter(|_| !alone)
                    .map(|(_, since)| copy.quorum_heard.map_or(since, |at| at.max(since))),
            );
            copies.send_if_modified(|last| {
                let changed = !last.says_the_same(&copy);
                *last = copy;
                changed
            });
            if copies.is_closed() {
                return;
            }
            if metrics.changed().await.is_err() {
                copies.send_modify(Status::end);
                return;
            }
        }
    });
    status
}
