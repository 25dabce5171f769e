//! Disks that forgot, and cores that died.

use std::sync::Arc;
use std::time::Duration;

use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::VoteRequest;

use super::cluster::{Cluster, soon};
use super::{add, number};
use crate::raft::network::Network;
use crate::raft::peers::Peers;
use crate::raft::types::{LogId, Vote};
use crate::raft::{Direct, Role, Timing};

#[tokio::test]
async fn an_emptied_voter_neither_ends_the_leader_nor_votes() {
    let mut cluster = Cluster::new(3).await;
    for _ in 0..5 {
        cluster.propose(&add("a", 1)).await;
    }
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;
    let emptied = (1..=3).find(|id| *id != leader).unwrap();
    let (index, _) = cluster.propose(&add("a", 1)).await;
    // The leader must know that it had them.
    cluster
        .until(leader, "the follower acknowledged", |status| {
            status.members[&emptied].matched >= Some(index)
        })
        .await;

    cluster.kill(emptied).await;
    cluster.empty_directory(emptied);
    cluster.start(emptied).await;
    cluster
        .until(emptied, "the leader reached it", |status| {
            status.leader == Some(leader)
        })
        .await;
    for sum in 7..=20 {
        let (_, reply) = cluster.group(leader).propose(add("a", 1)).await.unwrap();
        assert_eq!(number(&reply), sum);
    }
    let status = cluster.group(leader).status();
    assert_eq!((status.role, status.term), (Role::Leader, term));
    assert_eq!(cluster.group(emptied).status().last_log, 0);

    // A candidate with a whole log asks with the leader's word.
    let asker = (1..=3).find(|id| *id != leader && *id != emptied).unwrap();
    let connector = Arc::new(Direct);
    let peers = Peers::new("test", 1, asker, connector, Timing::derive(5, 50).unwrap()).unwrap();
    let node = cluster.node(emptied);
    let mut peer = Network(peers).new_client(emptied, &node).await;
    let whole = Some(LogId::new(term.into(), status.last_log));
    let mut request = VoteRequest::new(Vote::new(term + 1, asker), whole);
    request.leadership_transfer = true;
    let option = RPCOption::new(Duration::from_secs(2));
    let answer = peer.vote(request.clone(), option.clone()).await.unwrap();
    assert!(!answer.vote_granted, "it may have acknowledged more");
    assert_eq!(cluster.group(emptied).status().term, term);
    let answer = peer.pre_vote(request, option).await.unwrap();
    assert!(!answer.vote_granted, "nor would it vote");

    // The way out that the error names.
    cluster.group(leader).remove(emptied).await.unwrap();
    cluster.kill(emptied).await;
    cluster.start(4).await;
    let group = cluster.group(leader).clone();
    group.add_learner(4, cluster.node(4)).await.unwrap();
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    drop(group);
    cluster.end().await;
}

#[tokio::test]
async fn a_dead_core_says_that_it_stopped() {
    let cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let group = cluster.group(1);
    assert_eq!(group.status().role, Role::Leader);
    let died = group.raft.with_raft_state(|_| panic!("as a bug would"));
    assert!(died.await.is_err());
    let failure = soon("it is said to have stopped", group.stopped()).await;
    assert!(failure.contains("ended"), "{failure}");
    let status = group.status();
    assert_eq!((status.role, status.leader), (Role::Stopped, None));
    assert_eq!(status.failure, Some(failure));
    assert!(group.wait_applied(u64::MAX).await.is_err());
    cluster.end().await;
}
