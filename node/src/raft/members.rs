//! Changing who belongs to a group and who leads it.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;

use super::error::MemberError;
use super::group::Group;
use super::status::{Role, Status};
use super::types::{Node, NodeId};

/// A learner further behind than this is not made a voter, and a voter not a leader: the group
/// would stand still while it catches up. What is under way to a far node counts as lag, so it must
/// be more than a round trip's worth: ten thousand entries a second over 220 ms are 2,200.
pub const LAG_MAX: u64 = 5_000;

impl Group {
    /// Adds a node without a vote; the leader brings it up to date. Adding it again changes its
    /// address.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn add_learner(&self, id: NodeId, node: Node) -> Result<(), MemberError> {
        self.raft.add_learner(id, node, false).await?;
        Ok(())
    }

    /// Gives a learner a vote, once it has nearly caught up.
    ///
    /// # Errors
    /// [`MemberError::Lagging`] if it is too far behind, [`MemberError::Unsuitable`] if it is no
    /// member.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        let status = self.leading()?;
        let member = status.members.get(&id).ok_or(MemberError::Unsuitable {
            id,
            what: "no member: add it as a learner first",
        })?;
        if member.voter {
            return Ok(());
        }
        check_lag(&status, id)?;
        self.raft
            .change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true)
            .await?;
        Ok(())
    }

    /// Removes a voter or learner for good; its number is never used again. A leader that removes
    /// itself steps down afterwards.
    ///
    /// # Errors
    /// [`MemberError::LastVoter`] if the group would end.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        let status = self.leading()?;
        let Some(member) = status.members.get(&id) else {
            return Ok(());
        };
        let ids = BTreeSet::from([id]);
        let change = if member.voter {
            if status.members.values().filter(|m| m.voter).count() == 1 {
                return Err(MemberError::LastVoter { id });
            }
            ChangeMembers::RemoveVoters(ids)
        } else {
            ChangeMembers::RemoveNodes(ids)
        };
        self.raft.change_membership(change, false).await?;
        Ok(())
    }

    /// Hands leadership to `to` and waits until it leads. From the start of the hand-over to its end
    /// no command is taken. If it does not come about in time this node calls an election, so that
    /// the group is never left waiting for a leader that will not come.
    ///
    /// # Errors
    /// [`MemberError::Lagging`] or [`MemberError::Unsuitable`] before anything was done,
    /// [`MemberError::Stalled`] after the fall-back.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MemberError> {
        let status = self.leading()?;
        if to == status.node_id {
            return Ok(());
        }
        match status.members.get(&to) {
            Some(member) if member.voter => check_lag(&status, to)?,
            Some(_) => {
                return Err(MemberError::Unsuitable {
                    id: to,
                    what: "a learner: promote it first",
                });
            }
            None => {
                return Err(MemberError::Unsuitable {
                    id: to,
                    what: "no member",
                });
            }
        }

        // Message, vote, the search for where the logs meet and the first append; and the target may
        // first have to write what it lacks.
        let patience = self.timing.election_max() + 5 * self.timing.worst_round_trip();
        self.raft.trigger().transfer_leader(to).await?;
        let term = status.term;
        if self.leader_becomes(term, patience, |id| id == to).await {
            return Ok(());
        }
        tracing::warn!(to, "a hand-over of leadership stalled: calling an election");
        // Without a pre-vote: a majority may still trust this node and would not grant one.
        self.raft.trigger().elect(false).await?;
        self.leader_becomes(term, self.timing.failover_bound(), |_| true)
            .await;
        let leader = self.status().leader_node();
        if leader.as_ref().is_some_and(|(id, _)| *id == to) {
            return Ok(());
        }
        Err(MemberError::Stalled { to, leader })
    }

    /// Waits until this node knows of a leader after `term` who is as wanted; `false` when out of
    /// patience.
    async fn leader_becomes(
        &self,
        term: u64,
        patience: Duration,
        wanted: impl Fn(NodeId) -> bool,
    ) -> bool {
        let mut watch = self.watch();
        let reached =
            watch.wait_for(|status| status.term > term && status.leader.is_some_and(&wanted));
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    fn leading(&self) -> Result<Status, MemberError> {
        let status = self.status();
        if status.role == Role::Leader {
            return Ok(status);
        }
        Err(MemberError::NotLeader {
            leader: status.leader_node(),
        })
    }
}

fn check_lag(status: &Status, id: NodeId) -> Result<(), MemberError> {
    let matched = status.members.get(&id).and_then(|member| member.matched);
    let lag = status.last_log - matched.unwrap_or(0).min(status.last_log);
    if lag > LAG_MAX || matched.is_none() {
        return Err(MemberError::Lagging {
            id,
            lag,
            max: LAG_MAX,
        });
    }
    Ok(())
}
