//! Distance and cuts between the nodes of a test: each dials each other one through a proxy of its
//! own that passes bytes on later, or holds them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster::Cluster;
use crate::raft::NodeId;

/// The way from one node to another: what holds the bytes of connections dialled along it and, on
/// connections dialled the other way round, those that come back.
pub(super) struct Planet {
    held: BTreeMap<(NodeId, NodeId), watch::Sender<bool>>,
}

impl Planet {
    /// Puts `delay` between any two of the nodes that run, each way.
    pub(super) async fn between(cluster: &Cluster, delay: Duration) -> Self {
        Self::shaped(cluster, delay, u64::MAX).await
    }

    /// The same, and lets so many bytes a second through each way of a connection. What is too much
    /// waits in line, the last comers behind it.
    pub(super) async fn shaped(cluster: &Cluster, delay: Duration, rate: u64) -> Self {
        let ids: Vec<NodeId> = cluster.running.keys().copied().collect();
        let pairs = |from: &NodeId| {
            let from = *from;
            ids.iter().map(move |to| (from, *to))
        };
        let pairs: Vec<_> = ids.iter().flat_map(pairs).filter(|(a, b)| a != b).collect();
        let held = pairs.iter().map(|way| (*way, watch::channel(false).0));
        let planet = Self {
            held: held.collect(),
        };
        for (from, to) in pairs {
            let ways = [
                planet.held[&(from, to)].subscribe(),
                planet.held[&(to, from)].subscribe(),
            ];
            let target = cluster.addresses[&to];
            let address = proxy(target, (delay, rate), ways).await;
            cluster.via.lock().insert((from, to), address);
        }
        planet
    }

    /// Holds all that `from` sends to `to`, or lets it go.
    pub(super) fn cut(&self, from: NodeId, to: NodeId, hold: bool) {
        self.held[&(from, to)].send_replace(hold);
    }

    /// Holds all that a node sends and is sent, or lets it go.
    pub(super) fn isolate(&self, id: NodeId, hold: bool) {
        for ((from, to), way) in &self.held {
            if *from == id || *to == id {
                way.send_replace(hold);
            }
        }
    }
}

/// Passes bytes on after `delay`, however many are on their way, unless they are held.
async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    (delay, rate): (Duration, u64),
    mut held: watch::Receiver<bool>,
) {
    let (sender, mut under_way) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        let mut passed = Instant::now();
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let takes = Duration::from_nanos(length as u64 * 1_000_000_000 / rate);
            passed = passed.max(Instant::now()) + takes;
            let piece = (passed + delay, bytes[..length].to_vec());
            if sender.send(piece).is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = under_way.recv().await {
        tokio::time::sleep_until(due).await;
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// A port that leads to `target`, far away.
async fn proxy(
    target: SocketAddr,
    shape: (Duration, u64),
    [there, back]: [watch::Receiver<bool>; 2],
) -> SocketAddr {
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
            tokio::spawn(carry(near_in, far_out, shape, there.clone()));
            tokio::spawn(carry(far_in, near_out, shape, back.clone()));
        }
    });
    address
}
