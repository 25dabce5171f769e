//! How fast it is here; run with `cargo test speed -- --ignored --nocapture`.

use std::time::Instant;

use super::add;
use super::cluster::Cluster;
use crate::raft::Timing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, nothing can fail"]
async fn speed_of_commits() {
    for nodes in [1, 3] {
        let cluster = Cluster::apart(nodes, Timing::derive(5, 50).unwrap(), None).await;
        cluster.initialize().await;
        cluster.propose(&add("a", 1)).await;
        let leader = cluster.leader().await;
        for clients in [1, 64, 1_000] {
            let each = if clients == 1 { 500 } else { 20_000 / clients };
            let start = Instant::now();
            let tasks = (0..clients).map(|client| {
                let group = cluster.group(leader).clone();
                tokio::spawn(async move {
                    for _ in 0..each {
                        let command = add(&format!("c{client}"), 1);
                        group.propose(command).await.unwrap();
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            let rate = f64::from(clients * each) / start.elapsed().as_secs_f64();
            println!("{nodes} nodes, {clients} clients: {rate:.0} commits/s");
        }
        cluster.end().await;
    }
}
