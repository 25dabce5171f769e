//! Who leads and where it should stand, as operators ask for it.

use std::collections::BTreeMap;

use meridian_proto::livechat::v1::*;
use meridian_proto::peer::v1 as peer;
use meridian_routing::command::Command;
use meridian_routing::ids::{NodeId, RegionId};
use meridian_routing::pin::Pin;
use tonic::Status;

use super::status::{failed, invalid};
use crate::driver::Driver;
use crate::raft;

/// Who leads and why, as the leader says.
///
/// # Errors
/// The leader that is known does not answer in time.
pub(super) async fn show(driver: &Driver) -> Result<Leadership, Status> {
    let group = driver.group().map_err(|e| failed(&e))?;
    let told = match group.status().leader {
        Some(_) => driver.ask_leadership().await.map_err(|e| failed(&e))?,
        None => None,
    };
    let pin = driver.state().meta().pin.clone();
    Ok(shown(&group.status(), pin, told))
}

fn shown(status: &raft::Status, pin: Option<Pin>, told: Option<peer::Leadership>) -> Leadership {
    let leader = status.leader_node();
    let weighed: BTreeMap<NodeId, _> = told
        .iter()
        .flat_map(|t| &t.nodes)
        .map(|n| (n.node, n))
        .collect();
    let member = |(id, m): (&NodeId, &raft::Member)| LeadershipMember {
        node_id: *id,
        region_id: m.node.region.clone(),
        voter: m.voter,
        writes: weighed.get(id).map_or(0, |n| n.writes),
        write_us: weighed.get(id).and_then(|n| n.write_us),
    };
    Leadership {
        leader_id: leader.as_ref().map_or(0, |(id, _)| *id),
        region_id: leader.map(|(_, node)| node.region).unwrap_or_default(),
        term: status.term,
        led_ms: told.as_ref().map(|told| told.led_ms),
        follows_sun: told.as_ref().is_some_and(|told| told.follows),
        pin: pin.map(|pin| LeaderPin {
            region_id: pin.region.to_string(),
            by: pin.by,
            at_ms: pin.at,
        }),
        writes: weighed.values().map(|n| n.writes).sum(),
        members: status.members.iter().map(member).collect(),
    }
}

/// The command that a request to pin asks for, where voters stand in such regions.
///
/// # Errors
/// INVALID_FIELD for a region in which no voter stands, naming those in which one does.
pub(super) fn pin(ask: &PinLeaderRequest, status: &raft::Status) -> Result<Command, Status> {
    let region = match (ask.unpin, ask.region_id.as_str()) {
        (true, "") => None,
        (true, _) => {
            let problem = "cannot stand beside unpin; leave one out";
            return Err(invalid("region_id", problem));
        }
        (false, region) => {
            check(region, status)?;
            Some(RegionId::from(region))
        }
    };
    Ok(Command::PinLeader { region })
}

fn check(region: &str, status: &raft::Status) -> Result<(), Status> {
    let there = |m: &&raft::Member| m.node.region == region;
    let members = status.members.values();
    let (nodes, voters) = (
        members.clone().filter(there).count(),
        members.clone().filter(|m| m.voter && there(m)).count(),
    );
    if voters > 0 {
        return Ok(());
    }
    let mut have: Vec<_> = members
        .filter(|m| m.voter)
        .map(|m| m.node.region.as_str())
        .collect();
    have.sort_unstable();
    have.dedup();
    let have = have.join(", ");
    Err(match (region, nodes) {
        ("", _) => invalid(
            "region_id",
            &format!("is empty; name a region with a voter ({have}), or give unpin"),
        ),
        (_, 0) => invalid(
            "region_id",
            &format!(
                "no node of the cluster stands in '{region}'; name a region with a voter: {have}"
            ),
        ),
        (_, n) => invalid(
            "region_id",
            &format!(
                "no voter stands in '{region}', only {n} learner(s), and a learner cannot lead; promote one first, or name a region with a voter: {have}"
            ),
        ),
    })
}

/// Refuses to have a node lead that would hand over again at once, because leadership is pinned elsewhere.
///
/// # Errors
/// INVALID_FIELD with where it is pinned.
pub(super) fn allows(pin: Option<&Pin>, status: &raft::Status, id: NodeId) -> Result<(), Status> {
    let region = status.members.get(&id).map(|m| m.node.region.as_str());
    match (pin, region) {
        (Some(pin), Some(region)) if pin.region.as_str() != region => Err(invalid(
            "node_id",
            &format!(
                "node {id} stands in '{region}', and leadership is pinned to '{}'; unpin it first, or name a voter there",
                pin.region
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Member, Node, Role};

    /// Node 1 of eu leads, node 2 of us votes, node 3 of ap does not.
    fn status() -> raft::Status {
        let member = |region: &str, voter| Member {
            node: Node {
                region: region.to_owned(),
                ..Node::default()
            },
            voter,
            matched: None,
            heard: None,
            round_trip: None,
            too_far: false,
            rules: None,
        };
        raft::Status {
            node_id: 1,
            role: Role::Leader,
            term: 1,
            leader: Some(1),
            last_log: 0,
            committed: 0,
            applied: 0,
            snapshot: 0,
            purged: 0,
            members: BTreeMap::from([
                (1, member("eu", true)),
                (2, member("us", true)),
                (3, member("ap", false)),
            ]),
            joint: false,
            quorum_heard: None,
            failure: None,
        }
    }

    fn asked(region_id: &str, unpin: bool) -> Result<Command, String> {
        let ask = PinLeaderRequest {
            region_id: region_id.to_owned(),
            unpin,
            ..Default::default()
        };
        pin(&ask, &status()).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn a_region_without_a_voter_is_refused_with_those_that_have_one() {
        let us = Some(RegionId::from("us"));
        assert_eq!(asked("us", false), Ok(Command::PinLeader { region: us }));
        assert_eq!(asked("", true), Ok(Command::PinLeader { region: None }));
        for (region, unpin, why) in [
            ("", false, "is empty"),
            ("us", true, "leave one out"),
            ("mars", false, "no node"),
            ("ap", false, "promote one first"),
        ] {
            let told = asked(region, unpin).expect_err("refused");
            assert!(told.starts_with("region_id: "), "{told}");
            assert!(told.contains(why), "{told}");
            assert!(unpin || told.contains("eu, us"), "{told}");
        }
    }

    #[test]
    fn nobody_is_made_leader_against_a_pin() {
        let pin = Pin {
            region: "us".into(),
            by: "operator:ann".to_owned(),
            at: 0,
        };
        assert!(allows(None, &status(), 1).is_ok());
        assert!(allows(Some(&pin), &status(), 2).is_ok());
        let refused = allows(Some(&pin), &status(), 1).expect_err("refused");
        assert!(refused.message().contains("pinned to 'us'"), "{refused:?}");
    }
}
