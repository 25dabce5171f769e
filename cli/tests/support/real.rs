//! A real node as a process, for the tests that need more than a stand-in.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The node's program, which stands beside the command line's. Cargo does not build it for this package.
pub fn node_binary() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_meridian")).with_file_name("meridian-node");
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build -p meridian-node` first, as `make test` does",
        binary.display()
    );
    binary
}

/// A node of its own, killed when dropped.
pub struct RealNode {
    process: Child,
    /// Where clients connect.
    pub client: SocketAddr,
    /// Where peers would.
    pub peer: SocketAddr,
    data: Option<tempfile::TempDir>,
}

impl RealNode {
    /// Starts one in region `eu-west` that belongs to no cluster yet.
    pub fn start() -> Self {
        Self::start_as(1, "eu-west")
    }

    /// Starts one by its number and region.
    pub fn start_as(id: u64, region: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut started = Self::start_on(id, region, data.path());
        started.data = Some(data);
        started
    }

    /// Starts one on a data directory that is somebody else's.
    pub fn start_on(id: u64, region: &str, data: &Path) -> Self {
        // Both are held before either is let go, so that they differ.
        let ports = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = ports.map(|port| port.local_addr().unwrap());
        let process = Command::new(node_binary())
            .args(["--node-id", &id.to_string(), "--region", region])
            .args(["--listen", &client.to_string()])
            .args(["--peer-listen", &peer.to_string()])
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            client,
            peer,
            data: None,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.client)
    }
}

impl Drop for RealNode {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
