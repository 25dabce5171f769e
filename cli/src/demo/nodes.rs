//! The cluster that is played on: one process a region on this machine, with distance in between.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_wan::{Geography, Place};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use super::error::DemoError;
use super::network::Network;

/// Connections kept to each node, so that no one of them carries all streams.
const CHANNELS: usize = 8;
/// Longest time for the cluster to come up.
const START: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for one node's status.
const STATUS: Duration = Duration::from_secs(2);

/// One region's node.
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Its region.
    pub region: String,
    /// Where clients connect.
    pub client: String,
    peer: std::net::SocketAddr,
    channels: Vec<Channel>,
    arguments: Vec<String>,
    log: PathBuf,
    /// Killed when dropped.
    child: Option<Child>,
}

/// All of them, and the distance between.
pub struct Nodes {
    /// By number, from 1.
    pub nodes: Vec<Node>,
    binary: PathBuf,
    // Kept: the links end with it.
    _network: Network,
}

async fn free_ports(count: usize) -> std::io::Result<Vec<std::net::SocketAddr>> {
    // All are held together before any is let go, so that none is given twice.
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(TcpListener::bind(("127.0.0.1", 0)).await?);
    }
    held.iter().map(TcpListener::local_addr).collect()
}

impl Nodes {
    /// Lays out a node a region under `dir`, and the network between them; nothing runs yet.
    ///
    /// # Errors
    /// There is no port, or no way between two regions.
    pub async fn lay_out(
        binary: PathBuf,
        dir: &Path,
        regions: &[String],
        geography: &Geography,
        seed: u64,
    ) -> Result<Self, DemoError> {
        let ports = free_ports(regions.len() * 2).await;
        let ports = ports.map_err(DemoError::io("a port on 127.0.0.1"))?;
        let (clients, peers) = ports.split_at(regions.len());
        let place = |(region, address): (&String, &std::net::SocketAddr)| Place {
            node: region.clone(),
            region: region.clone(),
            address: *address,
        };
        let places: Vec<Place> = regions.iter().zip(peers).map(place).collect();
        let unknown = |e: meridian_wan::GeographyError| DemoError::Network(e.to_string());
        let links = geography.links(&places).map_err(unknown)?;
        let farthest = links.iter().map(|l| l.shape.delay * 2).max();
        // Jitter comes on top.
        let worst = farthest.unwrap_or_default().mul_f64(1.05);
        let network = Network::start(links, seed).await?;
        let mut nodes = Vec::new();
        for (i, region) in regions.iter().enumerate() {
            let id = i as u64 + 1;
            let mut arguments = Vec::new();
            for (flag, value) in [
                ("--cluster", "demo".to_owned()),
                ("--node-id", id.to_string()),
                ("--region", region.clone()),
                ("--data", dir.join(region).display().to_string()),
                ("--listen", clients[i].to_string()),
                ("--peer-listen", peers[i].to_string()),
                ("--round-trip-ms", worst.as_millis().to_string()),
            ] {
                arguments.extend([flag.to_owned(), value]);
            }
            for (j, other) in regions.iter().enumerate().filter(|(j, _)| *j != i) {
                let through = network.address(region, other)?;
                arguments.extend(["--dial".to_owned(), format!("{}={through}", j + 1)]);
            }
            let client = format!("http://{}", clients[i]);
            let channels = (0..CHANNELS).map(|_| channel(&client));
            nodes.push(Node {
                id,
                region: region.clone(),
                channels: channels.collect::<Result<_, _>>()?,
                client,
                peer: peers[i],
                arguments,
                log: dir.join(format!("{region}.log")),
                child: None,
            });
        }
        Ok(Self {
            nodes,
            binary,
            _network: network,
        })
    }

    /// Starts every node and forms a cluster of them.
    ///
    /// # Errors
    /// A node does not start or ends, or the cluster does not form.
    pub async fn start(&mut self) -> Result<(), DemoError> {
        for i in 0..self.nodes.len() {
            self.launch(i)?;
        }
        let member = |n: &Node| api::Member {
            node_id: n.id,
            region_id: n.region.clone(),
            peer_address: n.peer.to_string(),
            ..Default::default()
        };
        let members: Vec<_> = self.nodes.iter().map(member).collect();
        self.until("the cluster to form", START, async |nodes| {
            let mut admin = AdminServiceClient::new(nodes[0].channel(0));
            let members = members.clone();
            let asked = admin.initialize_cluster(api::InitializeClusterRequest { members });
            asked.await.map(drop).map_err(|s| s.message().to_owned())
        })
        .await?;
        self.until("a leader", START, async |nodes| {
            let status = nodes[0].status().await?;
            let leads = status.leader_id != 0;
            leads.then_some(()).ok_or("no leader is known".to_owned())
        })
        .await
    }

