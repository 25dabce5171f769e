//! Between openraft's types and the messages on disk and on the wire.
//!
//! Nothing is guessed: a message without a part it must have is refused.

use std::collections::{BTreeMap, BTreeSet};

use meridian_proto::log::v1 as pb;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use super::types::{
    Entry, LogId, Membership, Node, Proposal, SnapshotMeta, StoredMembership, Vote,
};

/// A message that lacks something, or contradicts itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a message is malformed: {0}")]
pub struct Malformed(pub String);

fn missing(what: &str) -> Malformed {
    Malformed(format!("{what} is missing"))
}

/// A log position as a message.
pub fn log_id_out(id: &LogId) -> pb::LogId {
    pb::LogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

/// A log position from a message.
pub fn log_id_in(id: &pb::LogId) -> LogId {
    LogId::new(id.term.into(), id.index)
}

/// An optional log position as a message.
pub fn log_id_opt_out(id: Option<&LogId>) -> Option<pb::LogId> {
    id.map(log_id_out)
}

/// An optional log position from a message.
pub fn log_id_opt_in(id: Option<&pb::LogId>) -> Option<LogId> {
    id.map(log_id_in)
}

/// A vote as a message.
pub fn vote_out(vote: &Vote) -> pb::Vote {
    pb::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

/// A vote from a message; every message that has one must have one.
///
/// # Errors
/// [`Malformed`] if it is missing.
pub fn vote_in(vote: Option<&pb::Vote>) -> Result<Vote, Malformed> {
    let vote = vote.ok_or_else(|| missing("the vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    })
}

/// A membership as a message.
pub fn membership_out(membership: &Membership) -> pb::Membership {
    pb::Membership {
        voters: membership
            .get_joint_config()
            .iter()
            .map(|ids| pb::VoterSet {
                ids: ids.iter().copied().collect(),
            })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(&id, node)| {
                let node = pb::Node {
                    address: node.address.clone(),
                    region: node.region.clone(),
                    founded: node.founded.clone(),
                };
                (id, node)
            })
            .collect(),
    }
}

/// A membership from a message.
///
/// # Errors
/// [`Malformed`] if a voter is not among the nodes or a set of voters is empty.
pub fn membership_in(membership: pb::Membership) -> Result<Membership, Malformed> {
    let voters: Vec<BTreeSet<u64>> = membership
        .voters
        .into_iter()
        .map(|set| set.ids.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, Node> = membership
        .nodes
        .into_iter()
        .map(|(id, node)| {
            let node = Node {
                address: node.address,
                region: node.region,
                founded: node.founded,
            };
            (id, node)
        })
        .collect();
    Membership::new(voters, nodes).map_err(|error| Malformed(error.to_string()))
}

/// A stored membership as a message.
pub fn stored_membership_out(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: log_id_opt_out(stored.log_id().as_ref()),
        membership: Some(membership_out(stored.membership())),
    }
}

/// A stored membership from a message; a missing one is the empty one.
///
/// # Errors
/// As for [`membership_in`].
pub fn stored_membership_in(
    stored: Option<pb::StoredMembership>,
) -> Result<StoredMembership, Malformed> {
    let Some(stored) = stored else {
        return Ok(StoredMembership::default());
    };
    Ok(StoredMembership::new(
        log_id_opt_in(stored.log_id.as_ref()),
        membership_in(stored.membership.unwrap_or_default())?,
    ))
}

/// An entry as a message. Takes the entry so that its command is moved, not copied.
pub fn entry_out(entry: Entry) -> pb::Entry {
    pb::Entry {
        log_id: Some(log_id_out(&entry.log_id)),
        payload: Some(match entry.payload {
            EntryPayload::Blank => pb::entry::Payload::Blank(pb::Blank {}),
            EntryPayload::Normal(proposal) => pb::entry::Payload::Command(proposal.0),
            EntryPayload::Membership(membership) => {
                pb::entry::Payload::Membership(membership_out(&membership))
            }
        }),
    }
}

/// An entry from a message.
///
/// # Errors
/// [`Malformed`] if its position or payload is missing.
pub fn entry_in(entry: pb::Entry) -> Result<Entry, Malformed> {
    let log_id = log_id_in(&entry.log_id.ok_or_else(|| missing("an entry's position"))?);
    let payload = match entry.payload.ok_or_else(|| missing("an entry's payload"))? {
        pb::entry::Payload::Blank(_) => EntryPayload::Blank,
        pb::entry::Payload::Command(command) => EntryPayload::Normal(Proposal(command)),
        pb::entry::Payload::Membership(membership) => {
            EntryPayload::Membership(membership_in(membership)?)
        }
    };
    Ok(Entry::new(log_id, payload))
}

/// What a snapshot covers, as a message.
pub fn snapshot_out(group: u32, meta: &SnapshotMeta) -> pb::SnapshotHeader {
    pb::SnapshotHeader {
        backup: None,
        group,
        last_applied: log_id_opt_out(meta.last_log_id.as_ref()),
        membership: Some(stored_membership_out(&meta.last_membership)),
        log_bytes: 0,
    }
}

/// What a snapshot covers, from a message.
///
/// # Errors
/// As for [`membership_in`].
pub fn snapshot_in(header: pb::SnapshotHeader) -> Result<SnapshotMeta, Malformed> {
    Ok(SnapshotMeta {
        last_log_id: log_id_opt_in(header.last_applied.as_ref()),
        last_membership: stored_membership_in(header.membership)?,
    })
}
