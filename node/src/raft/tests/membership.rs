//! Nodes come, vote, and go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::add;
use super::cluster::{Cluster, soon};
use super::proxy::Planet;
use crate::raft::{MemberError, ProposeError, Role, Timing};

#[tokio::test]
async fn a_node_joins_as_a_learner_votes_and_leaves() {
    let mut cluster = Cluster::new(3).await;
    for _ in 0..250 {
        cluster.propose(&add("a", 1)).await;
    }
    let leader = cluster.leader().await;
    cluster.start(4).await;
    let unknown = cluster.group(leader).promote(4).await.unwrap_err();
    assert!(matches!(unknown, MemberError::Unsuitable { .. }));

    let group = cluster.group(leader).clone();
    group.add_learner(4, cluster.node(4)).await.unwrap();
    let learner = group.transfer_leader(4).await.unwrap_err();
    assert!(matches!(learner, MemberError::Unsuitable { .. }));
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    let status = group.status();
    assert!(!status.members[&4].voter);
    assert_eq!(status.members[&4].node, cluster.node(4));
    assert_eq!(cluster.group(4).status().role, Role::Learner);

    soon("the learner is promoted", async {
        while let Err(error) = group.promote(4).await {
            assert!(matches!(error, MemberError::Lagging { .. }), "{error}");
            tokio::task::yield_now().await;
        }
    })
    .await;
    cluster
        .until(4, "the new voter knows", |status| status.members[&4].voter)
        .await;

    // The leader itself leaves; the others go on.
    drop(group);
    cluster.group(leader).remove(leader).await.unwrap();
    cluster.kill(leader).await;
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(super::number(&reply), 252);
    cluster.agree_at(index).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let status = cluster.group(next).status();
    assert!(!status.members.contains_key(&leader));
    assert_eq!(status.members.values().filter(|m| m.voter).count(), 3);
    cluster.end().await;
}

#[tokio::test]
async fn the_last_voter_stays() {
    let cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let error = cluster.group(1).remove(1).await.unwrap_err();
    assert_eq!(error, MemberError::LastVoter { id: 1 });
    cluster.group(1).remove(9).await.unwrap();
    cluster.end().await;
}

#[tokio::test]
async fn a_member_added_again_is_reached_at_its_new_address() {
    let mut cluster = Cluster::new(1).await;
    cluster.start(2).await;
    let group = cluster.group(1).clone();
    group.add_learner(2, cluster.node(2)).await.unwrap();
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;

    let old = cluster.node(2);
    cluster.kill(2).await;
    // Nobody else may come to listen there meanwhile.
    let _taken = std::net::TcpListener::bind(&old.address).unwrap();
    cluster.addresses.remove(&2);
    cluster.start(2).await;
    assert_ne!(cluster.node(2), old);
    group.add_learner(2, cluster.node(2)).await.unwrap();
    assert_eq!(group.status().members[&2].node, cluster.node(2));
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    drop(group);
    cluster.end().await;
}

#[tokio::test]
async fn a_change_whose_caller_is_gone_is_carried_out() {
    let mut cluster = Cluster::new(1).await;
    cluster.start(2).await;
    let group = cluster.group(1).clone();
    group.add_learner(2, cluster.node(2)).await.unwrap();
    cluster
        .until(1, "the learner has caught up", |status| {
            status.members[&2].matched == Some(status.last_log)
        })
        .await;
    soon(
        "its distance is known, so that nothing is left to ask",
        async {
            while group.status().members[&2].round_trip.is_none() {
                tokio::task::yield_now().await;
            }
        },
    )
    .await;
    {
        let promote = std::pin::pin!(group.promote(2));
        assert!(futures::poll!(promote).is_pending());
    }
    cluster
        .until(1, "it votes", |status| {
            status.members[&2].voter && !status.joint
        })
        .await;
    group.promote(2).await.unwrap();
    drop(group);
    cluster.end().await;
}

#[tokio::test]
async fn a_change_left_half_way_is_completed_by_the_leader() {
    let mut cluster = Cluster::new(1).await;
    cluster.start(2).await;
    let group = cluster.group(1).clone();
    group.add_learner(2, cluster.node(2)).await.unwrap();
    // As a leader that dies between the two steps would leave it.
    let two = BTreeSet::from([1, 2]);
    let change = group.raft.change_membership(two, true);
    tokio::select! {
        biased;
        () = cluster.until(1, "the change is half done", |status| status.joint) => {}
        _ = change => panic!("the change was not cut short"),
    }
    cluster
        .until(1, "the change is complete", |status| {
            !status.joint && status.members[&2].voter
        })
        .await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    drop(group);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_given_up_still_count_against_the_bound() {
    let mut cluster = Cluster::empty(Timing::derive(5, 50).unwrap(), None);
    cluster.in_flight_max = Some(4);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let planet = Planet::between(&cluster, Duration::ZERO).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();

    for other in (1..=3).filter(|id| *id != leader) {
        planet.isolate(other, true);
    }
    for _ in 0..4 {
        let given_up = std::pin::pin!(group.propose(add("a", 1)));
        assert!(futures::poll!(given_up).is_pending());
    }
    let error = group.propose(add("a", 1)).await.unwrap_err();
    assert_eq!(error, ProposeError::Busy { in_flight_max: 4 });

    for other in (1..=3).filter(|id| *id != leader) {
        planet.isolate(other, false);
    }
    cluster.propose(&add("a", 1)).await;
    drop(group);
    cluster.end().await;
}
