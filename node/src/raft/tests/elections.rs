//! Who may not disturb whom.

use std::time::Duration;

use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::VoteRequest;

use super::add;
use super::cluster::{Cluster, soon};
use super::proxy::Planet;
use crate::raft::network::Network;
use crate::raft::peers::Peers;
use crate::raft::types::{LogId, Vote};
use crate::raft::{Direct, MemberError, Role, Status, Timing};

#[tokio::test]
async fn a_pre_vote_is_denied_to_a_stale_log_and_granted_to_a_whole_one() {
    let mut cluster = Cluster::new(3).await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (asker, asked) = (others[0], others[1]);
    let node = cluster.node(asked);
    let peers = Peers::new(
        "test",
        1,
        asker,
        std::sync::Arc::new(Direct),
        Timing::derive(5, 50).unwrap(),
    )
    .unwrap();
    let mut peer = Network(peers).new_client(asked, &node).await;
    let before = cluster.group(asked).status();
    let whole = Some(LogId::new(before.term.into(), before.last_log));
    let ask = |last_log_id| VoteRequest::new(Vote::new(before.term + 1, asker), last_log_id);
    let option = RPCOption::new(Duration::from_secs(2));

    let denied = peer.pre_vote(ask(whole), option.clone()).await.unwrap();
    assert!(!denied.vote_granted, "the leader is alive");

    // Without a majority nobody leads, and the lease runs out.
    cluster.kill(leader).await;
    cluster.kill(asker).await;
    let granted = soon("a whole log gets a pre-vote", async {
        loop {
            let answer = peer.pre_vote(ask(whole), option.clone()).await.unwrap();
            if answer.vote_granted {
                return answer;
            }
        }
    });
    granted.await;
    let stale = Some(LogId::new(before.term.into(), before.last_log - 1));
    for log in [None, stale] {
        let answer = peer.pre_vote(ask(log), option.clone()).await.unwrap();
        assert!(!answer.vote_granted, "{log:?}");
    }
    assert_eq!(
        cluster.group(asked).status().term,
        before.term,
        "asking changes nothing"
    );
    cluster.end().await;
}

#[tokio::test]
async fn a_node_cut_off_comes_back_without_a_new_election() {
    let mut cluster = Cluster::new(3).await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;
    let lonely = (1..=3).find(|id| *id != leader).unwrap();

    // Started anew it has no open connections left.
    cluster.isolate(lonely, true);
    cluster.kill(lonely).await;
    cluster.start(lonely).await;
    let campaigns = cluster.group(lonely).timing().failover_bound() * 2;
    let candidate = cluster.group(lonely).watch();
    let grown = async move {
        let mut watch = candidate;
        let _ = watch.wait_for(|status| status.term > term).await;
    };
    assert!(
        tokio::time::timeout(campaigns, grown).await.is_err(),
        "it got no pre-vote, so its term must not grow"
    );

    let (index, _) = cluster.group(leader).propose(add("a", 1)).await.unwrap();
    assert!(
        cluster.group(lonely).status().last_log < index,
        "it was alone"
    );

    cluster.isolate(lonely, false);
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.group(leader).status().term, term);
    cluster.end().await;
}

/// Times long enough that a busy machine does not change whose turn it is. By chance alone it would come out like this
/// once in sixteen times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_next_is_agreed_while_the_lease_runs_out() {
    let mut cluster = Cluster::apart(3, Timing::derive(300, 50).unwrap(), None).await;
    cluster.initialize().await;
    for _ in 0..4 {
        let (index, _) = cluster.propose(&add("a", 1)).await;
        cluster.agree_at(index).await;
        let old = cluster.leader().await;
        let next = (1..=3).filter(|id| *id != old).max();
        cluster.kill(old).await;
        cluster.propose(&add("a", 1)).await;
        assert_eq!(Some(cluster.leader().await), next, "after {old}");
        cluster.start(old).await;
    }
    cluster.end().await;
}

