//! The nodes: real processes, each with a place, a disk and a clock of its own.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meridian_people::operator::OPERATOR;
use meridian_people::stage::{Person, Ways as _};
use meridian_people::world::region_name;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use crate::ground::{CLIENT_PORT, Ground, PEER_PORT};
use crate::watch::Watch;

/// By so much is the worst round trip that nodes are told of longer than the longest there is: jitter.
const WORST: f64 = 1.1;
/// What fills a disk up.
const FILLER: &str = "filler";
/// How long a node may take to end once it is asked to, or has reason to.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// What all processes have in common.
#[derive(Clone)]
pub struct Common {
    /// What they stand on.
    pub ground: Arc<Ground>,
    /// Who reads what they come to.
    pub watch: Arc<Watch>,
    /// The program.
    pub program: PathBuf,
    /// The library that makes clocks wrong.
    pub clocks: PathBuf,
}

/// One node, alive or not.
pub struct Machine {
    /// Its number.
    pub id: u64,
    /// Where it stands.
    pub region: usize,
    common: Common,
    lives: u64,
    child: Option<Child>,
    /// Why it should end by itself, if it should.
    ends: Option<Reason>,
}

/// Why a node ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked to.
    Asked,
    /// Its disk is full.
    Full,
}

impl Machine {
    /// A node with an empty disk that does not run yet.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new(common: &Common, id: u64, region: usize) -> anyhow::Result<Self> {
        common.ground.settle(id, region)?;
        let machine = Self {
            id,
            region,
            common: common.clone(),
            lives: 0,
            child: None,
            ends: None,
        };
        machine.set_clock_wrong(0)?;
        Ok(machine)
    }

    /// Starts it on what its disk holds.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let at = |port: u16| format!("{}:{port}", self.common.ground.address(self.id));
        let worst = self.common.ground.round_trip().mul_f64(WORST);
        let witness = self.file(&format!("life-{}", self.lives));
        let mut command = self.common.ground.program(self.id, &self.common.program);
        for (flag, value) in [
            ("--node-id", self.id.to_string()),
            ("--region", region_name(self.region)),
            ("--cluster", "chaos".to_owned()),
            ("--data", self.data().display().to_string()),
            ("--listen", at(CLIENT_PORT)),
            ("--peer-listen", at(PEER_PORT)),
            ("--round-trip-ms", worst.as_millis().to_string()),
            // Often, so that nodes that come back meet snapshots, too.
            ("--snapshot-every", "500".to_owned()),
            ("--past-mib", "4".to_owned()),
            ("--witness", witness.display().to_string()),
        ] {
            command.arg(flag).arg(value);
        }
        let log = self.log();
        let log = File::options().create(true).append(true).open(&log);
        command
            .env("LD_PRELOAD", &self.common.clocks)
            .env("FAKETIME_TIMESTAMP_FILE", self.file("clock"))
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.context("a log")?);
        // Before it can have told anybody anything.
        self.common.watch.follow(self.id, witness);
        // A signal to everybody in the terminal is for `chaos` alone.
        let child = command.process_group(0).spawn();
        self.child = Some(child.with_context(|| format!("node {} cannot be started", self.id))?);
        Ok(())
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Why it ended by itself, if it did: its status, and its last words.
    pub fn ended(&mut self) -> Option<(ExitStatus, String)> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some((status, self.last_words()))
    }

    /// Nothing, as long as it has not ended by itself.
    ///
    /// # Errors
    /// It has.
    pub fn lives_on(&mut self) -> anyhow::Result<()> {
        match self.ended() {
            None => Ok(()),
            Some((status, words)) => {
                bail!("node {} ended by itself, with {status}: {words}", self.id)
            }
        }
    }

    /// Whether it was started and nobody has ended it since.
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Kills it.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait().map(drop))?;
            self.common.watch.is_over(self.id);
        }
        self.ends = None;
        self.free_disk();
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(child) = &self.child else {
            return Ok(());
        };
        let pid = Pid::from_child(child);
        kill_process(pid, signal).with_context(|| format!("{signal:?} to node {}", self.id))
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.ends = Some(Reason::Asked);
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended, if it has reason to, and takes the reason away.
    ///
    /// # Errors
    /// It runs on, or ended as it should not.
    pub async fn ends(&mut self) -> anyhow::Result<()> {
        let filler = self.filler();
        let (Some(why), Some(child)) = (self.ends.take(), self.child.as_mut()) else {
            return Ok(());
        };
        let ended = async {
            loop {
                if let Some(status) = child.try_wait()? {
                    return anyhow::Ok(status);
                }
                if why == Reason::Full {
                    // What the database gave back meanwhile.
                    fill(&filler)?;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let status = timeout(ENDS_WITHIN, ended).await;
        let told = || format!("node {}, {why:?}: {}", self.id, self.last_words());
        let status = status.with_context(|| format!("runs on: {}", told()))??;
        ensure!(
            status.success() == (why == Reason::Asked),
            "ends with {status}: {}",
            told()
        );
        self.child = None;
        self.common.watch.is_over(self.id);
        self.free_disk();
        Ok(())
    }

    /// Fills its disk up to the last byte.
    ///
    /// # Errors
    /// What is not a full disk.
    pub fn fill_disk(&mut self) -> anyhow::Result<()> {
        self.ends = Some(Reason::Full);
        fill(&self.filler())
    }

    fn free_disk(&self) {
        // It may be free already.
        let _ = std::fs::remove_file(self.filler());
    }

    /// Sets its clock wrong by so many ms.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_clock_wrong(&self, ms: i64) -> anyhow::Result<()> {
        let (clock, new) = (self.file("clock"), self.file("clock-new"));
        let (sign, ms) = (if ms < 0 { '-' } else { '+' }, ms.unsigned_abs());
        std::fs::write(&new, format!("{sign}{}.{:03}", ms / 1_000, ms % 1_000))?;
        std::fs::rename(new, clock).context("a clock")
    }

    /// What it tells of the cluster, if it answers.
    pub async fn status(&self) -> Option<ClusterStatusResponse> {
        let region = self.region;
        let near = Person { region, ..OPERATOR };
        let mut admin = AdminServiceClient::new(self.common.ground.channel(near, self.id));
        let asks = admin.cluster_status(ClusterStatusRequest {});
        let told = timeout(Duration::from_secs(2), asks).await;
        Some(told.ok()?.ok()?.into_inner())
    }

    /// It as a member.
    pub fn member(&self) -> Member {
        Member {
            node_id: self.id,
            region_id: region_name(self.region),
            peer_address: format!("{}:{PEER_PORT}", self.common.ground.address(self.id)),
            ..Default::default()
        }
    }

    /// What it keeps.
    pub fn data(&self) -> PathBuf {
        self.common.ground.disk(self.id).join("data")
    }

    /// The last it said.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.file("log")
    }

    fn filler(&self) -> PathBuf {
        self.common.ground.disk(self.id).join(FILLER)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.common.ground.dir.join(format!("{}.{name}", self.id))
    }
}

/// Fills the disk up on which a file stands.
fn fill(path: &Path) -> anyhow::Result<()> {
    let file = File::options().create(true).append(true).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    for size in [1 << 20, 1 << 12, 1] {
        let bytes = vec![0x5a; size];
        while file.write_all(&bytes).is_ok() {}
    }
    Ok(())
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}
