//! Commit, crash, fail over, catch up.

use std::time::Instant;

use super::cluster::{Cluster, soon};
use super::{Counter, add, number};
use crate::raft::{Group, ProposeError, StartError};
use crate::storage::{Batch, Db, Rocks, StorageError, keys};

#[tokio::test]
async fn a_cluster_survives_its_leader_and_brings_it_back_by_snapshot() {
    let mut cluster = Cluster::new(3).await;
    for sum in 1..=10 {
        let (_, reply) = cluster.propose(&add("a", 1)).await;
        assert_eq!(number(&reply), sum);
    }
    let (index, _) = cluster.propose(&add("b", 5)).await;
    cluster.agree_at(index).await;

    let old = cluster.leader().await;
    let bound = cluster.group(old).timing().failover_bound();
    let died = Instant::now();
    cluster.kill(old).await;
    let (_, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(number(&reply), 11, "nothing acknowledged was lost");
    // The machine is shared with other tests: twice the bound still tells a broken election.
    assert!(died.elapsed() < bound * 2, "{:?}", died.elapsed());

    // Far enough that the log the old leader lacks is gone.
    let leader = cluster.leader().await;
    let many = (0..400).map(|_| cluster.group(leader).propose(add("a", 1)));
    for done in futures::future::join_all(many).await {
        done.unwrap();
    }
    cluster
        .until(leader, "the log is purged", |status| status.purged > 100)
        .await;
    cluster.start(old).await;
    let (index, reply) = cluster.propose(&add("a", 1)).await;
    assert_eq!(number(&reply), 412);
    cluster.agree_at(index).await;
    assert!(cluster.group(old).status().snapshot > 100);
    cluster.end().await;
}

#[tokio::test]
async fn everything_is_there_after_a_crash_of_all() {
    let mut cluster = Cluster::new(1).await;
    for _ in 0..250 {
        cluster.propose(&add("a", 1)).await;
    }
    let before = cluster.group(1).hash();
    cluster.kill(1).await;
    cluster.start(1).await;
    let (index, reply) = cluster.propose(&add("a", 0)).await;
    assert!(index > before.0);
    assert_eq!(number(&reply), 250);
    assert_eq!(cluster.group(1).hash().1, before.1);
    cluster.end().await;
}

#[tokio::test]
async fn a_foreign_or_held_directory_stops_the_start() {
    let mut cluster = Cluster::new(1).await;
    let mut config = cluster.config(1);
    let held = Group::start(config.clone(), Counter::default()).await;
    assert!(matches!(
        held.err().unwrap(),
        StartError::Storage(StorageError::Held { .. })
    ));
    cluster.kill(1).await;
    config.node_id = 2;
    let foreign = Group::start(config, Counter::default()).await;
    assert!(matches!(
        foreign.err().unwrap(),
        StartError::Storage(StorageError::Foreign { .. })
    ));
}

#[tokio::test]
async fn a_corrupt_log_entry_stops_the_start_and_is_named() {
    let mut cluster = Cluster::new(1).await;
    let (index, _) = cluster.propose(&add("a", 1)).await;
    cluster.kill(1).await;
    let config = cluster.config(1);
    let key = keys::log(config.group, index);
    {
        let db = Db::open(&Rocks, &config.data_dir).unwrap();
        let mut value = db
            .range(keys::LOG, &key, &keys::log_end(config.group))
            .next()
            .unwrap()
            .unwrap()
            .1;
        *value.last_mut().unwrap() ^= 1;
        let mut batch = Batch::default();
        batch.put(keys::LOG, key, value);
        db.write(batch).unwrap();
    }
    let error = Group::start(config, Counter::default())
        .await
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("a log entry") && text.contains("corrupt"),
        "{text}"
    );
    assert!(text.contains("/db"), "{text}");
}

#[tokio::test]
async fn a_stopped_group_says_so() {
    let cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let group = cluster.group(1);
    group.shutdown().await;
    let error = group.propose(add("a", 1)).await.unwrap_err();
    assert!(matches!(error, ProposeError::Stopped(_)), "{error}");
    assert!(group.wait_applied(u64::MAX).await.is_err());
    assert!(group.read_index().await.is_err());
    cluster.end().await;
}

#[tokio::test]
async fn a_follower_points_to_the_leader_and_reads_after_it() {
    let cluster = Cluster::new(3).await;
    // From the first commit on the leader knows that it leads.
    cluster.propose(&add("a", 0)).await;
    let leader = cluster.leader().await;
    let follower = *cluster.running.keys().find(|id| **id != leader).unwrap();
    let group = cluster.group(follower);
    let error = group.propose(add("a", 1)).await.unwrap_err();
    let ProposeError::NotLeader {
        leader: Some(known),
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(known, (leader, cluster.node(leader)));

    let reply = group.forward(&known, add("a", 3)).await.unwrap();
    assert_eq!(number(&reply), 3);
    let index = group.remote_read_index(&known).await.unwrap();
    soon("the read index is applied", group.wait_applied(index))
        .await
        .unwrap();
    assert_eq!(group.hash(), cluster.group(leader).hash());
    assert!(group.read_index().await.is_err());

    let too_large = vec![0; crate::raft::group::COMMAND_BYTES_MAX + 1];
    let error = cluster.group(leader).propose(too_large).await.unwrap_err();
    assert!(matches!(error, ProposeError::TooLarge { .. }), "{error}");
    cluster.end().await;
}
