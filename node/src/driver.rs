//! The way in: a write becomes a command, reaches the leader in one hop, is stamped, committed, applied and
//! answered once; a fresh read waits until this replica has caught up with every write answered before.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meridian_proto::peer::v1 as peer;
use meridian_proto::peer::v1::handed::Request as Handed;
use meridian_routing::command::Command;
use meridian_routing::effect::{Answer, Reject};
use meridian_routing::ids::*;
use meridian_routing::mutants::{self, Mutant};
use meridian_routing::rules;
use meridian_routing::state::State;
use parking_lot::{Mutex, RwLockReadGuard};
use prost::Message as _;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;
use tracing::Instrument as _;

use crate::convert::command;
use crate::delivery::Delivery;
use crate::env::Environment;
use crate::gate::Source;
use crate::gate::turns::{TooMany, Turns};
use crate::language;
use crate::leader_time::LeaderTime;
use crate::leadership::Leadership;
use crate::machine::{Progress, Shared};
use crate::metrics;
use crate::raft::{
    Group, MemberError, Node, NodeId as Peer, PeerHandler, ProposeError, ReadError, Role,
};
use crate::sessions::Sessions;
use crate::telemetry;

/// Longest time a write is tried, leader changes included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// And how long where none with a majority has answered for longer than an election takes.
const ALONE_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause before a write is tried again; doubled each time up to the second figure.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// Writes in hand on one node. They wait for the farthest voter of a majority: at 220 ms there and back this many are
/// thousands a second, and each waits for a fraction of a second of the others.
const IN_HAND_MAX: usize = 2_048;
/// Writes that wait for their turn; past it, whoever has the most waiting is told to come back.
const WAITING_MAX: usize = 8_192;

/// Why a write or a fresh read came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// The routing core refused; nothing was changed.
    #[error("{0}")]
    Rejected(Reject),
    /// This node has too many writes in hand.
    #[error("this node has too many writes waiting; try again shortly, or another node")]
    Busy,
    /// No leader could be reached in time. The write may still take effect: repeat it with the same request
    /// id to learn what became of it.
    #[error("the cluster did not answer in time: {0}; repeat with the same request id")]
    NoLeader(String),
    /// This node has not joined its cluster yet, or has lost it for now.
    #[error("this node is starting or joining the cluster; try again shortly, or another node")]
    Starting,
    /// This node stops. A write may have taken effect: repeat it with the same request id.
    #[error("this node stops; repeat with the same request id on another")]
    Stopping,
    /// The write is committed, but this replica has not come so far in time.
    #[error("this replica lags behind; repeat with the same request id, or ask another node")]
    Lags,
    /// A change of the cluster was refused for now; nothing was changed.
    #[error("{0}")]
    NotYet(String),
    /// A change of the cluster was refused; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A fault of this node.
    #[error("{0}")]
    Internal(String),
}

impl DriveError {
    /// A fault of this node.
    pub fn internal(fault: impl std::fmt::Display) -> Self {
        Self::Internal(fault.to_string())
    }
}

/// Where a write comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Whose turn it takes; `None` for the node itself, which waits for nobody.
    pub source: Option<Source>,
    /// The W3C trace context it goes on with; empty when there is none.
    pub traceparent: String,
}

/// A write that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its log index; this replica has applied it.
    pub index: u64,
    /// What the core answered.
    pub answer: Answer,
}

/// Drives one group on one node.
pub struct Driver {
    node: Peer,
    env: Environment,
    shared: Shared,
    progress: watch::Receiver<Progress>,
    delivery: Arc<Delivery>,
    group: OnceLock<Group>,
    writes: Turns,
    stop: watch::Sender<bool>,
    ready: watch::Sender<bool>,
    time: LeaderTime,
    leadership: Leadership,
    sessions: Arc<Sessions>,
    /// Since when no leader with a majority answers, once that lasts.
    alone: Mutex<Option<Instant>>,
    backing_up: Arc<tokio::sync::Mutex<()>>,
}

