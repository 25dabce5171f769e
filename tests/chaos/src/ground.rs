//! What the nodes stand on: a network namespace and a small disk each, with wires between them.
//!
//! Everything is made inside namespaces of our own, where nothing outside can see or be touched by it, and is gone with
//! the process. Where the system allows none, nodes stand on addresses of loopback, and networks and disks do not fail.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use meridian_people::stage::{Person, Ways};
use serde::Serialize;
use tonic::transport::{Channel, Endpoint};

use crate::packets::{ROUND_TRIP, Weather, Wires};

/// Tells a process that it is inside already.
const INSIDE: &str = "MERIDIAN_CHAOS_INSIDE";
/// Where nodes take clients.
pub const CLIENT_PORT: u16 = 7001;
/// Where nodes take each other.
pub const PEER_PORT: u16 = 7101;
/// A node's disk. Too small for the room that RocksDB would set aside for its write-ahead log: a full disk is to be felt
/// with the next write.
const DISK_MIB: u64 = 64;

/// What the nodes stand on.
pub struct Ground {
    /// Where everything is kept.
    pub dir: PathBuf,
    /// Between them; none on loopback.
    wires: Option<Wires>,
}

/// Where the nodes can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In namespaces of their own.
    Namespaces,
    /// On loopback, as the system allows nothing else.
    Loopback,
}

/// Goes on in namespaces of our own, and returns inside; where they are not allowed, returns at once.
///
/// # Errors
/// They are allowed, and cannot be entered.
pub fn enter() -> anyhow::Result<Kind> {
    if std::env::var_os(INSIDE).is_some() {
        // What `ip netns` keeps belongs to us alone.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        // Nor need anybody see what makes clocks wrong.
        run("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"])?;
        return Ok(Kind::Namespaces);
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
        if !rustix::process::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        unshare.arg("--");
        unshare
    };
    let tried = unshare()
        .args(["ip", "tuntap", "add", "dev", "tried", "mode", "tun"])
        .output();
    let tried = tried.context("unshare, of the Debian package util-linux, cannot be run")?;
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        let why = why.trim();
        eprintln!("chaos: no namespaces here, so networks and disks do not fail: {why}");
        return Ok(Kind::Loopback);
    }
    let itself = std::env::current_exe().context("where this program is")?;
    let mut inside = unshare();
    inside.arg(itself).args(std::env::args_os().skip(1));
    Err(inside.env(INSIDE, "1").exec()).context("unshare")
}

