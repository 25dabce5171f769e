//! One Raft group on this node, put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::log::v1 as log_pb;
use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_server::PeerServer;
use openraft::errors::{InitializeError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{Raft, ReadPolicy};
use tokio::sync::{Semaphore, watch};

use super::error::{MemberError, ProposeError, ReadError, StartError};
use super::log_store::LogStore;
use super::machine::Machine;
use super::network::Network;
use super::peers::{Connector, Lane, MESSAGE_BYTES_MAX, Peers};
use super::service::{PeerHandler, PeerService};
use super::state_machine::{StateMachine, StateReader};
use super::status::{self, Role, Status};
use super::timing::Timing;
use super::types::{Config, Node, NodeId, Proposal};
use crate::storage::{Db, Storage, StorageError};

/// The longest command, in bytes. One must always fit into a message between nodes.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;

/// A silent connection is trusted at least this long.
const KEEP_ALIVE_FLOOR: Duration = Duration::from_secs(1);

/// So often every member is pinged.
const PING_EVERY: Duration = Duration::from_secs(5);

/// What a group needs to know at start.
#[derive(Clone)]
pub struct GroupConfig {
    /// Where this node keeps everything; made if absent.
    pub data_dir: PathBuf,
    /// What keeps the database in it.
    pub storage: Arc<dyn Storage>,
    /// The cluster's name, printable ASCII; nodes of other clusters are refused.
    pub cluster_id: String,
    /// This node; never reused for another or an emptied one that was a voter.
    pub node_id: NodeId,
    /// The group's number.
    pub group: u32,
    /// The times; see [`Timing::derive`].
    pub timing: Timing,
    /// How to reach the other nodes.
    pub connector: Arc<dyn Connector>,
    /// A snapshot is taken every so many entries, at least 1.
    pub snapshot_every: u64,
    /// So many entries before a snapshot stay in the log.
    pub log_to_keep: u64,
    /// So many commands may be under way at once; more are refused as [`ProposeError::Busy`].
    pub in_flight_max: usize,
}

impl GroupConfig {
    /// A configuration with the defaults for what is not given: a snapshot every 50,000 entries,
    /// 20,000 kept before it, 10,000 commands under way.
    pub fn new(
        data_dir: PathBuf,
        storage: Arc<dyn Storage>,
        cluster_id: String,
        node_id: NodeId,
        timing: Timing,
        connector: Arc<dyn Connector>,
    ) -> Self {
        Self {
            data_dir,
            storage,
            cluster_id,
            node_id,
            group: 1,
            timing,
            connector,
            snapshot_every: 50_000,
            log_to_keep: 20_000,
            in_flight_max: 10_000,
        }
    }
}

/// A running group. Clones are handles to the same one.
#[derive(Clone)]
pub struct Group {
    pub(super) raft: Raft<Config, StateMachine>,
    pub(super) timing: Timing,
    peers: Peers,
    cluster: String,
    reader: StateReader,
    status: watch::Receiver<Status>,
    closed: watch::Receiver<()>,
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
}

impl Group {
    /// Opens the data directory and starts Raft on it. A new node waits to be initialized or to be
    /// added by a leader.
    ///
    /// # Errors
    /// [`StartError::Storage`] if the directory cannot be trusted, [`StartError::Config`] if the
    /// configuration cannot be used.
    pub async fn start(config: GroupConfig, machine: impl Machine) -> Result<Self, StartError> {
        let raft_config = config
            .timing
            .config(
                &config.cluster_id,
                config.snapshot_every,
                config.log_to_keep,
            )
            .validate()
            .map_err(|error| StartError::Config(error.to_string()))?;
        // Long enough that a busy moment does not cost a connection; heartbeats and votes have
        // shorter limits of their own.
        let peers = Peers::new(
            &config.cluster_id,
            config.group,
            config.node_id,
            config.connector.clone(),
            config.timing.election_max().max(KEEP_ALIVE_FLOOR),
        )
        .map_err(StartError::Config)?;

        let identity = log_pb::Identity {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id,
            group: config.group,
        };
        let (data_dir, group) = (config.data_dir.clone(), config.group);
        let storage = config.storage.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let snapshots = data_dir.join("snapshots");
            let db = Db::open(&*storage, &data_dir)?;
            db.claim(&identity)?;
            let machine = StateMachine::open(db.clone(), group, snapshots, Box::new(machine))?;
            Ok::<_, StorageError>((db, machine))
        });
        let (db, machine) = opened
            .await
            .map_err(|error| StartError::Config(format!("the machine panicked: {error}")))??;
        let (closed, reader) = (db.closed(), machine.reader());

        let raft = Raft::new(
            config.node_id,
            Arc::new(raft_config),
            Network(peers.clone()),
            LogStore::new(db, config.group),
            machine,
        )
        .await?;
        let status = status::follow(raft.metrics());
        tokio::spawn(keep_warm(
            peers.clone(),
            status.clone(),
            config.timing.election_max().max(KEEP_ALIVE_FLOOR),
        ));
        Ok(Self {
            raft,
            timing: config.timing,
            peers,
            cluster: config.cluster_id,
            reader,
            status,
            closed,
            in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
            in_flight_max: config.in_flight_max,
        })
    }

    /// The service other nodes call; mount it on the server they dial. That server must set
    /// `TCP_NODELAY` on the connections it accepts: without it a commit on a LAN takes ten times as
    /// long.
    pub fn peer_service(&self, handler: Arc<dyn PeerHandler>) -> PeerServer<PeerService> {
        let service = PeerService {
            raft: self.raft.clone(),
            cluster: self.cluster.clone(),
            peers: self.peers.clone(),
            reader: self.reader.clone(),
            handler,
        };
        PeerServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Makes a new cluster of these voters, once, on one of them, all of them empty.
    ///
    /// # Errors
    /// [`MemberError::Refused`] if this node already has a log or is not among them.
    pub async fn initialize(&self, voters: BTreeMap<NodeId, Node>) -> Result<(), MemberError> {
        self.raft.initialize(voters).await.map_err(
            |error: RaftError<Config, InitializeError<Config>>| match error {
                RaftError::Fatal(fatal) => fatal.into(),
                RaftError::APIError(error) => MemberError::Refused(error.to_string()),
            },
        )
    }

    /// Proposes a command and waits until it is committed and applied here. Returns its index and
    /// the machine's reply. If the majority is lost meanwhile this waits until there is one again or
    /// the leader changes: set a deadline, and on passing it treat the outcome as unknown.
    ///
    /// # Errors
    /// [`ProposeError`]; all but `Unknown` and `Stopped` mean that nothing happened.
    pub async fn propose(&self, command: Vec<u8>) -> Result<(u64, Vec<u8>), ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge {
                bytes: command.len(),
                max: COMMAND_BYTES_MAX,
            });
        }
        let _permit = self
            .in_flight
            .try_acquire()
            .map_err(|_| ProposeError::Busy {
                in_flight_max: self.in_flight_max,
            })?;
        let ClientWriteResponse { log_id, data, .. } =
            self.raft.client_write(Proposal(command)).await?;
        Ok((log_id.index, data.0))
    }

    /// The index a linearizable read that starts now must wait for: a majority has just confirmed
    /// that this node leads. Read once [`Group::wait_applied`] has reached it, here or on any node.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await?;
        Ok(linearizer.read_log_id().index())
    }

    /// Waits until this node has applied `index`.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] if it never will.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let stopped = |what: &str| ReadError::Stopped(what.to_owned());
        let mut applied = self.reader.applied();
        let mut status = self.status.clone();
        tokio::select! {
            reached = applied.wait_for(|&applied| applied >= index) => {
                reached.map(drop).map_err(|_| stopped("the state is closed"))
            }
            ended = status.wait_for(|status| status.role == Role::Stopped) => {
                let failure = ended.ok().and_then(|status| status.failure.clone());
                Err(stopped(failure.as_deref().unwrap_or("shut down")))
            }
        }
    }

    /// Hands a command on to `leader`. Waits as long as the leader does: set a deadline.
    ///
    /// # Errors
    /// The status the leader answered with, or one for not reaching it.
    pub async fn forward(
        &self,
        (id, node): &(NodeId, Node),
        command: Vec<u8>,
    ) -> Result<Vec<u8>, tonic::Status> {
        let mut client = self
            .peers
            .client(*id, node, Lane::Control)
            .map_err(tonic::Status::unavailable)?;
        let route = self.peers.route(*id);
        let request = self.peers.request(pb::ForwardRequest { route, command });
        Ok(client.forward(request).await?.into_inner().reply)
    }

    /// Asks `leader` for the index a linearizable read here must wait for. Set a deadline.
    ///
    /// # Errors
    /// The status the leader answered with, or one for not reaching it.
    pub async fn remote_read_index(
        &self,
        (id, node): &(NodeId, Node),
    ) -> Result<u64, tonic::Status> {
        let mut client = self
            .peers
            .client(*id, node, Lane::Control)
            .map_err(tonic::Status::unavailable)?;
        let route = self.peers.route(*id);
        let request = self.peers.request(pb::ReadIndexRequest { route });
        Ok(client.read_index(request).await?.into_inner().index)
    }

    /// The way to each member and back, as last measured; every few seconds. Compare the worst one
    /// between voters with [`Timing::worst_round_trip`].
    pub fn round_trips(&self) -> BTreeMap<NodeId, Duration> {
        self.peers.round_trips()
    }

    /// One entry of the history family.
    ///
    /// # Errors
    /// [`StorageError`] if it does not read back as written.
    pub async fn history(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StorageError> {
        let reader = self.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.history(&key)).await;
        // A panic in there is a fault of this program; it has been reported by the runtime.
        read.unwrap_or(Ok(None))
    }

    /// What this node knows of the group now.
    pub fn status(&self) -> Status {
        Status::of(&self.raft.metrics())
    }

    /// Follows [`Group::status`].
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Follows the index applied and written on this node.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.reader.applied()
    }

    /// The index last applied and the hash of the state at it.
    pub fn hash(&self) -> (u64, u64) {
        self.reader.hash()
    }

    /// The times in force.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Has a snapshot taken; returns before it is. [`Status::snapshot`] tells when it is there.
    ///
    /// # Errors
    /// [`MemberError::Stopped`].
    pub async fn snapshot(&self) -> Result<(), MemberError> {
        Ok(self.raft.trigger().snapshot().await?)
    }

    /// Stops taking part. The directory is free once every handle is dropped as well, the peer
    /// service included: see [`Group::closed`].
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "Raft did not stop in order");
        }
    }

    /// Its `changed` returns, with an error, when the directory is free for another process.
    pub fn closed(&self) -> watch::Receiver<()> {
        self.closed.clone()
    }
}

/// Keeps connections to all members open, so that an election does not first have to make them, and
/// measures them. Ends with the group.
async fn keep_warm(peers: Peers, mut status: watch::Receiver<Status>, patience: Duration) {
    loop {
        let (own, members) = {
            let status = status.borrow_and_update();
            (status.node_id, status.members.clone())
        };
        let pings = members
            .iter()
            .filter(|(id, _)| **id != own)
            .map(|(id, member)| peers.ping(*id, &member.node, patience));
        for error in futures::future::join_all(pings)
            .await
            .into_iter()
            .flat_map(Result::err)
        {
            tracing::debug!(%error, "a member does not answer");
        }
        let changed = status.wait_for(|status| {
            status.members.len() != members.len() || status.role == Role::Stopped
        });
        match tokio::time::timeout(PING_EVERY, changed).await {
            Ok(Ok(status)) if status.role != Role::Stopped => {}
            Ok(_) => return,
            Err(_) => {}
        }
    }
}
