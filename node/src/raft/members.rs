//! Changing who belongs to a group and who leads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::{ChangeMembers, Raft};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::error::MemberError;
use super::group::Group;
use super::peers::PingError;
use super::state_machine::StateMachine;
use super::status::{Member, Role, Status};
use super::types::{Config, Node, NodeId};

/// A learner further behind than this is not made a voter: the group would stand still while it
/// catches up. What is under way to a far node counts as lag, so it must be more than a round trip's
/// worth: ten thousand entries a second over 220 ms are 2,200.
pub const LAG_MAX: u64 = 5_000;

type Change = ChangeMembers<NodeId, Node>;

impl Group {
    /// Adds a node without a vote; the leader brings it up to date. Adding a member again under
    /// another address or region moves it there.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn add_learner(&self, id: NodeId, mut node: Node) -> Result<(), MemberError> {
        let (changing, status) = self.ready_to_change().await?;
        node.founded = status.founded().to_owned();
        let nodes = BTreeMap::from([(id, node)]);
        let change = match status.members.get(&id) {
            Some(member) if member.node == nodes[&id] => return Ok(()),
            Some(_) => ChangeMembers::SetNodes(nodes),
            None => {
                self.peers.joins(id);
                ChangeMembers::AddNodes(nodes)
            }
        };
        self.change(changing, change, true).await
    }

    /// Gives a learner a vote, once it has nearly caught up.
    ///
    /// # Errors
    /// [`MemberError::Lagging`] if it is too far behind, [`MemberError::TooFar`] if it is too far
    /// away, [`MemberError::Silent`] if that cannot be measured, [`MemberError::Unsuitable`] if it is
    /// no member.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        let (changing, status) = self.ready_to_change().await?;
        let member = status.members.get(&id).ok_or(MemberError::Unsuitable {
            id,
            what: "no member: add it as a learner first",
        })?;
        if member.voter {
            return Ok(());
        }
        check_lag(&status, id)?;
        let mut member = member.clone();
        if member.round_trip.is_none() {
            let max = self.timing.election_max();
            let pinged = self.peers.ping(id, &member.node, max).await;
            pinged.map_err(|error| match error {
                PingError::Refused(_) => MemberError::Refused(format!("node {id}: {error}")),
                PingError::Unreached(_) => MemberError::Silent { id, max },
            })?;
            let measured = self.status().members.remove(&id);
            member = measured.unwrap_or(member);
        }
        self.check_distance(id, &member)?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.change(changing, change, true).await
    }

    /// Removes a voter or learner for good; its number is never used again. A leader that removes
    /// itself steps down afterwards.
    ///
    /// # Errors
    /// [`MemberError::LastVoter`] if the group would end.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        let (changing, status) = self.ready_to_change().await?;
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
        self.change(changing, change, false).await
    }

    /// Hands leadership to `to` and waits until it leads. From the start of the hand-over to its end
    /// no command is taken, so `to` must be at hand: it has answered lately, and acknowledges in a
    /// round trip what the log holds now. If it does not come to lead in time, the others that are at
    /// hand are asked one after the other: openraft has no way back.
    ///
    /// # Errors
    /// [`MemberError::Lagging`], [`MemberError::Silent`], [`MemberError::TooFar`] or
    /// [`MemberError::Unsuitable`] before anything was done, [`MemberError::Stalled`] afterwards.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MemberError> {
        let status = self.leading()?;
        if to == status.node_id {
            return Ok(());
        }
        self.check_heir(&status, to).await?;

        // Heartbeats end with the hand-over: who was at hand is to be seen before.
        let status = self.leading()?;
        let mut others = heirs(&status, self.timing.silence_max());
        others.retain(|id| *id != to);
        // Message, vote, the search for where the logs meet and the first append; and the target may
        // first have to write what it lacks.
        let patience = self.timing.election_max() + 5 * self.timing.worst_round_trip();
        let mut heir = to;
        loop {
            self.raft.trigger().transfer_leader(heir).await?;
            if self.led_after(status.term, patience).await {
                break;
            }
            let now = self.status();
            let others = if (now.role, now.term) == (Role::Leader, status.term) {
                &mut others
            } else {
                // An election is on; it needs no help.
                &mut Vec::new()
            };
            let Some(next) = others.pop() else {
                self.led_after(status.term, self.timing.failover_bound())
                    .await;
                break;
            };
            tracing::warn!(
                heir,
                next,
                "a hand-over of leadership stalled: asking another"
            );
            heir = next;
        }
        let leader = self.status().leader_node();
        if leader.as_ref().is_some_and(|(id, _)| *id == to) {
            return Ok(());
        }
        Err(MemberError::Stalled { to, leader })
    }

    /// Hands leadership to the voter that is most at hand, and says to which; `None` if there is
    /// none. For a leader that is about to stop.
    ///
    /// # Errors
    /// As for [`Group::transfer_leader`].
    pub async fn hand_over(&self) -> Result<Option<NodeId>, MemberError> {
        let status = self.leading()?;
        let Some(heir) = heirs(&status, self.timing.silence_max()).pop() else {
            return Ok(None);
        };
        self.transfer_leader(heir).await?;
        Ok(Some(heir))
    }

    /// The voters fit to lead next, at the leader, the fittest last: those that have answered lately, have nearly caught up,
    /// and are not too far away.
    pub fn heirs(&self) -> Vec<NodeId> {
        heirs(&self.status(), self.timing.silence_max())
    }

    /// Whether leadership can go to `id` without a pause worth the name.
    async fn check_heir(&self, status: &Status, id: NodeId) -> Result<(), MemberError> {
        let unsuitable = |what| MemberError::Unsuitable { id, what };
        let member = status.members.get(&id).ok_or(unsuitable("no member"))?;
        if !member.voter {
            return Err(unsuitable("a learner: promote it first"));
        }
        check_lag(status, id)?;
        self.check_distance(id, member)?;
        let max = self.timing.silence_max();
        if !heard(member, max) {
            return Err(MemberError::Silent { id, max });
        }
        let acknowledges = |now: &Status| {
            let matched = now.members.get(&id).and_then(|member| member.matched);
            now.role != Role::Leader || matched >= Some(status.last_log)
        };
        let mut watch = self.watch();
        let reached = watch.wait_for(acknowledges);
        let patience = self.timing.heartbeat() + 2 * self.timing.worst_round_trip();
        match tokio::time::timeout(patience, reached).await {
            Ok(_) => self.leading().map(drop),
            Err(_) => {
                let now = self.leading()?;
                let matched = now.members.get(&id).and_then(|member| member.matched);
                Err(MemberError::Lagging {
                    id,
                    lag: now.last_log - matched.unwrap_or(0).min(now.last_log),
                    max: now.last_log.saturating_sub(status.last_log),
                })
            }
        }
    }

    fn check_distance(&self, id: NodeId, member: &Member) -> Result<(), MemberError> {
        match member.round_trip {
            Some(measured) if member.too_far => Err(MemberError::TooFar {
                id,
                measured,
                max: self.timing.round_trip_max(),
            }),
            _ => Ok(()),
        }
    }

    /// Waits until this node knows of a leader after `term`; `false` when out of patience.
    async fn led_after(&self, term: u64, patience: Duration) -> bool {
        let mut watch = self.watch();
        let reached = watch.wait_for(|status| status.term > term && status.leader.is_some());
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

    /// Waits for the change of members under way here, and completes one that was cut short.
    async fn ready_to_change(&self) -> Result<(OwnedMutexGuard<()>, Status), MemberError> {
        self.leading()?;
        loop {
            let changing = self.changing.clone().lock_owned().await;
            let status = self.leading()?;
            if !status.joint {
                return Ok((changing, status));
            }
            self.change(changing, completion(), false).await?;
        }
    }

    /// Carries a change out in a task of its own: a caller that gives up must not leave the group
    /// between the old members and the new.
    async fn change(
        &self,
        changing: OwnedMutexGuard<()>,
        change: Change,
        retain: bool,
    ) -> Result<(), MemberError> {
        let raft = self.raft.clone();
        let task = tokio::spawn(async move {
            let _changing = changing;
            raft.change_membership(change, retain).await
        });
        let changed = task
            .await
            .map_err(|ended| MemberError::Stopped(ended.to_string()))?;
        changed?;
        Ok(())
    }
}

