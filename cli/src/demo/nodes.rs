//! The cluster that is played on: one process a region on this machine, with distance in between.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_wan::{Geography, LinkId, Place, Wan};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

/// Connections kept to each node, so that no one of them carries all streams.
const CHANNELS: usize = 8;

/// One region's node.
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Its region.
    pub region: String,
    /// Where clients connect.
    pub client: String,
    channels: Vec<Channel>,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

/// All of them, and the distance between.
pub struct Nodes {
    /// By number, from 1.
    pub nodes: Vec<Node>,
    binary: PathBuf,
    // Kept: the links end with it.
    _wan: Wan,
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
    /// Starts a node a region under `dir` and forms a cluster of them.
    ///
    /// # Errors
    /// In words: the binary is missing, a node does not start, or the cluster does not form.
    pub async fn start(
        binary: PathBuf,
        dir: &Path,
        regions: &[String],
        geography: &Geography,
        seed: u64,
    ) -> Result<Self, String> {
        let ports = free_ports(regions.len() * 2)
            .await
            .map_err(|e| e.to_string())?;
        let (clients, peers) = ports.split_at(regions.len());
        let places: Vec<Place> = regions
            .iter()
            .zip(peers)
            .map(|(region, address)| Place {
                node: region.clone(),
                region: region.clone(),
                address: *address,
            })
            .collect();
        let links = geography.links(&places).map_err(|e| e.to_string())?;
        let wan = Wan::start(links, seed).await.map_err(|e| e.to_string())?;
        let mut worst = Duration::ZERO;
        for one in regions {
            for other in regions {
                worst = worst.max(
                    geography
                        .round_trip(one, other)
                        .map_err(|e| e.to_string())?,
                );
            }
        }
        // Jitter comes on top.
        let worst_ms = worst.as_millis() + worst.as_millis() / 20;
        let mut nodes = Vec::new();
        for (i, region) in regions.iter().enumerate() {
            let id = i as u64 + 1;
            let mut arguments: Vec<String> =
                ["--cluster", "demo", "--node-id"].map(String::from).into();
            arguments.push(id.to_string());
            let data = dir.join(region);
            for (flag, value) in [
                ("--region", region.clone()),
                ("--data", data.display().to_string()),
                ("--listen", clients[i].to_string()),
                ("--peer-listen", peers[i].to_string()),
                ("--round-trip-ms", worst_ms.to_string()),
            ] {
                arguments.extend([flag.to_owned(), value]);
            }
            for (j, other) in regions.iter().enumerate().filter(|(j, _)| *j != i) {
                let through = wan
                    .address(&LinkId::new(region, other))
                    .map_err(|e| e.to_string())?;
                arguments.extend(["--dial".to_owned(), format!("{}={through}", j + 1)]);
            }
            let client = format!("http://{}", clients[i]);
            let channels = (0..CHANNELS)
                .map(|_| channel(&client))
                .collect::<Result<_, _>>()?;
            nodes.push(Node {
                id,
                region: region.clone(),
                client,
                channels,
                arguments,
                log: dir.join(format!("{region}.log")),
                child: None,
            });
        }
        let mut all = Self {
            nodes,
            binary,
            _wan: wan,
        };
        for i in 0..all.nodes.len() {
            all.launch(i)?;
        }
        let members = all.nodes.iter().zip(peers).map(|(n, peer)| api::Member {
            node_id: n.id,
            region_id: n.region.clone(),
            peer_address: peer.to_string(),
            ..Default::default()
        });
        let members: Vec<_> = members.collect();
        all.until(
            "the cluster to form",
            Duration::from_secs(30),
            async |nodes| {
                let mut admin = AdminServiceClient::new(nodes.nodes[0].channel(0));
                admin
                    .initialize_cluster(api::InitializeClusterRequest {
                        members: members.clone(),
                    })
                    .await
                    .is_ok()
            },
        )
        .await?;
        all.until("a leader", Duration::from_secs(30), async |nodes| {
            nodes.leader().await.is_some()
        })
        .await?;
        Ok(all)
    }

    /// Starts a node's process, anew where it was killed.
    ///
    /// # Errors
    /// In words.
    pub fn launch(&mut self, i: usize) -> Result<(), String> {
        let node = &mut self.nodes[i];
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&node.log)
            .map_err(|e| format!("{}: {e}", node.log.display()))?;
        let child = Command::new(&self.binary)
            .args(&node.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| {
                format!(
                    "{}: {e}; build it with `cargo build` or name it with --node-binary",
                    self.binary.display()
                )
            })?;
        node.child = Some(child);
        Ok(())
    }

    /// Kills a node's process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// In words.
    pub fn kill(&mut self, i: usize) -> Result<(), String> {
        let Some(mut child) = self.nodes[i].child.take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// The leader as a running node sees it.
    pub async fn leader(&self) -> Option<u64> {
        for node in self.nodes.iter().filter(|n| n.child.is_some()) {
            if let Some(status) = node.status().await
                && status.leader_id != 0
            {
                return Some(status.leader_id);
            }
        }
        None
    }

    /// Asks again every few milliseconds until the answer is yes.
    ///
    /// # Errors
    /// What was waited for in vain, and where the logs are.
    pub async fn until(
        &self,
        what: &str,
        patience: Duration,
        ask: impl AsyncFn(&Self) -> bool,
    ) -> Result<(), String> {
        let asked = async {
            while !ask(self).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let logs = self.nodes[0]
            .log
            .parent()
            .unwrap_or(Path::new("."))
            .display();
        tokio::time::timeout(patience, asked).await.map_err(|_| {
            format!(
                "waited {} s for {what} in vain; the nodes' logs are in {logs}",
                patience.as_secs()
            )
        })
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for i in 0..self.nodes.len() {
            // Nothing can be done about one that will not die.
            let _ = self.kill(i);
        }
    }
}

impl Node {
    /// One of its connections; the same number gives the same one.
    pub fn channel(&self, number: usize) -> Channel {
        self.channels[number % self.channels.len()].clone()
    }

    /// What it says of the cluster, if it answers.
    pub async fn status(&self) -> Option<api::ClusterStatusResponse> {
        let mut admin = AdminServiceClient::new(self.channel(0));
        let asked = admin.cluster_status(api::ClusterStatusRequest {});
        let answered = tokio::time::timeout(Duration::from_secs(2), asked).await;
        Some(answered.ok()?.ok()?.into_inner())
    }
}

fn channel(uri: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|e| e.to_string())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .connect_lazy())
}
