//! Why a group could not be started, or could not do what it was asked to.

use std::time::Duration;

use openraft::errors::{
    ClientWriteError, Fatal, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};

use super::types::{Config, Node, NodeId};
use crate::storage::StorageError;

/// Why a group did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used; the error says what to do.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The configuration makes no sense.
    #[error("configuration: {0}")]
    Config(String),
    /// openraft refused what it read from the directory.
    #[error("Raft did not start: {0}")]
    Raft(#[from] Fatal<Config>),
}

/// Why a command was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead; nothing happened. Ask the leader, if one is known.
    #[error("this node is not the leader{}", named(leader.as_ref()))]
    NotLeader {
        /// The leader this node knows of.
        leader: Option<(NodeId, Node)>,
    },
    /// The leader changed before the outcome was known: the command may have been applied or may be
    /// applied yet. Ask again with the same request id.
    #[error("leadership changed, the outcome is not known{}", named(leader.as_ref()))]
    Unknown {
        /// The leader this node knows of.
        leader: Option<(NodeId, Node)>,
    },
    /// This node was elected, but no majority has answered it lately: at the start of its term, or
    /// because it is cut off. Nothing happened. Ask again after a heartbeat or so.
    #[error("no majority has answered this leader lately")]
    NoQuorum,
    /// Too many commands are under way, or too many entries of the log are not committed yet;
    /// nothing happened. Ask again a little later.
    #[error("{in_flight_max} commands are under way, no more are taken: ask again a little later")]
    Busy {
        /// The bound.
        in_flight_max: usize,
    },
    /// No command may be that long; nothing happened.
    #[error("a command of {bytes} bytes is longer than {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The group has stopped on this node.
    #[error("Raft has stopped on this node: {0}")]
    Stopped(String),
}

/// Why a linearizable read is not possible here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This node does not lead. Ask the leader, if one is known.
    #[error("this node is not the leader{}", named(leader.as_ref()))]
    NotLeader {
        /// The leader this node knows of.
        leader: Option<(NodeId, Node)>,
    },
    /// No majority answers: whether this node still leads is not known.
    #[error("no majority answers: {0}")]
    NoQuorum(String),
    /// The group has stopped on this node.
    #[error("Raft has stopped on this node: {0}")]
    Stopped(String),
}

/// Why a change of members or leader failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// This node does not lead. Ask the leader, if one is known.
    #[error("this node is not the leader{}", named(leader.as_ref()))]
    NotLeader {
        /// The leader this node knows of.
        leader: Option<(NodeId, Node)>,
    },
    /// There is no such member, or it is no voter where one is needed.
    #[error("node {id} is {what}")]
    Unsuitable {
        /// The node.
        id: NodeId,
        /// What it is instead.
        what: &'static str,
    },
    /// The node lags too far behind.
    #[error("node {id} lags {lag} entries behind, at most {max} are allowed: wait and ask again")]
    Lagging {
        /// The node.
        id: NodeId,
        /// By how many entries.
        lag: u64,
        /// How many are allowed.
        max: u64,
    },
    /// The node is further away than a voter may be.
    #[error(
        "node {id} is {measured:?} away, there and back; with the times in force a voter may be {max:?} away: place it closer, or give every node a greater round-trip-ms"
    )]
    TooFar {
        /// The node.
        id: NodeId,
        /// The round trip measured.
        measured: Duration,
        /// The longest allowed.
        max: Duration,
    },
    /// The node has not answered lately.
    #[error(
        "node {id} has not answered a heartbeat for more than {max:?}: see that it runs and is reached, or choose another"
    )]
    Silent {
        /// The node.
        id: NodeId,
        /// How long it may be silent.
        max: Duration,
    },
    /// Removing the last voter would end the group.
    #[error("node {id} is the only voter")]
    LastVoter {
        /// The node.
        id: NodeId,
    },
    /// The hand-over did not come about in time; another node may lead by now.
    #[error("leadership did not reach node {to} in time{}", named(leader.as_ref()))]
    Stalled {
        /// Who was to lead.
        to: NodeId,
        /// Who leads now, as far as known.
        leader: Option<(NodeId, Node)>,
    },
    /// openraft refused the change; for example because another one is under way.
    #[error("the change was refused: {0}")]
    Refused(String),
    /// The group has stopped on this node.
    #[error("Raft has stopped on this node: {0}")]
    Stopped(String),
}

fn named(leader: Option<&(NodeId, Node)>) -> String {
    match leader {
        Some((id, node)) => format!("; node {id} at {} is", node.address),
        None => String::new(),
    }
}

fn leader_of(forward: ForwardToLeader<Config>) -> Option<(NodeId, Node)> {
    forward.leader_id.zip(forward.leader_node)
}

impl From<RaftError<Config, ClientWriteError<Config>>> for ProposeError {
    fn from(error: RaftError<Config, ClientWriteError<Config>>) -> Self {
        match error {
            RaftError::Fatal(fatal) => Self::Stopped(fatal.to_string()),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                match forward.reason {
                    ForwardReason::LeaseExpired => Self::NoQuorum,
                    ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => {
                        Self::NotLeader {
                            leader: leader_of(forward),
                        }
                    }
                }
            }
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward)) => Self::Unknown {
                leader: leader_of(forward),
            },
            // Neither is about a plain command; if it comes, nothing can be said of the outcome.
            RaftError::APIError(
                ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_),
            ) => Self::Unknown { leader: None },
        }
    }
}

impl From<RaftError<Config, LinearizableReadError<Config>>> for ReadError {
    fn from(error: RaftError<Config, LinearizableReadError<Config>>) -> Self {
        match error {
            RaftError::Fatal(fatal) => Self::Stopped(fatal.to_string()),
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                Self::NotLeader {
                    leader: leader_of(forward),
                }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(quorum)) => {
                Self::NoQuorum(quorum.to_string())
            }
        }
    }
}

impl From<RaftError<Config, ClientWriteError<Config>>> for MemberError {
    fn from(error: RaftError<Config, ClientWriteError<Config>>) -> Self {
        match error {
            RaftError::Fatal(fatal) => Self::Stopped(fatal.to_string()),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Self::NotLeader {
                leader: leader_of(forward),
            },
            RaftError::APIError(other) => Self::Refused(other.to_string()),
        }
    }
}

impl From<Fatal<Config>> for MemberError {
    fn from(fatal: Fatal<Config>) -> Self {
        Self::Stopped(fatal.to_string())
    }
}
