//! A planet between the nodes: every byte takes half a round trip.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::cluster::Cluster;
use super::{add, number};
use crate::raft::Timing;

const ROUND_TRIP: Duration = Duration::from_millis(220);

/// Passes bytes on after `delay`, however many are on their way.
async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) {
    let (sender, mut under_way) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let piece = (Instant::now() + delay, bytes[..length].to_vec());
            if sender.send(piece).is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = under_way.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// A port that leads to `target`, far away.
async fn proxy(target: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(target).await else {
                continue;
            };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out, delay));
            tokio::spawn(carry(far_in, near_out, delay));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_take_one_round_trip_are_pipelined_and_fail_over_in_time() {
    let timing = Timing::derive(ROUND_TRIP.as_millis() as u64).unwrap();
    let bound = timing.failover_bound();
    let mut cluster = Cluster::apart(3, timing, None).await;
    for id in 1..=3 {
        let target = cluster.node(id).address.parse().unwrap();
        let address = proxy(target, ROUND_TRIP / 2).await;
        cluster.via.lock().insert(id, address);
    }
    cluster.initialize().await;
    cluster.propose(&add("a", 1)).await;
    let leader = cluster.leader().await;
    let measured = cluster.group(leader).round_trips();
    assert_eq!(measured.len(), 2, "{measured:?}");
    assert!(
        measured.values().all(|way| *way >= ROUND_TRIP),
        "{measured:?}"
    );
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