impl Driver {
    /// A driver that waits for its group, see [`Driver::attach`].
    pub fn new(
        node: Peer,
        env: Environment,
        shared: Shared,
        progress: watch::Receiver<Progress>,
        delivery: Arc<Delivery>,
        leadership: Leadership,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            env,
            shared,
            progress,
            delivery,
            group: OnceLock::new(),
            writes: Turns::new(IN_HAND_MAX, WAITING_MAX),
            stop: watch::channel(false).0,
            ready: watch::channel(false).0,
            time: LeaderTime::default(),
            leadership,
            sessions: Arc::default(),
            alone: Mutex::default(),
            backing_up: Arc::default(),
        })
    }

    /// Gives the driver its group, once, right after both exist: peers may call before.
    pub fn attach(&self, group: Group) {
        // A second group would be a fault of the assembly; the first stays.
        drop(self.group.set(group));
    }

    /// The group, once attached.
    ///
    /// # Errors
    /// [`DriveError::Unavailable`] in the first moments of a node.
    pub fn group(&self) -> Result<&Group, DriveError> {
        self.group.get().ok_or(DriveError::Starting)
    }

    /// This node.
    pub fn node_id(&self) -> Peer {
        self.node
    }
    /// The state this replica has come to. Hold it briefly: it keeps commands from being applied.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.read()
    }
    /// Since when no leader with a majority has answered this node, once that lasts: what it shows may be as old, and it
    /// takes no writes.
    pub fn alone(&self) -> Option<Instant> {
        *self.alone.lock()
    }
    /// Says so, or that one answers again.
    pub fn set_alone(&self, since: Option<Instant>) {
        *self.alone.lock() = since;
    }
    /// What this node keeps of its own leadership.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }
    /// Who watches what on this node.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }
    /// Agents' sessions with a stream on this node.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }
    /// How far the state has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
    /// A new id for an object.
    pub fn new_id(&self) -> String {
        self.env.id()
    }
    /// The time this node would stamp if it leads: deadlines fall due by it.
    pub fn now(&self) -> Millis {
        let (wall, state) = (self.env.clock.now(), self.progress.borrow().now);
        let term = self.group.get().map_or(0, |g| g.watch().borrow().term);
        self.time.now(term, Instant::now(), wall, state)
    }
    /// The turn to write a backup: each takes as much of the disk as the state and its history.
    pub async fn backup_turn(&self) -> OwnedMutexGuard<()> {
        self.backing_up.clone().lock_owned().await
    }
    /// How long ago the last command was, by this node's clock.
    pub fn age(&self) -> Duration {
        let (last, index) = {
            let state = self.state();
            (state.meta().now, state.meta().index)
        };
        let ms = self.clock().saturating_sub(last);
        match index {
            0 => Duration::ZERO,
            _ => Duration::from_millis(u64::try_from(ms).unwrap_or(0)),
        }
    }
    /// This node's clock, right or wrong, in UTC milliseconds since 1970.
    pub fn clock(&self) -> Millis {
        self.env.clock.now()
    }
    /// Returns when the node stops; streams end then.
    pub async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        drop(stop.wait_for(|stop| *stop).await);
    }
    /// Whether this node has joined a cluster and takes agents.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }
    /// Says that it has.
    pub fn ready(&self) {
        self.ready.send_replace(true);
    }
    /// Writes in hand.
    pub fn writes_in_hand(&self) -> usize {
        self.writes.in_hand()
    }
    /// Writes that wait for their turn.
    pub fn writes_waiting(&self) -> usize {
        self.writes.waiting()
    }
    /// Says that this node takes no agents now; their streams end, visitors stay.
    pub fn cut_off(&self) {
        self.ready.send_replace(false);
    }
    /// Returns when this node takes no agents any more; their streams end then.
    pub async fn agents_must_go(&self) {
        let mut ready = self.ready.subscribe();
        drop(ready.wait_for(|ready| !*ready).await);
    }
    /// Returns when no write is in hand any more.
    pub async fn idle(&self) {
        self.writes.idle().await;
    }
    /// Tells every stream to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Carries out a caller's write, once, whatever happens on the way: it is repeated across leader changes
    /// under the caller's request id, which the replicated state recognises.
    ///
    /// # Errors
    /// [`DriveError`]; nothing oversized is proposed.
    pub async fn write(
        &self,
        request_id: String,
        actor: String,
        origin: Origin,
        command: Command,
    ) -> Result<Written, DriveError> {
        let span = tracing::info_span!("write", request_id, actor, command = command.name());
        telemetry::follow(&span, &origin.traceparent);
        let began = Instant::now();
        let command = language::explained(&self.state(), command);
        let written = self.write_traced(&request_id, &actor, origin.source, &command);
        let written = written.instrument(span).await;
        let result = match &written {
            Ok(_) => "done",
            Err(DriveError::Rejected(_) | DriveError::NotYet(_) | DriveError::Refused(_)) => {
                "rejected"
            }
            Err(DriveError::Busy) => "busy",
            Err(DriveError::Internal(_)) => "fault",
            Err(_) => "unavailable",
        };
        metrics::observe_write(command.name(), result, began.elapsed());
        written
    }

    async fn write_traced(
        &self,
        request_id: &str,
        actor: &str,
        source: Option<Source>,
        command: &Command,
    ) -> Result<Written, DriveError> {
        command.check().map_err(DriveError::Rejected)?;
        // What another replica cannot carry out yet must not come into the log.
        let in_force = self.state().meta().rules;
        rules::in_force(command.rules(), in_force)
            .map_err(|early| DriveError::NotYet(early.to_string()))?;
        let until = self.until();
        let _turn = match source {
            Some(source) => match timeout_at(until, self.writes.turn(source)).await {
                Ok(turn) => turn.map_err(|TooMany| DriveError::Busy)?,
                Err(_) => return Err(self.no_leader("writes before it wait for one".to_owned())),
            },
            None => self.writes.own(),
        };
        // The entry carries the context of this span, so that every replica's part of the work joins it.
        let traceparent = telemetry::traceparent(&tracing::Span::current());
        let bytes = command::encode(0, request_id, actor, &traceparent, command);
        let done = self.at_leader(Handed::Command(bytes), until).await?;
        let (index, reply) = (done.index, done.reply);
        let answer =
            command::decode_reply(&reply).map_err(|e| DriveError::Internal(e.to_string()))?;
        // So that whoever asked finds it in this replica, and the streams of this node know.
        self.applied(index).await?;
        answer
            .map(|answer| Written { index, answer })
            .map_err(DriveError::Rejected)
    }

    /// A write of the node itself, under an id of its own.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn write_own(&self, command: Command) -> Result<Written, DriveError> {
        self.write_for(Origin::default(), command).await
    }

    /// The same, because of somebody, whose turn it takes.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn write_for(&self, origin: Origin, command: Command) -> Result<Written, DriveError> {
        let actor = format!("node:{}", self.node);
        self.write(self.new_id(), actor, origin, command).await
    }

    /// Proposes a command here, if this node leads, and gives up at once if not; for what only the leader does.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn propose_here(&self, command: Command) -> Result<Written, DriveError> {
        // Without a request id: it is never repeated, so nobody need remember it.
        let bytes = command::encode(0, "", &format!("node:{}", self.node), "", &command);
        let done = self
            .propose(&bytes)
            .await
            .map_err(|e| DriveError::NoLeader(format!("{e:?}")))?;
        let (index, reply) = (done.index, done.reply);
        let answer =
            command::decode_reply(&reply).map_err(|e| DriveError::Internal(e.to_string()))?;
        answer
            .map(|answer| Written { index, answer })
            .map_err(DriveError::Rejected)
    }

    /// Stamps a command with this leader's time and commits it.
    async fn propose(&self, bytes: &[u8]) -> Result<peer::Answered, Missed> {
        let stamped =
            command::stamp(bytes, self.now()).map_err(|e| Missed::Fault(e.to_string()))?;
        let (index, reply) = self.group().map_err(later)?.propose(stamped).await?;
        Ok(peer::Answered {
            index,
            reply,
            leadership: None,
        })
    }

    /// Does here what a client asked, here or of another node. One hop: whoever does not lead says who does.
    async fn take(&self, from: Peer, handed: Handed) -> Result<peer::Answered, Missed> {
        let group = self.group().map_err(later)?;
        match handed {
            Handed::Command(bytes) => {
                let answered = self.propose(&bytes).await?;
                self.leadership.wrote(from);
                return Ok(answered);
            }
            Handed::Leadership(_) => {
                let status = group.status();
                if status.role != Role::Leader {
                    return Err(Missed::Elsewhere(status.leader));
                }
                return Ok(peer::Answered {
                    leadership: Some(self.leadership.told(group, &status)),
                    ..Default::default()
                });
            }
            Handed::AddLearner(node) => {
                group
                    .add_learner(
                        node.id,
                        Node {
                            address: node.address,
                            region: node.region,
                            founded: String::new(),
                        },
                    )
                    .await?
            }
            Handed::Promote(id) => group.promote(id).await?,
            Handed::Remove(id) => group.remove(id).await?,
            Handed::TransferLeader(id) => {
                group.transfer_leader(id).await?;
                if id != self.node {
                    metrics::observe_move("operator");
                }
            }
        }
        Ok(peer::Answered::default())
    }

    /// Has the leader change the members or hand its office on, whichever node was asked. Repeating a change
    /// that is made already succeeds.
    ///
    /// # Errors
    /// [`DriveError::Refused`] with the reason, or as for a write.
    pub async fn manage(&self, change: Handed) -> Result<(), DriveError> {
        self.at_leader(change, self.until()).await.map(drop)
    }

    /// What the leader knows of where it should stand, whichever node it is; `None` of one of an older version, which
    /// counts nothing.
    ///
    /// # Errors
    /// As for a write.
    pub async fn ask_leadership(&self) -> Result<Option<peer::Leadership>, DriveError> {
        let ask = Handed::Leadership(peer::AskLeadership {});
        match self.at_leader(ask, self.until()).await {
            Ok(answered) => Ok(answered.leadership),
            // It does not know the question.
            Err(DriveError::Internal(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn at_leader(
        &self,
        handed: Handed,
        until: Instant,
    ) -> Result<peer::Answered, DriveError> {
        self.until_leader(until, |leader| {
            let handed = handed.clone();
            async move {
                if leader == self.node {
                    return self.take(self.node, handed).await;
                }
                let group = self.group().map_err(later)?;
                let to = self.member(leader)?;
                let bytes = peer::Handed {
                    request: Some(handed),
                }
                .encode_to_vec();
                let reply = group
                    .forward(&to, bytes)
                    .await
                    .map_err(|status| Missed::from_status(&status))?;
                peer::Answered::decode(&reply[..])
                    .map_err(|e| Missed::Fault(format!("a forwarded reply does not decode: {e}")))
            }
        })
        .await
    }

    /// Whether whoever leads, as far as this node knows, confirms at once that a majority follows it.
    pub async fn confirm_leader(&self) -> bool {
        let Ok(group) = self.group() else {
            return false;
        };
        let leader = group.watch().borrow().leader;
        match leader {
            Some(leader) => self.read_index(leader).await.is_ok(),
            None => false,
        }
    }

    async fn read_index(&self, leader: Peer) -> Result<u64, Missed> {
        let group = self.group().map_err(later)?;
        if leader == self.node {
            return Ok(group.read_index().await?);
        }
        let to = self.member(leader)?;
        let index = group.remote_read_index(&to).await;
        index.map_err(|status| Missed::from_status(&status))
    }

    fn member(&self, id: Peer) -> Result<(Peer, Node), Missed> {
        let group = self.group().map_err(later)?;
        let known = group
            .watch()
            .borrow()
            .members
            .get(&id)
            .map(|m| m.node.clone());
        known
            .map(|node| (id, node))
            .ok_or_else(|| Missed::Later(format!("node {id} leads but is no member known here")))
    }

    /// Waits until this replica holds every write answered before the call.
    ///
    /// # Errors
    /// [`DriveError::Unavailable`] when no leader confirms in time.
    pub async fn fresh(&self) -> Result<(), DriveError> {
        if mutants::is(Mutant::ReadsStale) {
            return Ok(());
        }
        let ask = |leader| self.read_index(leader);
        let index = self.until_leader(self.until(), ask).await?;
        let group = self.group()?;
        tokio::time::timeout(WRITE_TIMEOUT, group.wait_applied(index))
            .await
            .map_err(|_| DriveError::Lags)?
            .map_err(|_| DriveError::Stopping)
    }

    /// By when what begins now is given up. A node that is cut off says so soon: whoever asks has others to ask.
    fn until(&self) -> Instant {
        let alone = self.alone().is_some();
        Instant::now() + if alone { ALONE_TIMEOUT } else { WRITE_TIMEOUT }
    }

    fn no_leader(&self, why: String) -> DriveError {
        DriveError::NoLeader(match self.alone() {
            Some(_) => {
                "no leader with a majority answers this node: ask one of another region".to_owned()
            }
            None => why,
        })
    }

    /// Tries with whoever leads until it succeeds or the time is over.
    async fn until_leader<T, F>(
        &self,
        until: Instant,
        attempt: impl Fn(Peer) -> F,
    ) -> Result<T, DriveError>
    where
        F: Future<Output = Result<T, Missed>>,
    {
        let mut pause = RETRY.0;
        let mut hint = None;
        let mut why = "no leader is known".to_owned();
        loop {
            let leader = match hint.take() {
                Some(leader) => Some(leader),
                None => self.group()?.watch().borrow().leader,
            };
            if let Some(leader) = leader {
                match timeout_at(until, attempt(leader)).await {
                    Ok(Ok(done)) => {
                        self.set_alone(None);
                        return Ok(done);
                    }
                    Ok(Err(Missed::Elsewhere(next))) => {
                        why = format!("node {leader} does not lead");
                        hint = next.filter(|n| *n != leader);
                        if hint.is_some() && pause == RETRY.0 {
                            pause *= 2;
                            continue;
                        }
                    }
                    Ok(Err(Missed::Later(text))) => why = text,
                    Ok(Err(Missed::Busy)) => return Err(DriveError::Busy),
                    Ok(Err(Missed::NotYet(text))) => return Err(DriveError::NotYet(text)),
                    Ok(Err(Missed::Never(text))) => return Err(DriveError::Refused(text)),
                    Ok(Err(Missed::Fault(text))) => return Err(DriveError::Internal(text)),
                    Err(_) => {
                        let why = format!("node {leader} leads and did not answer in time");
                        return Err(self.no_leader(why));
                    }
                }
            }
            let next = Instant::now() + pause;
            if next >= until {
                return Err(self.no_leader(why));
            }
            // A change of leader ends the pause early.
            let mut status = self.group()?.watch();
            tokio::select! {
                () = sleep_until(next) => {}
                changed = status.wait_for(|s| s.role == Role::Stopped || s.leader.is_some() && s.leader != leader) => {
                    if changed.is_err() || changed.is_ok_and(|s| s.role == Role::Stopped) {
                        return Err(DriveError::Stopping);
                    }
                }
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn applied(&self, index: u64) -> Result<(), DriveError> {
        let mut progress = self.progress.clone();
        let waited =
            tokio::time::timeout(WRITE_TIMEOUT, progress.wait_for(|p| p.index >= index)).await;
        waited
            .map_err(|_| DriveError::Lags)?
            .map_err(|_| DriveError::Stopping)?;
        Ok(())
    }
}

/// Why one attempt missed.
#[derive(Debug)]
enum Missed {
    /// Another node leads, perhaps this one.
    Elsewhere(Option<Peer>),
    /// Worth another try.
    Later(String),
    /// The leader has too much in hand; the caller is to wait, not this node.
    Busy,
    /// Refused for now; the caller may ask again later.
    NotYet(String),
    /// Refused; asking again would not help.
    Never(String),
    /// Something is broken.
    Fault(String),
}

fn later(error: DriveError) -> Missed {
    Missed::Later(error.to_string())
}

impl From<ProposeError> for Missed {
    fn from(error: ProposeError) -> Self {
        match error {
            // The outcome is open; the request id tells on the next try.
            ProposeError::NotLeader { leader } | ProposeError::Unknown { leader } => {
                Self::Elsewhere(leader.map(|(id, _)| id))
            }
            ProposeError::TooLarge { .. } => Self::Never(error.to_string()),
            ProposeError::Busy { .. } => Self::Busy,
            ProposeError::NoQuorum | ProposeError::Stopped(_) => Self::Later(error.to_string()),
        }
    }
}

impl From<ReadError> for Missed {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotLeader { leader } => Self::Elsewhere(leader.map(|(id, _)| id)),
            other => Self::Later(other.to_string()),
        }
    }
}

impl From<MemberError> for Missed {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotLeader { leader } => Self::Elsewhere(leader.map(|(id, _)| id)),
            MemberError::Stopped(_) => Self::Later(error.to_string()),
            MemberError::Lagging { .. }
            | MemberError::Silent { .. }
            | MemberError::Stalled { .. } => Self::NotYet(error.to_string()),
            refused => Self::Never(refused.to_string()),
        }
    }
}

impl Missed {
    fn from_status(status: &Status) -> Self {
        match status.code() {
            tonic::Code::FailedPrecondition if status.metadata().get(NOT_YET).is_some() => {
                Self::NotYet(status.message().to_owned())
            }
            tonic::Code::FailedPrecondition if status.metadata().get(REFUSED).is_some() => {
                Self::Never(status.message().to_owned())
            }
            tonic::Code::FailedPrecondition => {
                let leader = status
                    .metadata()
                    .get(LEADER)
                    .and_then(|v| v.to_str().ok()?.parse().ok());
                Self::Elsewhere(leader)
            }
            tonic::Code::ResourceExhausted => Self::Busy,
            tonic::Code::InvalidArgument | tonic::Code::PermissionDenied => {
                Self::Fault(status.message().to_owned())
            }
            // A connection that breaks is told as an internal error too; only what a node marks is one.
            tonic::Code::Internal if status.metadata().get(FAULT).is_some() => {
                Self::Fault(status.message().to_owned())
            }
            _ => Self::Later(status.message().to_owned()),
        }
    }
}

/// Metadata in which a node that does not lead names who does.
const LEADER: &str = "meridian-leader";
/// Metadata that marks a refusal for now.
const NOT_YET: &str = "meridian-not-yet";
/// Metadata that marks a refusal for good.
const REFUSED: &str = "meridian-refused";
/// Metadata that marks a fault of the node that answered.
const FAULT: &str = "meridian-fault";

/// Answers the peers' calls that are not Raft's own. One hop: what is forwarded here is proposed here or not
/// at all.
pub struct Forwarded(pub Arc<Driver>);

#[tonic::async_trait]
impl PeerHandler for Forwarded {
    async fn forward(&self, _group: u32, from: Peer, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
        let handed = peer::Handed::decode(&bytes[..])
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let request = handed.request.ok_or_else(|| {
            Status::invalid_argument("nothing was handed on, or by a newer version")
        })?;
        let answered = self.0.take(from, request).await.map_err(status)?;
        Ok(answered.encode_to_vec())
    }

    async fn read_index(&self, _group: u32, _from: Peer) -> Result<u64, Status> {
        let group = self
            .0
            .group()
            .map_err(|e| Status::unavailable(e.to_string()))?;
        group.read_index().await.map_err(|e| status(e.into()))
    }
}

fn marked(mut status: Status, mark: &'static str) -> Status {
    let one = tonic::metadata::MetadataValue::from_static("1");
    status.metadata_mut().insert(mark, one);
    status
}

fn status(missed: Missed) -> Status {
    match missed {
        Missed::Elsewhere(leader) => {
            let mut status = Status::failed_precondition("this node does not lead");
            if let Some(value) = leader.and_then(|l| l.to_string().parse().ok()) {
                status.metadata_mut().insert(LEADER, value);
            }
            status
        }
        Missed::Later(text) => Status::unavailable(text),
        Missed::Busy => Status::resource_exhausted("the leader has too many writes in hand"),
        Missed::NotYet(text) => marked(Status::failed_precondition(text), NOT_YET),
        Missed::Never(text) => marked(Status::failed_precondition(text), REFUSED),
        Missed::Fault(text) => marked(Status::internal(text), FAULT),
    }
}
