//! A cluster in this process: every node with its own runtime, disk and port, so that a node can
//! die at once and as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Status as GrpcStatus;

use super::Counter;
use crate::raft::{Connector, Group, GroupConfig, Node, NodeId, PeerHandler, Role, Status, Timing};
use crate::storage::Rocks;

/// The mark of every cluster here.
const FOUNDED: &str = "f";

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for an event, or says which one did not come.
pub(super) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("this did not happen: {what}"),
    }
}

/// Which links are cut, from whom to whom.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<BTreeSet<(NodeId, NodeId)>>>);

/// Through which proxy one node dials another, if not directly.
pub(super) type Via = Arc<Mutex<BTreeMap<(NodeId, NodeId), SocketAddr>>>;

struct Dial {
    from: NodeId,
    cut: Links,
    via: Via,
}

impl Connector for Dial {
    fn uri(&self, id: NodeId, node: &Node) -> String {
        if self.cut.0.lock().contains(&(self.from, id)) {
            // Nobody listens on the discard port: refused at once.
            return "http://127.0.0.1:9".to_owned();
        }
        match self.via.lock().get(&(self.from, id)) {
            Some(proxy) => format!("http://{proxy}"),
            None => format!("http://{}", node.address),
        }
    }
}

struct Handler(Group);

#[tonic::async_trait]
impl PeerHandler for Handler {
    async fn forward(&self, _: u32, _: NodeId, command: Vec<u8>) -> Result<Vec<u8>, GrpcStatus> {
        self.0
            .propose(command)
            .await
            .map(|(_, reply)| reply)
            .map_err(|error| GrpcStatus::failed_precondition(error.to_string()))
    }

    async fn read_index(&self, _: u32, _: NodeId) -> Result<u64, GrpcStatus> {
        self.0
            .read_index()
            .await
            .map_err(|error| GrpcStatus::failed_precondition(error.to_string()))
    }
}

pub(super) struct TestNode {
    pub(super) group: Group,
    runtime: Runtime,
}

pub(super) struct Cluster {
    pub(super) running: BTreeMap<NodeId, TestNode>,
    pub(super) cut: Links,
    pub(super) via: Via,
    timing: Timing,
    snapshot_every: Option<u64>,
    pub(super) in_flight_max: Option<usize>,
    pub(super) addresses: BTreeMap<NodeId, SocketAddr>,
    dirs: BTreeMap<NodeId, TempDir>,
}

impl Cluster {
    /// `voters` nodes side by side, initialized, with a leader.
    pub(super) async fn new(voters: u64) -> Self {
        let cluster = Self::apart(voters, Timing::derive(5, 50).unwrap(), Some(100)).await;
        cluster.initialize().await;
        cluster
    }

    /// `voters` nodes with times of their own, not yet initialized. A node that lags by much more
    /// than `snapshot_every` is sent a snapshot.
    pub(super) async fn apart(voters: u64, timing: Timing, snapshot_every: Option<u64>) -> Self {
        let mut cluster = Self::empty(timing, snapshot_every);
        for id in 1..=voters {
            cluster.start(id).await;
        }
        cluster
    }

    /// No node yet.
    pub(super) fn empty(timing: Timing, snapshot_every: Option<u64>) -> Self {
        Self {
            running: BTreeMap::new(),
            cut: Links::default(),
            via: Via::default(),
            timing,
            snapshot_every,
            in_flight_max: None,
            addresses: BTreeMap::new(),
            dirs: BTreeMap::new(),
        }
    }

    /// Gives a killed node an empty directory.
    pub(super) fn empty_directory(&mut self, id: NodeId) {
        assert!(!self.running.contains_key(&id), "it runs");
        self.dirs.remove(&id);
    }

    pub(super) async fn initialize(&self) {
        let members = self.running.keys().map(|id| (*id, self.node(*id)));
        let members = members.collect();
        self.group(1).initialize(members, FOUNDED).await.unwrap();
        self.leader().await;
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        Node {
            address: self.addresses[&id].to_string(),
            region: format!("region{id}"),
            founded: FOUNDED.to_owned(),
        }
    }

    pub(super) fn group(&self, id: NodeId) -> &Group {
        &self.running[&id].group
    }

