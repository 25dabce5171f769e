//! A stand-in for a node that plays a script, to test how the command line behaves on the wire.
//! It knows nothing of routing.
#![allow(dead_code)] // Each test file uses its own part.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_proto::livechat::v1::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

pub mod real;
mod services;
pub mod store;

/// What the stand-in says and what it heard.
#[derive(Debug, Default)]
pub struct Script {
    /// Questions to answer with UNAVAILABLE before all others.
    pub unavailable: usize,
    /// Its own number.
    pub node_id: u64,
    /// Agents to list.
    pub agents: Vec<AgentState>,
    /// Configuration in force.
    pub configuration: Configuration,
    /// The status to refuse `Apply` with.
    pub refuse_apply: Option<tonic::Status>,
    /// What an apply changes.
    pub apply: ApplyResponse,
    /// Every apply.
    pub applied: Vec<ApplyRequest>,
    /// Chats to send to a watcher, and how the stream ends.
    pub watch: Vec<Chat>,
    /// The status that ends the watch.
    pub watch_end: Option<tonic::Status>,
    /// Hash of the state.
    pub state_hash: u64,
    /// What the agent did, in words.
    pub agent_did: Vec<String>,
    /// What it says of a backup.
    pub backup: BackupHead,
    /// What it sends of it.
    pub backup_data: Vec<u8>,
    /// The status that ends it.
    pub backup_end: Option<tonic::Status>,
    /// It never ends.
    pub backup_hangs: bool,
    /// How many questions came.
    pub questions: usize,
}

/// A stand-in.
#[derive(Clone)]
pub struct Node {
    script: Arc<Mutex<Script>>,
    address: SocketAddr,
    serving: Arc<tokio::task::JoinHandle<()>>,
}

impl Node {
    /// Starts one on a free port of this machine.
    pub async fn start(script: Script) -> Self {
        Self::start_at(script, ([127, 0, 0, 1], 0).into()).await
    }

    /// Starts one where another was.
    pub async fn start_at(script: Script, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script));
        let router = services::router(Play(script.clone()));
        let serving = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            router.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            script,
            address,
            serving: Arc::new(serving),
        }
    }

    /// Closes its port, as a node that stops does; says where it was.
    pub async fn stop(self) -> SocketAddr {
        self.serving.abort();
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        self.address
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it says and heard.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

/// What a stand-in's services play.
#[derive(Clone)]
pub struct Play(Arc<Mutex<Script>>);

impl Play {
    /// What it says and heard.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// Counts a question, and answers UNAVAILABLE while the script says so.
    #[allow(clippy::result_large_err)] // As tonic's own signatures.
    pub fn hear(&self) -> Result<(), tonic::Status> {
        let mut script = self.script();
        script.questions += 1;
        if script.unavailable > 0 {
            script.unavailable -= 1;
            return Err(tonic::Status::unavailable("no leader is known"));
        }
        Ok(())
    }
}

/// An endpoint nobody listens on.
pub async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The binary with these arguments and a clean environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args(args)
        .env_remove("MERIDIAN_ENDPOINTS")
        .env_remove("NO_COLOR")
        .env("USER", "tester");
    command
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the binary to its end, while the stand-ins of the same test go on answering.
pub async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Runs it with these arguments.
pub async fn meridian(args: &[&str]) -> Output {
    run(command(args)).await
}

/// What it wrote.
pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it complained.
pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The file the unit tests read, too.
pub fn world_file() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/world.yaml")
        .display()
        .to_string()
}