impl Ground {
    /// Clients' side of it, with an address a region.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new(kind: Kind, dir: &Path, seed: u64) -> anyhow::Result<Arc<Self>> {
        let mut ground = Self {
            dir: dir.to_owned(),
            wires: None,
        };
        if kind == Kind::Loopback {
            return Ok(Arc::new(ground));
        }
        let wires = ground.wires.insert(Wires::new(seed)).clone();
        let clients: Vec<_> = (0..3)
            .map(|region| (ground.client(region), region))
            .collect();
        wires.device("clients", &clients).context("a TUN device")?;
        run("ip", &["link", "set", "lo", "up"])?;
        for (address, _) in &clients {
            let address = format!("{address}/32");
            run("ip", &["addr", "add", &address, "dev", "clients"])?;
        }
        run("ip", &["link", "set", "clients", "up"])?;
        run("ip", &["route", "add", "10.77.0.0/16", "dev", "clients"])?;
        Ok(Arc::new(ground))
    }

    /// The longest round trip there is, without jitter.
    pub fn round_trip(&self) -> Duration {
        match self.wires {
            Some(_) => ROUND_TRIP,
            None => Duration::ZERO,
        }
    }

    /// Makes the weather.
    pub fn weather(&self, weather: Weather) {
        if let Some(wires) = &self.wires {
            wires.weather(weather);
        }
    }

    /// Makes a node's place, with an empty disk.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn settle(&self, node: u64, region: usize) -> anyhow::Result<()> {
        let disk = self.disk(node);
        std::fs::create_dir(&disk).with_context(|| disk.display().to_string())?;
        let Some(wires) = &self.wires else {
            return Ok(());
        };
        let (space, device) = (space(node), format!("t{node}"));
        let address = self.address(node);
        run("ip", &["netns", "add", &space])?;
        let device_made = wires.device(&device, &[(address, region)]);
        device_made.with_context(|| format!("a TUN device for node {node}"))?;
        run("ip", &["link", "set", &device, "netns", &space])?;
        let inside = |command: &[&str]| {
            let all = [&["-n", space.as_str()], command].concat();
            run("ip", &all)
        };
        inside(&["link", "set", "lo", "up"])?;
        let wide = format!("{address}/32");
        inside(&["addr", "add", &wide, "dev", &device])?;
        inside(&["link", "set", &device, "up"])?;
        inside(&["route", "add", "default", "dev", &device])?;
        let size = format!("size={DISK_MIB}m");
        let disk = disk.display().to_string();
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &disk])
    }

    /// Takes a node's place away for good.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn abandon(&self, node: u64) -> anyhow::Result<()> {
        let Some(wires) = &self.wires else {
            return Ok(());
        };
        wires.forget(self.address(node));
        run("umount", &["-l", &self.disk(node).display().to_string()])?;
        run("ip", &["netns", "del", &space(node)])
    }

    /// Where a node's disk is.
    pub fn disk(&self, node: u64) -> PathBuf {
        self.dir.join(format!("node-{node}"))
    }

    /// A node's program, to be run where the node stands.
    pub fn program(&self, node: u64, program: &Path) -> Command {
        if self.wires.is_none() {
            return Command::new(program);
        }
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", space(node)));
        command.arg("--").arg(program);
        command
    }

    /// A node hears nothing any more from these addresses, all at once.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn deafen(&self, node: u64, to: &BTreeSet<Ipv4Addr>) -> anyhow::Result<()> {
        let rule = |from: &Ipv4Addr| format!("-A INPUT -s {from} -j DROP\n");
        let rules: String = to.iter().map(rule).collect();
        self.iptables(node, &rules)
    }

    /// A node hears everybody again.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn hear(&self, node: u64) -> anyhow::Result<()> {
        self.iptables(node, "-F INPUT\n")
    }

    /// The address of a node.
    pub fn address(&self, node: u64) -> Ipv4Addr {
        let [.., high, low] = node.to_be_bytes();
        Ipv4Addr::new(self.net(), 77, high, low)
    }

    /// The address of every client of a region.
    pub fn client(&self, region: usize) -> Ipv4Addr {
        Ipv4Addr::new(self.net(), 78, 0, region as u8 + 1)
    }

    /// All of 127 is loopback.
    fn net(&self) -> u8 {
        if self.wires.is_some() { 10 } else { 127 }
    }

    fn iptables(&self, node: u64, rules: &str) -> anyhow::Result<()> {
        if self.wires.is_none() {
            return Ok(());
        }
        let mut restore = Command::new("nsenter");
        restore.arg(format!("--net=/run/netns/{}", space(node)));
        restore.args(["--", "iptables-restore", "--wait", "--noflush"]);
        let told = || format!("iptables of node {node}: is it installed (make setup)?");
        let mut child = restore.stdin(Stdio::piped()).spawn().with_context(told)?;
        if let Some(stdin) = &mut child.stdin {
            write!(stdin, "*filter\n{rules}COMMIT\n").with_context(told)?;
        }
        let status = child.wait().with_context(told)?;
        ensure!(status.success(), "{}: {status}", told());
        Ok(())
    }
}

/// Gives the disks back, so that their directory can be removed.
pub fn leave(kind: Kind, dir: &Path) {
    let disks = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let disks = disks.filter(|entry| kind == Kind::Namespaces && entry.path().is_dir());
    for disk in disks {
        // Those of nodes that are gone for good are none any more.
        let _ = run("umount", &["-l", &disk.path().display().to_string()]);
    }
}

fn space(node: u64) -> String {
    format!("n{node}")
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let told = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{}: is it installed (make setup)?", told()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", told(), why.trim());
    }
    Ok(())
}

impl Ways for Ground {
    fn channel(&self, from: Person, node: u64) -> Channel {
        let uri = format!("http://{}:{CLIENT_PORT}", self.address(node));
        Endpoint::from_shared(uri)
            .expect("an address is a URI")
            .local_address(Some(self.client(from.region).into()))
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .connect_lazy()
    }
}
