//! One Raft group on this node, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
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
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;

use super::backup::Former;
use super::error::{MemberError, ProposeError, ReadError, StartError};
use super::log_store::LogStore;
use super::machine::Machine;
use super::members;
use super::network::Network;
use super::past::{Past, PastError};
use super::peers::{self, Connector, Lane, MESSAGE_BYTES_MAX, Peers, PingError};
use super::service::{PeerHandler, PeerService};
use super::state_machine::{StateMachine, StateReader};
use super::status::{self, Member, Role, Status};
use super::succession::{self, Led};
use super::timing::Timing;
use super::types::{Config, Node, NodeId, Proposal};
use crate::aside::aside;
use crate::storage::snapshot::SnapshotFile;
use crate::storage::{Db, Storage, StorageError};

/// The longest command, in bytes. One must always fit into a message between nodes.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;

/// A ping is waited for at least this long.
const PING_FLOOR: Duration = Duration::from_secs(1);

/// A longer command is handed on beside the entries, not beside the heartbeats.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// How long a snapshot that came in may take to be read, before a backup is given up.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

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
    /// So many bytes of the past are kept; 0 = nothing.
    pub past_bytes: u64,
    /// The newest rules the machine knows, which other members are told.
    pub rules: u32,
    /// So many commands may be under way at once; more are refused as [`ProposeError::Busy`].
    pub in_flight_max: usize,
}

impl GroupConfig {
    /// A configuration with the defaults for what is not given: a snapshot every 50,000 entries,
    /// 20,000 kept before it, nothing of the past, 10,000 commands under way.
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
            past_bytes: 0,
            rules: 0,
            in_flight_max: 10_000,
        }
    }
}

/// A running group. Clones are handles to the same one.
#[derive(Clone)]
pub struct Group {
    pub(super) raft: Raft<Config, StateMachine>,
    pub(super) timing: Timing,
    pub(super) peers: Peers,
    /// Held by whoever changes the members.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    /// Both end with the last handle.
    _finisher: Arc<AbortOnDropHandle<()>>,
    _successor: Arc<AbortOnDropHandle<Infallible>>,
    led: Led,
    cluster: String,
    reader: StateReader,
    /// Held by whoever looks at the past.
    looking: Arc<tokio::sync::Mutex<()>>,
    status: watch::Receiver<Status>,
    closed: watch::Receiver<()>,
    rules: u32,
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
        let peers = Peers::new(
            &config.cluster_id,
            config.group,
            config.node_id,
            config.connector.clone(),
            config.timing.clone(),
        )
        .map_err(StartError::Config)?;

        let identity = log_pb::Identity {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id,
            group: config.group,
        };
        let (data_dir, group) = (config.data_dir.clone(), config.group);
        let (storage, past_bytes) = (config.storage.clone(), config.past_bytes);
        let opened = aside(move || {
            let snapshots = data_dir.join("snapshots");
            let db = Db::open(&*storage, &data_dir)?;
            db.claim(&identity)?;
            let machine = StateMachine::open(db.clone(), group, snapshots, Box::new(machine))?;
            let log = LogStore::new(db.clone(), group);
            machine.keep_past(&log, past_bytes);
            Ok::<_, StorageError>((db, log, machine))
        });
        let (db, log, machine) = opened
            .await
            .map_err(|error| StartError::Config(format!("the machine panicked: {error}")))??;
        let (closed, reader) = (db.closed(), machine.reader());
        // Before anybody calls: a node that knows its cluster takes nothing of another, from the first moment on.
        peers.members_are(reader.members());