    pub(super) fn config(&self, id: NodeId) -> GroupConfig {
        let dial = Dial {
            from: id,
            cut: self.cut.clone(),
            via: self.via.clone(),
        };
        let mut config = GroupConfig::new(
            self.dirs[&id].path().to_owned(),
            Arc::new(Rocks),
            "test".to_owned(),
            id,
            self.timing.clone(),
            Arc::new(dial),
        );
        if let Some(every) = self.snapshot_every {
            config.snapshot_every = every;
            config.log_to_keep = every / 5;
        }
        if let Some(max) = self.in_flight_max {
            config.in_flight_max = max;
        }
        config
    }

    /// Starts a node, new or again.
    pub(super) async fn start(&mut self, id: NodeId) {
        self.dirs
            .entry(id)
            .or_insert_with(|| TempDir::new().unwrap());
        let address = self.addresses.get(&id).copied();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = self.config(id);
        let (group, address) = runtime
            .spawn(async move {
                let group = Group::start(config, Counter::default()).await.unwrap();
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let listener = TcpListener::bind(address.unwrap_or(any)).unwrap();
                listener.set_nonblocking(true).unwrap();
                let address = listener.local_addr().unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming =
                    tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
                let service = group.peer_service(Arc::new(Handler(group.clone())));
                tokio::spawn(
                    group
                        .peer_server()
                        .add_service(service)
                        .serve_with_incoming(incoming),
                );
                (group, address)
            })
            .await
            .unwrap();
        self.addresses.insert(id, address);
        self.running.insert(id, TestNode { group, runtime });
    }

    /// Kills a node without any farewell and waits until its directory is free.
    pub(super) async fn kill(&mut self, id: NodeId) {
        let TestNode { group, runtime } = self.running.remove(&id).unwrap();
        runtime.shutdown_background();
        let mut closed = group.closed();
        drop(group);
        let _ = soon("the directory of a killed node is free", closed.changed()).await;
    }

    /// Waits until all running nodes not cut off agree on a running leader.
    pub(super) async fn leader(&self) -> NodeId {
        let cut = self.cut.0.lock().clone();
        let apart: Vec<NodeId> = cut.iter().map(|(from, _)| *from).collect();
        let here: Vec<NodeId> = self
            .running
            .keys()
            .copied()
            .filter(|id| apart.iter().filter(|from| *from == id).count() < 2)
            .collect();
        soon("a leader everybody follows", async {
            loop {
                let mut leaders = BTreeSet::new();
                for id in &here {
                    let mut watch = self.group(*id).watch();
                    let known = watch.wait_for(|status| {
                        status.leader.is_some_and(|leader| here.contains(&leader))
                    });
                    let status = known.await.unwrap().clone();
                    leaders.insert((status.term, status.leader.unwrap()));
                }
                if let (1, Some((_, leader))) = (leaders.len(), leaders.first())
                    && self.group(*leader).status().role == Role::Leader
                {
                    return *leader;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits until a node's status is as wanted.
    pub(super) async fn until(&self, id: NodeId, what: &str, wanted: impl Fn(&Status) -> bool) {
        let mut watch = self.group(id).watch();
        soon(what, watch.wait_for(|status| wanted(status)))
            .await
            .unwrap();
    }

    /// Proposes, wherever the leader is by now.
    pub(super) async fn propose(&self, command: &[u8]) -> (u64, Vec<u8>) {
        soon("a command is applied", async {
            loop {
                let leader = self.leader().await;
                match self.group(leader).propose(command.to_vec()).await {
                    Ok(done) => return done,
                    Err(error) => tracing::info!(%error, "again"),
                }
            }
        })
        .await
    }

    /// Waits until every running node has applied `index` and says that their states are equal.
    pub(super) async fn agree_at(&self, index: u64) {
        let mut hashes = BTreeSet::new();
        for node in self.running.values() {
            soon("an index is applied", node.group.wait_applied(index))
                .await
                .unwrap();
            hashes.insert(node.group.hash());
        }
        assert_eq!(hashes.len(), 1, "{hashes:?}");
    }

    /// Cuts a node off from all others, both ways, or joins it again.
    pub(super) fn isolate(&self, id: NodeId, apart: bool) {
        let mut cut = self.cut.0.lock();
        for other in self.addresses.keys().copied().filter(|other| *other != id) {
            for link in [(id, other), (other, id)] {
                if apart {
                    cut.insert(link);
                } else {
                    cut.remove(&link);
                }
            }
        }
    }

    /// Ends everything.
    pub(super) async fn end(mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.kill(id).await;
        }
    }
}