    /// Starts a node's process, anew where it was killed.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn launch(&mut self, i: usize) -> Result<(), DemoError> {
        let node = &mut self.nodes[i];
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&node.log)
            .map_err(DemoError::io(node.log.display().to_string()))?;
        let child = Command::new(&self.binary)
            .args(&node.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(DemoError::io(self.binary.display().to_string()))?;
        node.child = Some(child);
        Ok(())
    }

    /// Sends a node's process SIGKILL; gives the instant before, and returns once it is gone.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub async fn kill(&mut self, i: usize) -> Result<Instant, DemoError> {
        let node = &mut self.nodes[i];
        let before = Instant::now();
        if let Some(mut child) = node.child.take() {
            let killed = child.kill().await;
            killed.map_err(DemoError::io(format!("killing node {}", node.id)))?;
        }
        Ok(before)
    }

    /// Kills all processes and waits until they are gone.
    pub async fn stop(mut self) {
        for i in 0..self.nodes.len() {
            // Nothing can be done about one that will not die.
            let _ = self.kill(i).await;
        }
    }

    /// The leader as a running node sees it.
    pub async fn leader(&self) -> Option<u64> {
        for node in self.nodes.iter().filter(|n| n.child.is_some()) {
            let status = node.status().await;
            if let Some(leader) = status.ok().map(|s| s.leader_id).filter(|id| *id != 0) {
                return Some(leader);
            }
        }
        None
    }

    /// Notices a node that ended by itself.
    ///
    /// # Errors
    /// [`DemoError::Ended`] with the last line of its log.
    pub fn watch(&mut self) -> Result<(), DemoError> {
        for node in &mut self.nodes {
            let Some(child) = &mut node.child else {
                continue;
            };
            if let Ok(Some(status)) = child.try_wait() {
                let text = std::fs::read_to_string(&node.log).unwrap_or_default();
                let line = text.lines().rfind(|l| !l.trim().is_empty());
                return Err(DemoError::Ended {
                    node: node.id,
                    region: node.region.clone(),
                    status: status.to_string(),
                    log: node.log.clone(),
                    line: line.unwrap_or("(none)").to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Asks again every few milliseconds until the answer is yes.
    ///
    /// # Errors
    /// [`DemoError::Vain`] with the last answer, [`DemoError::Ended`] when a node ends meanwhile.
    pub async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        ask: impl AsyncFn(&[Node]) -> Result<(), String>,
    ) -> Result<(), DemoError> {
        let began = Instant::now();
        let mut last = "none".to_owned();
        while began.elapsed() < patience {
            self.watch()?;
            match timeout(patience, ask(&self.nodes)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => last = why,
                Err(_) => last = "no answer".to_owned(),
            }
            sleep(LOOK).await;
        }
        Err(DemoError::Vain {
            what: what.to_owned(),
            seconds: patience.as_secs(),
            last,
        })
    }
}

impl Node {
    /// One of its connections; the same number gives the same one.
    pub fn channel(&self, number: usize) -> Channel {
        self.channels[number % self.channels.len()].clone()
    }

    /// What it says of the cluster.
    ///
    /// # Errors
    /// Why it does not answer, in words.
    pub async fn status(&self) -> Result<api::ClusterStatusResponse, String> {
        let mut admin = AdminServiceClient::new(self.channel(0));
        let asked = admin.cluster_status(api::ClusterStatusRequest {});
        match timeout(STATUS, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(format!("node {}: {}", self.id, status.message())),
            Err(_) => Err(format!("node {} does not answer", self.id)),
        }
    }
}

fn channel(uri: &str) -> Result<Channel, DemoError> {
    let endpoint = Endpoint::from_shared(uri.to_owned());
    let endpoint = endpoint.map_err(|e| DemoError::Network(format!("{uri}: {e}")))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_ends_by_itself_is_noticed_with_its_last_word() {
        let dir = tempfile::tempdir().expect("a directory");
        let binary = dir.path().join("node");
        std::fs::write(&binary, "#!/bin/sh\necho no such flag >&2\nexit 3\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&binary, mode).expect("executable");
        let regions = ["eu".to_owned(), "us".to_owned()];
        let geography = Geography::default();
        let nodes = Nodes::lay_out(binary, dir.path(), &regions, &geography, 1).await;
        let started = nodes.expect("a network").start().await;
        let error = started.expect_err("it ends").to_string();
        assert!(
            error.contains("ended by itself (exit status: 3)"),
            "{error}"
        );
        assert!(error.ends_with("no such flag"), "{error}");
    }
}
