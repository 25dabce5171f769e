//! The types openraft works with here.

use std::fmt;

use openraft::type_config::alias;
use serde::{Deserialize, Serialize};

/// A node's number: one node, one log, for the life of the cluster. Never given out twice.
pub type NodeId = u64;

/// A command as the state machine reads it; opaque to this layer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Vec<u8>);

/// What the state machine answered to a command; empty for entries that are no commands.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reply(pub Vec<u8>);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Where a member is reached and in which region it stands; replicated with the membership.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Node {
    /// The address other nodes dial, as `host:port`.
    pub address: String,
    /// The region's name.
    pub region: String,
    /// The mark of the cluster's founding, the same for every member. A cluster that was restored or recovered has one
    /// of its own, by which it is told from the one it came from. Empty where the cluster is older than marks are.
    pub founded: String,
}

openraft::declare_raft_types!(
    /// openraft's view of Meridian: standard Raft, one leader a term.
    pub Config:
        D = Proposal,
        R = Reply,
        NodeId = NodeId,
        Node = Node,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

/// A position in the log: term and index.
pub type LogId = alias::LogIdOf<Config>;
/// Whom a node voted for.
pub type Vote = alias::VoteOf<Config>;
/// A log entry.
pub type Entry = alias::EntryOf<Config>;
/// The members of the group.
pub type Membership = openraft::Membership<NodeId, Node>;
/// The members and the entry that introduced them.
pub type StoredMembership = alias::StoredMembershipOf<Config>;
/// What a snapshot covers.
pub type SnapshotMeta = alias::SnapshotMetaOf<Config>;
