//! The nodes: real ones, each on its own clock, disk and side of the network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meridian_node::env::{Clock, Environment, Network as _, SeededRandom};
use meridian_node::node::Node;
use meridian_node::raft::Role;
use meridian_node::settings::Settings;
use meridian_node::storage::Memory;
use meridian_proto::livechat::v1::*;
use meridian_routing::rules;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use meridian_people::damage;
use meridian_people::ledger::Ledger;
use meridian_people::stage::{Person, Ways};
use meridian_people::world::{Day, region_name};

use crate::net::{Host, Net, Side};

/// When the clocks begin: a Monday, 2026-01-05, at 08:00 UTC.
pub const DAWN_MS: i64 = 1_767_600_000_000;

/// What the nodes have in common.
#[derive(Clone)]
pub struct Ground {
    /// The network.
    pub net: Net,
    /// What the clocks show.
    pub day: Day,
    /// Where files are kept.
    pub dir: PathBuf,
    /// The slowest sync that the nodes are set up for.
    pub slowest_sync_ms: u64,
    /// Who sees what they decide.
    pub ledger: Arc<Ledger>,
}

/// One node, alive or not.
pub struct Machine {
    /// Its number, which is also its host.
    pub id: u64,
    /// Where it stands.
    pub region: usize,
    ground: Ground,
    seed: u64,
    lives: u64,
    dir: PathBuf,
    disk: Memory,
    sync_takes: Duration,
    /// The newest rules its next life knows.
    rules: u32,
    clock: Arc<Wrong>,
    running: Option<Node>,
}

/// A clock that may be wrong.
struct Wrong {
    day: Day,
    by: Mutex<Skew>,
}

/// How wrong a clock is.
#[derive(Clone, Copy, Debug, Default)]
struct Skew {
    since: Option<Instant>,
    /// At that moment.
    ms: i64,
    /// What it gains a second since then, in ms.
    gains: i64,
}

impl Clock for Wrong {
    fn now(&self) -> i64 {
        let now = Instant::now();
        self.day.wall_ms(now) + self.by.lock().at(now)
    }
}

impl Skew {
    fn at(&self, now: Instant) -> i64 {
        let since = self.since.map_or(0, |since| millis(now - since));
        self.ms + since * self.gains / 1_000
    }
}

fn millis(passed: Duration) -> i64 {
    i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
}

fn client_address(id: u64) -> SocketAddr {
    ([10, 0, 0, id as u8], 7001).into()
}

fn peer_address(id: u64) -> SocketAddr {
    ([10, 0, 0, id as u8], 7101).into()
}

impl Machine {
    /// A node of a region that does not run yet, with a disk that takes so long for a sync.
    pub fn new(
        ground: &Ground,
        (id, region): (u64, usize),
        seed: u64,
        sync_takes: Duration,
    ) -> Self {
        Self {
            id,
            region,
            ground: ground.clone(),
            seed,
            lives: 0,
            dir: ground.dir.join(format!("node-{id}")),
            disk: Memory::played(sync_takes),
            sync_takes,
            rules: rules::NEWEST,
            clock: Arc::new(Wrong {
                day: ground.day,
                by: Mutex::default(),
            }),
            running: None,
        }
    }

    /// Its next life is one of a version from before there were rules.
    pub fn is_old(&mut self) {
        self.rules = 0;
    }

