//! A planet between the nodes: every byte takes half a round trip.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster::{Cluster, soon};
use super::proxy::Planet;
use super::{add, large, number};
use crate::raft::group::COMMAND_BYTES_MAX;
use crate::raft::{MemberError, Role, Timing};

const ROUND_TRIP: Duration = Duration::from_millis(220);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_take_one_round_trip_are_pipelined_and_fail_over_in_time() {
    let timing = Timing::derive(ROUND_TRIP.as_millis() as u64, 50).unwrap();
    let bound = timing.failover_bound();
    let mut cluster = Cluster::apart(3, timing, None).await;
    let _planet = Planet::between(&cluster, ROUND_TRIP / 2).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;

    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        cluster.group(leader).propose(add("a", 1)).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    assert!(
        times[2] < ROUND_TRIP + Duration::from_millis(60),
        "{times:?}"
    );

    let status = cluster.group(leader).status();
    for (id, member) in status.members.iter().filter(|(id, _)| **id != leader) {
        let measured = member.round_trip.expect("measured by now");
        assert!(measured >= ROUND_TRIP, "node {id}: {measured:?}");
        assert!(!member.too_far, "node {id}: {measured:?}");
    }

    // Ten full batches: one after the other they would take ten round trips.
    let start = Instant::now();
    let many = (0..3_000).map(|_| cluster.group(leader).propose(add("a", 1)));
    for done in futures::future::join_all(many).await {
        done.unwrap();
    }
    assert!(start.elapsed() < ROUND_TRIP * 6, "{:?}", start.elapsed());
    assert_eq!(
        cluster.group(leader).status().term,
        term,
        "heartbeats got through all the time"
    );

    let (index, _) = cluster.propose(&add("a", 0)).await;
    cluster.agree_at(index).await;
    let to = (1..=3).find(|id| *id != leader).unwrap();
    let start = Instant::now();
    cluster.group(leader).transfer_leader(to).await.unwrap();
    cluster.propose(&add("a", 0)).await;
    let handed_over = start.elapsed();
    assert!(handed_over < ROUND_TRIP * 7, "{handed_over:?}");

    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let died = Instant::now();
    let (_, reply) = cluster.propose(&add("a", 0)).await;
    assert_eq!(number(&reply), 3_006);
    assert!(bound < Duration::from_secs(4));
    // A second for the machine, which is shared with other tests.
    let slack = Duration::from_secs(1);
    assert!(died.elapsed() < bound + slack, "{:?}", died.elapsed());
    println!(
        "commits {times:?}, hand-over {handed_over:?}, fail-over {:?}, bound {bound:?}",
        died.elapsed()
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_command_commits_and_the_next_leader_can_pass_it_on() {
    let timing = Timing::derive(ROUND_TRIP.as_millis() as u64, 50).unwrap();
    let mut cluster = Cluster::apart(3, timing, None).await;
    let _planet = Planet::between(&cluster, ROUND_TRIP / 2).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let old = cluster.leader().await;
    let lacking = (1..=3).find(|id| *id != old).unwrap();

    // One follower misses the entry, so that the next leader has to send it.
    cluster.kill(lacking).await;
    let start = Instant::now();
    let command = large("a", 1, COMMAND_BYTES_MAX);
    let (index, reply) = soon("it commits", cluster.group(old).propose(command))
        .await
        .unwrap();
    println!(
        "{COMMAND_BYTES_MAX} bytes committed in {:?}",
        start.elapsed()
    );
    assert_eq!(number(&reply), 2);
    let heir = (1..=3).find(|id| *id != old && *id != lacking).unwrap();
    soon("the heir has it", cluster.group(heir).wait_applied(index))
        .await
        .unwrap();

    cluster.kill(old).await;
    cluster.start(lacking).await;
    assert_eq!(cluster.leader().await, heir);
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(number(&reply), 3);
    cluster.agree_at(index).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_command_passes_a_link_that_takes_seconds_for_it() {
    let cluster = Cluster::apart(3, Timing::derive(5, 50).unwrap(), None).await;
    let rate = COMMAND_BYTES_MAX as u64 / 4;
    let _planet = Planet::shaped(&cluster, Duration::ZERO, rate).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;
    let start = Instant::now();
    let command = large("a", 1, COMMAND_BYTES_MAX);
    let (_, reply) = soon("it commits", cluster.group(leader).propose(command))
        .await
        .unwrap();
    let took = start.elapsed();
    println!("{COMMAND_BYTES_MAX} bytes at {rate} a second committed in {took:?}");
    assert_eq!(number(&reply), 2);
    assert!(
        took > Duration::from_secs(4),
        "the link is not slow: {took:?}"
    );
    let status = cluster.group(leader).status();
    assert_eq!(status.term, term, "heartbeats got through");
    cluster.end().await;
}

#[tokio::test]
async fn a_node_too_far_away_gets_no_vote() {
    let mut cluster = Cluster::new(3).await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    cluster.start(4).await;
    let max = cluster.group(leader).timing().round_trip_max();
    let _planet = Planet::between(&cluster, max).await;
    let group = cluster.group(leader).clone();
    group.add_learner(4, cluster.node(4)).await.unwrap();
    let error = soon("it is measured and refused", async {
        loop {
            match group.promote(4).await {
                Err(MemberError::Lagging { .. }) => tokio::task::yield_now().await,
                Err(error) => return error,
                Ok(()) => panic!("it was given a vote"),
            }
        }
    })
    .await;
    assert!(
        matches!(error, MemberError::TooFar { id: 4, .. }),
        "{error}"
    );
    assert!(group.status().members[&4].too_far);
    assert!(!group.status().members[&4].voter);
    drop(group);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_not_answered_steps_aside_in_time() {
    let cluster = Cluster::apart(3, Timing::derive(5, 50).unwrap(), None).await;
    let planet = Planet::between(&cluster, Duration::ZERO).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let deaf = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != deaf).collect();
    let timing = cluster.group(deaf).timing().clone();
    let term = cluster.group(deaf).status().term;

    let start = Instant::now();
    for other in &others {
        planet.cut(*other, deaf, true);
    }
    for other in &others {
        cluster
            .until(*other, "the others follow one of themselves", |status| {
                status.term > term && status.leader.is_some_and(|leader| leader != deaf)
            })
            .await;
    }
    let took = start.elapsed();
    // Its own lease runs out first, then it is quiet, then the others' fail-over begins. A second
    // for the machine, which is shared with other tests.
    let bound = timing.election_max() + timing.failover_bound() + Duration::from_secs(1);
    println!("a deaf leader was replaced after {took:?}, bound {bound:?}");
    assert!(took < bound, "{took:?}");

    for other in &others {
        planet.cut(*other, deaf, false);
    }
    cluster
        .until(deaf, "it follows", |status| {
            status.role == Role::Follower && status.term > term && status.leader.is_some()
        })
        .await;
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(number(&reply), 2);
    cluster.agree_at(index).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_not_heard_disturbs_nobody() {
    let cluster = Cluster::apart(3, Timing::derive(5, 50).unwrap(), None).await;
    let planet = Planet::between(&cluster, Duration::ZERO).await;
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let mute = (1..=3).find(|id| *id != leader).unwrap();
    let (term, bound) = {
        let group = cluster.group(leader);
        (group.status().term, group.timing().failover_bound())
    };

    for other in (1..=3).filter(|id| *id != mute) {
        planet.cut(mute, other, true);
    }
    let mut watch = cluster.group(leader).watch();
    let disturbed = watch.wait_for(|status| status.term > term || status.role != Role::Leader);
    let waited = tokio::time::timeout(bound * 2, disturbed).await.is_err();
    assert!(waited, "the leader was disturbed");
    cluster.group(leader).propose(add("a", 1)).await.unwrap();

    for other in (1..=3).filter(|id| *id != mute) {
        planet.cut(mute, other, false);
    }
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(number(&reply), 3);
    cluster.agree_at(index).await;
    let status = cluster.group(leader).status();
    assert_eq!((status.role, status.term), (Role::Leader, term));
    cluster.end().await;
}