        let raft = Raft::new(
            config.node_id,
            Arc::new(raft_config),
            Network(peers.clone()),
            log,
            machine,
        )
        .await?;
        let status = status::follow(raft.metrics(), peers.clone(), config.timing.clone());
        tokio::spawn(keep_warm(
            peers.clone(),
            status.clone(),
            config.timing.clone(),
        ));
        let changing = Arc::new(tokio::sync::Mutex::new(()));
        let finisher = members::finish_changes(raft.clone(), status.clone(), changing.clone());
        let led = Led::default();
        let successor = succession::take_turns(
            raft.clone(),
            peers.clone(),
            led.clone(),
            status.clone(),
            config.timing.clone(),
        );
        Ok(Self {
            raft,
            changing,
            _finisher: Arc::new(AbortOnDropHandle::new(tokio::spawn(finisher))),
            _successor: Arc::new(AbortOnDropHandle::new(tokio::spawn(successor))),
            led,
            timing: config.timing,
            peers,
            cluster: config.cluster_id,
            reader,
            looking: Arc::default(),
            status,
            closed,
            rules: config.rules,
            in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
            in_flight_max: config.in_flight_max,
        })
    }

    /// The server for [`Group::peer_service`], with what the distance between nodes asks of it.
    pub fn peer_server(&self) -> Server {
        peers::server(self.timing.election_min())
    }

    /// The service other nodes call; mount it on [`Group::peer_server`], with `TCP_NODELAY` set on
    /// the connections accepted: without it a commit on a LAN takes ten times as long.
    pub fn peer_service(&self, handler: Arc<dyn PeerHandler>) -> PeerServer<PeerService> {
        let service = PeerService {
            raft: self.raft.clone(),
            cluster: self.cluster.clone(),
            peers: self.peers.clone(),
            reader: self.reader.clone(),
            handler,
            led: self.led.clone(),
            rules: self.rules,
        };
        PeerServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Makes a new cluster of these voters, once, on one of them, all of them empty; `founded` marks it.
    ///
    /// # Errors
    /// [`MemberError::Refused`] if this node already has a log or is not among them.
    pub async fn initialize(
        &self,
        mut voters: BTreeMap<NodeId, Node>,
        founded: &str,
    ) -> Result<(), MemberError> {
        for node in voters.values_mut() {
            node.founded = founded.to_owned();
        }
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
        let busy = ProposeError::Busy {
            in_flight_max: self.in_flight_max,
        };
        // Entries of an earlier leader count too: none has a caller here.
        let uncommitted = {
            let status = self.status.borrow();
            match status.role {
                Role::Leader => status.last_log.saturating_sub(status.committed),
                _ => 0,
            }
        };
        let permit = self.in_flight.clone().try_acquire_owned();
        let (Ok(permit), true) = (permit, uncommitted < self.in_flight_max as u64) else {
            return Err(busy);
        };
        // A caller that gives up takes nothing back: its command stays under way, and counts, until
        // its outcome is known.
        let raft = self.raft.clone();
        let write = tokio::spawn(async move {
            let _permit = permit;
            raft.client_write(Proposal(command)).await
        });
        let written = write
            .await
            .map_err(|ended| ProposeError::Stopped(ended.to_string()))?;
        let ClientWriteResponse { log_id, data, .. } = written?;
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
        let mut applied = self.reader.applied();
        tokio::select! {
            reached = applied.wait_for(|&applied| applied >= index) => {
                reached.map(drop).map_err(|_| ReadError::Stopped("the state is closed".to_owned()))
            }
            failure = self.stopped() => Err(ReadError::Stopped(failure)),
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
        // A large one in front of heartbeats would make this node look dead.
        let lane = if command.len() > CONTROL_BYTES_MAX {
            Lane::Bulk
        } else {
            Lane::Control
        };
        let mut client = self
            .peers
            .client(*id, node, lane)
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

    /// One entry of the history family.
    ///
    /// # Errors
    /// [`StorageError`] if it does not read back as written.
    pub async fn history(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StorageError> {
        let read = self.with_history(move |get| get(&key)).await;
        // A panic in there is a fault of this program; it has been reported by the runtime.
        read.unwrap_or(Ok(None))
    }

    /// Runs something that reads entries of the history family by their keys, away from the threads that serve.
    ///
    /// # Errors
    /// It panicked.
    pub async fn with_history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, StorageError>) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        let reader = self.reader.clone();
        aside(move || read(&|key| reader.history(key))).await
    }

    /// Runs something over what this node keeps of the past, away from the threads that run everything else, one at
    /// a time: it costs as much as the commands it lives through.
    ///
    /// # Errors
    /// [`PastError::NotKept`] where nothing is kept, or what `look` fails with.
    pub async fn past<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Past) -> Result<T, PastError> + Send + 'static,
    ) -> Result<T, PastError> {
        let turn = self.looking.clone().lock_owned().await;
        let reader = self.reader.clone();
        let looked = aside(move || {
            let _turn = turn;
            look(reader.past().ok_or(PastError::NotKept(None))?)
        });
        looked
            .await
            .unwrap_or_else(|e| Err(PastError::Refused(e.to_string())))
    }

    /// Writes a backup of this moment, or of a former one, away from the threads that serve. The file is removed when
    /// the last handle to it is dropped.
    ///
    /// # Errors
    /// [`StorageError`]; nothing is left of it then.
    pub async fn backup(
        &self,
        former: Option<Former>,
        at_ms: i64,
    ) -> Result<SnapshotFile, StorageError> {
        let (status, reader) = (self.status(), self.reader.clone());
        let backup = log_pb::Backup {
            cluster_id: self.cluster.clone(),
            founded: status.founded().to_owned(),
            node_id: status.node_id,
            at_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_hash: 0,
        };
        let failed = |error| StorageError::io(&PathBuf::from("backup"))(error);
        let former = Arc::new(former);
        let mut applied = self.applied();
        loop {
            applied.mark_unchanged();
            let (reader, former, backup) = (reader.clone(), former.clone(), backup.clone());
            let written = aside(move || reader.backup(former.as_ref().as_ref(), backup)).await;
            let written = written.map_err(|panicked| failed(std::io::Error::other(panicked)))?;
            if let Some(file) = written? {
                return Ok(file);
            }
            // Again once that snapshot is in force.
            let settled = tokio::time::timeout(SETTLES_WITHIN, applied.changed()).await;
            if !matches!(settled, Ok(Ok(()))) {
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
        }
    }

    /// What this node knows of the group now.
    pub fn status(&self) -> Status {
        {
            // What a dead core published last looks alive for ever.
            let last = self.status.borrow();
            if last.role == Role::Stopped {
                return last.clone();
            }
        }
        Status::of(&self.raft.metrics(), &self.peers, &self.timing)
    }

    /// Waits until Raft has stopped here, by [`Group::shutdown`] or by itself, and says why. A node
    /// whose Raft has stopped by itself must end: it serves what will never change again.
    pub async fn stopped(&self) -> String {
        let mut status = self.status.clone();
        let ended = status.wait_for(|status| status.role == Role::Stopped).await;
        let failure = ended.ok().and_then(|status| status.failure.clone());
        failure.unwrap_or_else(|| "shut down".to_owned())
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

    /// The usual round trips between any two members, from whom to whom, in microseconds, as far as they are known here;
    /// a node of a version that does not tell has told none.
    pub fn ways(&self) -> BTreeMap<(NodeId, NodeId), u64> {
        self.peers.ways()
    }

    /// The newest rules this node's machine knows.
    pub fn rules(&self) -> u32 {
        self.rules
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
async fn keep_warm(peers: Peers, mut status: watch::Receiver<Status>, timing: Timing) {
    let patience = timing.election_max().max(PING_FLOOR);
    let (mut far, mut refusing) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let (own, members) = {
            let status = status.borrow_and_update();
            (status.node_id, status.members.clone())
        };
        let others = || members.iter().filter(|(id, _)| **id != own);
        let pings = others().map(|(id, member)| peers.ping(*id, &member.node, patience));
        let answers = futures::future::join_all(pings).await;
        for ((&id, _), answer) in others().zip(answers) {
            let Err(error) = answer else {
                refusing.remove(&id);
                continue;
            };
            if !matches!(error, PingError::Refused(_)) {
                tracing::debug!(node = id, %error, "a member does not answer");
            } else if refusing.insert(id) {
                tracing::warn!(node = id, %error, "a member is of another cluster");
            }
        }
        let max = timing.round_trip_max();
        for (id, _) in others().filter(|(_, member)| member.voter) {
            let Some(measured) = peers.round_trip(*id) else {
                continue;
            };
            if measured <= max {
                if far.remove(id) {
                    tracing::info!(node = id, ?measured, ?max, "a voter is near enough again");
                }
            } else if far.insert(*id) {
                tracing::warn!(
                    node = id,
                    ?measured,
                    ?max,
                    "a voter is further away than the times in force allow, so leaders are lost without need: place it closer, or give every node a greater round-trip-ms"
                );
            }
        }
        let changed = status
            .wait_for(|status| status.role == Role::Stopped || !alike(&status.members, &members));
        match tokio::time::timeout(PING_EVERY, changed).await {
            Ok(Ok(status)) if status.role != Role::Stopped => {}
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// Whether the same nodes are reached at the same addresses.
fn alike(one: &BTreeMap<NodeId, Member>, other: &BTreeMap<NodeId, Member>) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .all(|(id, member)| other.get(id).is_some_and(|m| m.node == member.node))
}