    /// Starts it on what its disk holds.
    ///
    /// # Errors
    /// It does not start.
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
            slowest_sync_ms: self.ground.slowest_sync_ms,
            snapshot_every: 100,
            past_mib: 1,
            rules_max: std::mem::replace(&mut self.rules, rules::NEWEST),
            ..<Settings as clap::Parser>::parse_from(["sim", "--node-id=1", "--data=."])
        };
        let env = Environment {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed ^ (self.lives << 32) ^ self.id)),
            network: Arc::new(self.ground.net.side(self.id, self.region)),
            storage: Arc::new(self.disk.clone()),
            witness: Some(self.ground.ledger.clone()),
        };
        let node = Node::start(&settings, env).await?;
        if let Ok(group) = node.driver().group() {
            let (mut status, ledger) = (group.watch(), self.ground.ledger.clone());
            let (id, driver) = (self.id, node.driver().clone());
            tokio::spawn(async move {
                loop {
                    let now = status.borrow_and_update().clone();
                    match now.role {
                        Role::Leader => ledger.leads(now.term, id),
                        // As the program does whose Raft has ended.
                        Role::Stopped => {
                            driver.cut_off();
                            return driver.stop();
                        }
                        _ => {}
                    }
                    if status.changed().await.is_err() {
                        return;
                    }
                }
            });
        }
        self.running = Some(node);
        Ok(())
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Returns when something written is not on disk yet, or after a while without such a moment.
    pub async fn caught_writing(&self) {
        for _ in 0..4_000 {
            if self.disk.has_unsynced() {
                return;
            }
            tokio::time::sleep(Duration::from_micros(250)).await;
        }
    }

    /// Kills the process: what was handed to the operating system stays.
    pub fn kill(&mut self) {
        self.end(Memory::kill);
    }

    /// Takes the power away: of what was not synced, so many batches had reached the disk by chance.
    pub fn lose_power(&mut self, batches: usize) {
        self.end(|disk| disk.crash_with(batches));
    }

    fn end(&mut self, left: impl FnOnce(&Memory) -> Memory) {
        let Some(node) = self.running.take() else {
            return;
        };
        self.ground.net.crash(self.id);
        // What is left of it writes to a disk that is gone, and to files that nobody reads any more.
        let disk = left(&self.disk);
        let dir = self.dir.with_extension(self.lives.to_string());
        copy(&self.dir, &dir);
        self.disk = disk.moved(&self.dir.join("db"), &dir.join("db"));
        self.dir = dir;
        node.abandon();
    }

    /// Damages what a killed one left on its disk; what was done.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn damage(&self, random: &mut ChaCha8Rng) -> anyhow::Result<String> {
        // The database itself is none: it is in memory.
        if random.random_bool(0.3) && filled(&self.dir) {
            return damage::damage(&self.dir, random);
        }
        let choose = |choices| random.random_range(0..choices);
        let whose = self.disk.turn_over(choose);
        Ok(
            whose.map_or("nothing is there to damage".to_owned(), |bit| {
                format!("{bit} is another")
            }),
        )
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        let group = self.running.as_ref().and_then(|n| n.driver().group().ok());
        group.is_some_and(|group| group.status().role == Role::Stopped)
    }

    /// Fills its disk up: whatever it writes ends it.
    pub fn fill_disk(&self) {
        self.disk.set_full(true);
    }

    /// Returns once it has ended by itself, or after a while in which it did not.
    pub async fn ends(&self) {
        if let Some(node) = &self.running {
            let _ = tokio::time::timeout(Duration::from_secs(5), node.failed()).await;
        }
    }

    /// The term in which it leads, if it does.
    pub fn leads(&self) -> Option<u64> {
        let group = self.running.as_ref()?.driver().group().ok()?;
        let status = group.watch().borrow().clone();
        (status.role == Role::Leader).then_some(status.term)
    }

    /// Sets its clock wrong by so many ms, and so many more every second.
    pub fn set_clock_wrong(&self, ms: i64, gains: i64) {
        *self.clock.by.lock() = Skew {
            since: Some(Instant::now()),
            ms,
            gains,
        };
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

    /// Whether it runs an older version than there is.
    pub fn runs_old(&self) -> bool {
        let group = self.running.as_ref().and_then(|n| n.driver().group().ok());
        group.is_some_and(|group| group.rules() < rules::NEWEST)
    }

    /// Whether everything goes by the newest rules there.
    pub fn goes_by_newest(&self) -> bool {
        let node = self.running.as_ref();
        node.is_some_and(|node| node.driver().state().meta().rules == rules::NEWEST)
    }

    /// Whether it lets agents in.
    pub fn is_ready(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|node| *node.driver().readiness().borrow())
    }

    /// It as a member.
    pub fn member(&self) -> Member {
        Member {
            node_id: self.id,
            region_id: region_name(self.region),
            peer_address: peer_address(self.id).to_string(),
            ..Default::default()
        }
    }
}

/// Whether a file is anywhere in there.
fn filled(dir: &Path) -> bool {
    let mut entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.any(|entry| entry.path().is_file() || filled(&entry.path()))
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

impl Ways for Net {
    fn channel(&self, from: Person, node: u64) -> Channel {
        way(&self.side(client_host(from.number), from.region), node)
    }
}

fn way(side: &Side, node: u64) -> Channel {
    let uri = format!("http://{}", client_address(node));
    let endpoint = Endpoint::from_shared(uri).expect("an address is a URI");
    side.connect(
        endpoint
            .timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5)),
    )
}

/// The host of a client by its number; apart from those of nodes.
fn client_host(number: u64) -> Host {
    1_000 + number
}
