//! Three real node processes on loopback, shared by the tests that need them.

pub mod desktop;
pub mod world;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// A node's process.
pub struct Process {
    pub id: u64,
    pub arguments: Vec<String>,
    pub listen: SocketAddr,
    log: PathBuf,
    child: Child,
    pub channel: Channel,
}

impl Process {
    fn spawn(arguments: &[String], log: &Path) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log file");
        Command::new(env!("CARGO_BIN_EXE_meridian-node"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the node starts")
    }

    pub fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("SIGKILL");
    }

    pub fn restart(&mut self) {
        self.child = Self::spawn(&self.arguments, &self.log);
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|s| s.success()), "SIG{name}");
    }

    /// Waits for the process to end by itself.
    pub async fn exit(&mut self) -> std::process::ExitStatus {
        for _ in 0..1_000 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("node {} does not end: {}", self.id, self.last_words());
    }

    /// Panics with the last of its log if the process has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child") {
            panic!(
                "node {} ended with {status}: {}",
                self.id,
                self.last_words()
            );
        }
    }

    /// What it holds in memory now.
    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a process that runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.split_whitespace().next());
        kib.and_then(|kib| kib.parse().ok()).expect("a number")
    }

    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub async fn status(&self) -> Option<ClusterStatusResponse> {
        let mut admin = AdminServiceClient::new(self.channel.clone());
        let asked = timeout(
            Duration::from_secs(2),
            admin.cluster_status(ClusterStatusRequest {}),
        )
        .await;
        Some(asked.ok()?.ok()?.into_inner())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_ports(count: usize) -> Vec<SocketAddr> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    held.iter()
        .map(|l| l.local_addr().expect("its address"))
        .collect()
}

/// Starts a node on `dir/ID`.
pub fn node(
    dir: &Path,
    id: u64,
    listen: SocketAddr,
    peer_listen: SocketAddr,
    more: &[&str],
) -> Process {
    let data = dir.join(id.to_string());
    let pairs = [
        ("--node-id", id.to_string()),
        ("--region", format!("r{id}")),
        ("--data", data.display().to_string()),
        ("--listen", listen.to_string()),
        ("--peer-listen", peer_listen.to_string()),
        // Small, so that restarts also meet snapshots and a purged log.
        ("--snapshot-every", "300".to_owned()),
    ];
    let pairs = pairs.into_iter();
    let mut arguments: Vec<String> = pairs
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect();
    arguments.push("--check-invariants".to_owned());
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let log = dir.join(format!("{id}.log"));
    let child = Process::spawn(&arguments, &log);
    let endpoint = Endpoint::from_shared(format!("http://{listen}")).expect("an address");
    let channel = endpoint
        .connect_timeout(Duration::from_millis(500))
        .connect_lazy();
    Process {
        id,
        arguments,
        listen,
        log,
        child,
        channel,
    }
}

pub async fn start(dir: &Path) -> Vec<Process> {
    start_with(dir, &[]).await
}

/// Starts a cluster of three whose nodes have these arguments, too.
pub async fn start_with(dir: &Path, more: &[&str]) -> Vec<Process> {
    let ports = free_ports(6);
    let mut nodes = Vec::new();
    for id in 1..=3_u64 {
        let at = id as usize - 1;
        nodes.push(node(dir, id, ports[at], ports[at + 3], more));
    }
    let members: Vec<Member> = (0..3)
        .map(|at| Member {
            node_id: at as u64 + 1,
            region_id: format!("r{}", at + 1),
            peer_address: ports[at + 3].to_string(),
            ..Default::default()
        })
        .collect();
    until("the cluster forms", async || {
        let mut admin = AdminServiceClient::new(nodes[0].channel.clone());
        admin
            .initialize_cluster(InitializeClusterRequest {
                members: members.clone(),
            })
            .await
            .is_ok()
    })
    .await;
    nodes
}

pub async fn until(what: &str, ask: impl AsyncFn() -> bool) {
    let asked = async {
        while !ask().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), asked)
        .await
        .unwrap_or_else(|_| panic!("waited a minute in vain: {what}"));
}

/// Calls until some node answers, with the same request id throughout.
pub async fn persist<T>(
    nodes: &[Channel],
    first: usize,
    ask: impl AsyncFn(Channel) -> Result<T, tonic::Status>,
) -> Result<T, tonic::Status> {
    for way in nodes.iter().cycle().skip(first) {
        match timeout(Duration::from_secs(20), ask(way.clone())).await {
            Ok(Err(s))
                if matches!(
                    s.code(),
                    Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
                ) => {}
            Ok(answer) => return answer,
            Err(_) => {}
        }
        sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the ways never end")
}