#[tokio::test]
async fn leadership_moves_on_request_and_nothing_is_lost() {
    let cluster = Cluster::new(3).await;
    for _ in 0..20 {
        cluster.propose(&add("a", 1)).await;
    }
    let old = cluster.leader().await;
    let to = (1..=3).find(|id| *id != old).unwrap();
    let (index, _) = cluster.propose(&add("a", 0)).await;
    cluster.agree_at(index).await;
    soon("leadership moves", cluster.group(old).transfer_leader(to))
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, to);
    assert_eq!(cluster.group(to).status().role, Role::Leader);
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(super::number(&reply), 21);
    cluster.agree_at(index).await;
    assert!(
        cluster.group(old).transfer_leader(to).await.is_err(),
        "only the leader may"
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_stalls_goes_to_the_next_voter() {
    let cluster = Cluster::apart(3, Timing::derive(5, 50).unwrap(), None).await;
    let planet = Planet::between(&cluster, Duration::ZERO).await;
    cluster.initialize().await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    let old = cluster.leader().await;
    let to = (1..=3).find(|id| *id != old).unwrap();
    let third = (1..=3).find(|id| *id != old && *id != to).unwrap();
    cluster
        .until(old, "both acknowledged", |status| {
            let caught_up = |id| status.members[&id].matched == Some(status.last_log);
            caught_up(to) && caught_up(third)
        })
        .await;

    // Lost a moment ago: nobody has noticed.
    planet.isolate(to, true);
    let result = soon("the hand-over ends", cluster.group(old).transfer_leader(to)).await;
    let Err(MemberError::Stalled { leader, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(leader, Some((third, cluster.node(third))));
    planet.isolate(to, false);
    let (_, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(super::number(&reply), 2);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_offered_to_nobody_who_is_silent_and_to_whom_is_at_hand() {
    let cluster = Cluster::apart(3, Timing::derive(5, 50).unwrap(), None).await;
    let planet = Planet::between(&cluster, Duration::ZERO).await;
    cluster.initialize().await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    let old = cluster.leader().await;
    let group = cluster.group(old).clone();
    let term = group.status().term;
    let silent = (1..=3).find(|id| *id != old).unwrap();
    let third = (1..=3).find(|id| *id != old && *id != silent).unwrap();

    planet.isolate(silent, true);
    // Silence is no event.
    tokio::time::sleep(group.timing().silence_max()).await;
    let error = group.transfer_leader(silent).await.unwrap_err();
    let says = matches!(error, MemberError::Silent { id, .. } if id == silent);
    assert!(says, "{error}");
    assert_eq!(group.status().term, term, "nothing was done");
    group.propose(add("a", 1)).await.unwrap();

    let heir = soon("leadership is handed over", group.hand_over()).await;
    assert_eq!(heir, Ok(Some(third)));
    planet.isolate(silent, false);
    let (_, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(super::number(&reply), 3);
    drop(group);
    cluster.end().await;
}

#[tokio::test]
async fn heartbeats_wake_nobody() {
    let cluster = Cluster::new(3).await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.agree_at(index).await;
    let leader = cluster.leader().await;
    cluster
        .until(leader, "everybody acknowledged everything", |status| {
            let last = status.last_log;
            let others = status.members.iter().filter(|(id, _)| **id != leader);
            let mut matched = others.map(|(_, member)| member.matched);
            status.applied == last && matched.all(|matched| matched == Some(last))
        })
        .await;
    let group = cluster.group(leader);
    let heard = |status: &Status| -> Vec<_> { status.members.values().map(|m| m.heard).collect() };
    let mut watch = group.watch();
    let before = heard(&watch.borrow_and_update());
    let beats = group.timing().heartbeat() * 5;
    assert!(
        tokio::time::timeout(beats, watch.changed()).await.is_err(),
        "nothing changed but times"
    );
    let after = heard(&watch.borrow());
    assert!(
        before < after,
        "yet the times are followed: {before:?} {after:?}"
    );
    cluster.end().await;
}
