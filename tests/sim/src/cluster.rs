//! The nodes: real ones, each on its own clock, disk and side of the network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use meridian_node::env::{Clock, Environment, Network as _, SeededRandom};
use meridian_node::node::Node;
use meridian_node::settings::Settings;
use meridian_node::storage::Memory;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::net::{Host, Net, Side};

/// When the simulated day begins: a Monday, 2026-01-05, at 08:00 UTC.
pub const DAWN_MS: i64 = 1_767_600_000_000;
/// One node, alive or not.
pub struct Machine {
    /// Its number, which is also its host.
    pub id: u64,
    region: usize,
    net: Net,
    seed: u64,
    lives: u64,
    dir: PathBuf,
    disk: Memory,
    sync_takes: Duration,
    slowest_sync_ms: u64,
    clock: Arc<Skewed>,
    running: Option<Node>,
}

/// A clock that is wrong by so many ms.
struct Skewed {
    began: Instant,
    wrong_ms: AtomicI64,
}

impl Clock for Skewed {
    fn now(&self) -> i64 {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        DAWN_MS + passed + self.wrong_ms.load(Ordering::Relaxed)
    }
}

/// Where clients of a node connect.
pub fn client_address(id: u64) -> SocketAddr {
    ([10, 0, 0, id as u8], 7001).into()
}

fn peer_address(id: u64) -> SocketAddr {
    ([10, 0, 0, id as u8], 7101).into()
}

impl Machine {
    /// A node of a region that does not run yet, with a disk that takes so long for a sync, in a cluster set up for
    /// disks that take at most so many ms.
    pub fn new(
        net: &Net,
        dir: &Path,
        (id, region): (u64, usize),
        seed: u64,
        (sync_takes, slowest_sync_ms): (Duration, u64),
    ) -> Self {
        Self {
            id,
            region,
            net: net.clone(),
            seed,
            lives: 0,
            dir: dir.join(format!("node-{id}")),
            disk: Memory::played(sync_takes),
            sync_takes,
            slowest_sync_ms,
            clock: Arc::new(Skewed {
                began: Instant::now(),
                wrong_ms: AtomicI64::new(0),
            }),
            running: None,
        }
    }

    /// Starts it on what its disk holds.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let settings = Settings {
            node_id: self.id,
            region: region_name(self.region),
            cluster: "sim".to_owned(),
            data: self.dir.clone(),
            listen: client_address(self.id),
            peer_listen: peer_address(self.id),
            round_trip_ms: 200,
            slowest_sync_ms: self.slowest_sync_ms,
            snapshot_every: 200,
            past_mib: 1,
            check_invariants: true,
            ..<Settings as clap::Parser>::parse_from(["sim", "--node-id=1", "--data=."])
        };
        let env = Environment {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed ^ (self.lives << 32) ^ self.id)),
            network: Arc::new(self.net.side(self.id, self.region)),
            storage: Arc::new(self.disk.clone()),
            witness: None,
        };
        self.running = Some(Node::start(&settings, env).await?);
        Ok(())
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Returns when something written is not on disk yet, or after a while without such a moment.
    pub async fn caught_writing(&self) {
        for _ in 0..20_000 {
            if self.disk.has_unsynced() {
                return;
            }
            tokio::time::sleep(Duration::from_micros(250)).await;
        }
    }

    /// Takes the power away, or only kills the process: then what was handed to the operating system stays.
    pub fn crash(&mut self, power: bool) {
        let Some(node) = self.running.take() else {
            return;
        };
        self.net.crash(self.id);
        // What is left of it writes to a disk that is gone, and to files that nobody reads any more.
        let disk = if power {
            self.disk.crash()
        } else {
            self.disk.kill()
        };
        let dir = self.dir.with_extension(self.lives.to_string());
        copy(&self.dir, &dir);
        self.disk = disk.moved(&self.dir.join("db"), &dir.join("db"));
        self.dir = dir;
        node.abandon();
    }

    /// Sets its clock wrong.
    pub fn set_clock_wrong(&self, by_ms: i64) {
        self.clock.wrong_ms.store(by_ms, Ordering::Relaxed);
    }

    /// Makes its disk slower than it is, or as fast as it is.
    pub fn set_disk_slower(&self, by: Duration) {
        self.disk.set_sync_takes(self.sync_takes + by);
    }

    /// Index and hash of its state.
    pub fn hash(&self) -> Option<(u64, u64)> {
        let group = self.running.as_ref()?.driver().group().ok()?;
        Some(group.hash())
    }

    /// Whether it lets agents in.
    pub fn is_ready(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|node| *node.driver().readiness().borrow())
    }
}

/// A region's name by its number.
pub fn region_name(region: usize) -> String {
    ["ap", "eu", "us"][region % 3].to_owned()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::create_dir_all(to);
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

/// The channel of a client to a node.
pub fn way(side: &Side, node: u64) -> Channel {
    let uri = format!("http://{}", client_address(node));
    let endpoint = Endpoint::from_shared(uri).expect("an address is a URI");
    side.connect(
        endpoint
            .timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5)),
    )
}

/// Makes the nodes one cluster.
pub async fn form(side: &Side, machines: &[Machine]) -> anyhow::Result<()> {
    let members = machines.iter().map(|m| Member {
        node_id: m.id,
        region_id: region_name(m.region),
        peer_address: peer_address(m.id).to_string(),
        ..Default::default()
    });
    let ask = InitializeClusterRequest {
        members: members.collect(),
    };
    let mut admin = AdminServiceClient::new(way(side, machines[0].id));
    for _ in 0..100 {
        match admin.initialize_cluster(ask.clone()).await {
            Ok(_) => return Ok(()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    anyhow::bail!("the cluster cannot be formed")
}

/// The host of a client by its number; apart from those of nodes.
pub fn client_host(number: u64) -> Host {
    1_000 + number
}
