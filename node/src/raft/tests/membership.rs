//! Nodes come, vote, and go.

use super::add;
use super::cluster::{Cluster, soon};
use crate::raft::{MemberError, Role};

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