/// The change that turns old and new voters into the new ones alone.
fn completion() -> Change {
    ChangeMembers::AddVoterIds(BTreeSet::new())
}

/// Completes what an earlier leader left between the old voters and the new. Ends with Raft.
pub(super) async fn finish_changes(
    raft: Raft<Config, StateMachine>,
    mut status: watch::Receiver<Status>,
    changing: Arc<Mutex<()>>,
) {
    let left = |status: &Status| status.role == Role::Leader && status.joint;
    loop {
        let due = |status: &Status| left(status) || status.role == Role::Stopped;
        match status.wait_for(due).await {
            Ok(now) if now.role != Role::Stopped => {}
            _ => return,
        }
        // A change of this leader's own passes through the same state, under the lock.
        let _changing = changing.lock().await;
        if !left(&status.borrow_and_update()) {
            continue;
        }
        match raft.change_membership(completion(), false).await {
            Ok(_) => tracing::info!("completed a change of members that was cut short"),
            // At the start of a term, for example; the next news may bring the conditions.
            Err(error) => {
                tracing::debug!(%error, "a change of members is not completed yet");
                if status.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The voters fit to lead next, the fittest last.
fn heirs(status: &Status, silence_max: Duration) -> Vec<NodeId> {
    let voters = status.members.iter().filter(|(id, member)| {
        let other = member.voter && **id != status.node_id;
        other && !member.too_far && heard(member, silence_max)
    });
    let mut heirs: Vec<_> = voters
        .filter(|(id, _)| check_lag(status, **id).is_ok())
        .map(|(id, member)| (member.matched, *id))
        .collect();
    heirs.sort_unstable();
    heirs.into_iter().map(|(_, id)| id).collect()
}

fn heard(member: &Member, silence_max: Duration) -> bool {
    member.heard.is_some_and(|at| at.elapsed() <= silence_max)
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
