//! How openraft reaches the other nodes.
//!
//! A time-out is ours to keep: openraft allows a call its hard limit and expects us to give up at
//! three quarters of it (`soft_ttl`). What cannot be reached is reported as unreachable, which makes
//! openraft wait longer before each further attempt.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_client::PeerClient;
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{
    RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::convert::{self, Malformed};
use super::peers::{Lane, Peers};
use super::pipeline::Pipeline;
use super::state_machine::StoredSnapshot;
use super::types::{Config, LogId, Node, NodeId, Vote};
use super::wire;
use crate::storage::snapshot::SnapshotFile;

/// Bytes of a snapshot in one message.
const CHUNK_BYTES: usize = 256 << 10;
/// An append stream with requests unanswered for this many hard limits, and the time their bytes
/// take, is given up.
const STALL_FACTOR: u32 = 3;

pub(super) type RpcError = RPCError<Config>;

/// Makes the clients openraft asks for.
pub struct Network(pub Peers);

impl RaftNetworkFactory<Config> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> Peer {
        Peer::new(&self.0, target, node, Lane::Bulk)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> Peer {
        Peer::new(&self.0, target, node, Lane::Control)
    }
}

/// One peer, as openraft sees it.
pub struct Peer {
    pub(super) peers: Peers,
    pub(super) target: NodeId,
    node: Node,
    lane: Lane,
}

impl Peer {
    fn new(peers: &Peers, target: NodeId, node: &Node, lane: Lane) -> Self {
        Self {
            peers: peers.clone(),
            target,
            node: node.clone(),
            lane,
        }
    }

    fn client(&self, lane: Lane) -> Result<PeerClient<Channel>, RpcError> {
        self.peers
            .client(self.target, &self.node, lane)
            .map_err(|what| Unreachable::from_string(what).into())
    }

    /// A client for log entries.
    pub(super) fn bulk(&self) -> Result<PeerClient<Channel>, RpcError> {
        self.client(Lane::Bulk)
    }

    fn quiet(&self) -> RpcError {
        Unreachable::from_string("no majority answers: quiet, so that another may lead").into()
    }

    pub(super) fn timeout(&self, action: RPCTypes, after: Duration) -> Timeout<Config> {
        Timeout {
            action,
            id: self.peers.node_id(),
            target: self.target,
            timeout: after,
        }
    }

    /// Waits for a call, at most as long as it may take.
    async fn call<T>(
        &self,
        action: RPCTypes,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RpcError> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.refused(action, &status)),
            Err(_) => Err(self.timeout(action, limit).into()),
        }
    }

    /// Answers for the peer where its answer is known. A new leader looks for the end of what a
    /// follower shares with it by bisection, a round trip a step: on a planet that alone takes longer
    /// than the election. But what a follower has committed every leader has, and how far that goes it
    /// says in its answer to a request for a vote. Such a step is acknowledged up to the entry before
    /// the first one it carries: openraft takes that for a position, and not for a sign of life, which
    /// it would be were one of the entries themselves acknowledged.
    fn known_answer(&self, request: &AppendEntriesRequest<Config>) -> Option<LogId> {
        let before = request.prev_log_id?;
        let term = request.vote.leader_id.term;
        // Without entries, or from where the last answer ended, it is no step of a search.
        let answer = !request.entries.is_empty()
            && Some(before) > self.peers.matched(self.target, term)
            && Some(before) <= self.peers.known(self.target, term);
        answer.then(|| {
            self.peers.matches(self.target, term, before);
            before
        })
    }

    /// Passes an answer to an append on to openraft, unless the follower has lost what it had
    /// acknowledged to this leader: openraft takes that for a fault of its own and would end this
    /// node. The follower is left alone then; it neither counts as heard nor for a majority.
    pub(super) fn checked(
        &self,
        term: u64,
        result: StreamAppendResult<Config>,
    ) -> Result<StreamAppendResult<Config>, RpcError> {
        match &result {
            Ok(Some(matched)) => self.peers.matches(self.target, term, *matched),
            Err(StreamAppendError::Conflict(lacking)) => {
                let matched = self.peers.matched(self.target, term);
                if let Some(matched) = matched.filter(|matched| lacking.index <= matched.index) {
                    if self.peers.reverted(self.target, term) {
                        tracing::error!(
                            node = self.target,
                            acknowledged = matched.index,
                            lacking = lacking.index,
                            "node {} has lost log entries it had acknowledged: its data directory was emptied or rolled back. Remove it from the cluster, clear its directory, and add it again under a new id",
                            self.target
                        );
                    }
                    let what = format!("node {} has lost acknowledged entries", self.target);
                    return Err(Unreachable::from_string(what).into());
                }
            }
            Ok(None) | Err(StreamAppendError::HigherVote(_)) => {}
        }
        Ok(result)
    }

    /// What an answer with an error means. openraft asks again at once after most kinds of error; an
    /// error that came without waiting would be asked for thousands of times a second. So whatever
    /// it is, it counts as unreachable, which is asked again ever more slowly.
    pub(super) fn refused(&self, action: RPCTypes, status: &Status) -> RpcError {
        tracing::debug!(target = self.target, ?action, %status, "a peer is out of reach");
        Unreachable::new(status).into()
    }
}

pub(super) fn malformed(error: Malformed) -> RpcError {
    NetworkError::new(&error).into()
}

impl RaftNetworkV2<Config> for Peer {
    type SnapshotData = SnapshotFile;

    // One append and its answer: the way of heartbeats, always on the control connection.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Config>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Config>, RpcError> {
        let last = wire::append_last(&request);
        let term = request.vote.leader_id.term;
        let message = wire::append_out(self.peers.route(self.target), request);
        let mut client = self.client(Lane::Control)?;
        let call = client.heartbeat(self.peers.request(message));
        let reply = self
            .call(RPCTypes::AppendEntries, option.soft_ttl(), call)
            .await?;
        let result = wire::append_reply_in(&reply).map_err(malformed)?;
        Ok(match self.checked(term, result)? {
            Ok(matched) if matched != last => AppendEntriesResponse::PartialSuccess(matched),
            result => result.into(),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Config>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<Config>> + OptionalSend + Unpin + 'static,
    {
        if self.lane == Lane::Control {
            return stream_append_sequential(self, input, option);
        }
        Box::pin(async move {
            // openraft waits out its back-off where it makes a request. So take one before dialling:
            // a dial that fails at once would otherwise be repeated without any pause.
            let Some(first) = input.next().await else {
                return Ok(Box::pin(futures::stream::empty()) as BoxStream<'s, _>);
            };
            if let Some(known) = self.known_answer(&first) {
                let answer = futures::stream::once(async move { Ok(Ok(Some(known))) });
                return Ok(Box::pin(answer) as BoxStream<'s, _>);
            }
            if self.peers.quiet() {
                return Err(self.quiet());
            }
            let stall = option.hard_ttl() * STALL_FACTOR;
            // What the last stream sent must have left before this one sends.
            let left = self.peers.appended(self.target);
            if tokio::time::timeout(stall, left).await.is_err() {
                return Err(self.timeout(RPCTypes::AppendEntries, stall).into());
            }
            let pipeline = Pipeline::begin(self, first, input, stall)?;
            let results = futures::stream::unfold(Some(pipeline), |pipeline| async move {
                let mut pipeline = pipeline?;
                let item = pipeline.next().await.transpose()?;
                let goes_on = matches!(item, Ok(Ok(_)));
                Some((item, goes_on.then_some(pipeline)))
            });
            Ok(Box::pin(results) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, RpcError> {
        let term = request.vote.leader_id.term;
        let message = wire::vote_request_out(self.peers.route(self.target), &request);
        let mut client = self.client(Lane::Control)?;
        let call = client.vote(self.peers.request(message));
        let reply = self.call(RPCTypes::Vote, option.soft_ttl(), call).await?;
        let committed = convert::log_id_opt_in(reply.committed.as_ref());
        self.peers.learn(self.target, term, committed);
        wire::vote_reply_in(&reply).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Config>,
        option: RPCOption,
    ) -> Result<VoteResponse<Config>, RpcError> {
        self.peers.campaigns(option.hard_ttl());
        let term = request.vote.leader_id.term;
        let message = wire::vote_request_out(self.peers.route(self.target), &request);
        let mut client = self.client(Lane::Control)?;
        let call = client.pre_vote(self.peers.request(message));
        let reply = self.call(RPCTypes::Vote, option.soft_ttl(), call).await?;
        let committed = convert::log_id_opt_in(reply.committed.as_ref());
        self.peers.learn(self.target, term, committed);
        wire::vote_reply_in(&reply).map_err(malformed)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Config>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Config>, RpcError> {
        let message = wire::transfer_out(self.peers.route(self.target), &request);
        let mut client = self.client(Lane::Control)?;
        let call = client.transfer_leader(self.peers.request(message));
        let reply = self
            .call(RPCTypes::TransferLeader, option.soft_ttl(), call)
            .await?;
        wire::transfer_reply_in(&reply).map_err(malformed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: StoredSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Config>, StreamingError<Config>> {
        if self.peers.quiet() {
            return Err(self.quiet().into());
        }
        let start = pb::SnapshotStart {
            route: self.peers.route(self.target),
            vote: Some(convert::vote_out(&vote)),
            header: Some(snapshot.snapshot.header().clone()),
            length: snapshot.snapshot.length(),
        };
        let (term, covered) = (vote.leader_id.term, snapshot.meta.last_log_id);
        let progress = Arc::new(AtomicU64::new(0));
        let parts = snapshot_parts(start, snapshot.snapshot, progress.clone());
        let mut client = self.client(Lane::Bulk)?;
        let call = client.snapshot(self.peers.request(parts));
        tokio::pin!(call, cancel);

        // A big snapshot may take long; one that does not move may not.
        let limit = option.soft_ttl();
        let mut seen = 0;
        loop {
            tokio::select! {
                closed = &mut cancel => return Err(closed.into()),
                result = &mut call => {
                    let reply = result
                        .map_err(|status| self.refused(RPCTypes::InstallSnapshot, &status))?
                        .into_inner();
                    let answer = convert::vote_in(reply.vote.as_ref()).map_err(malformed)?;
                    if let Some(covered) = covered.filter(|_| answer == vote) {
                        self.peers.matches(self.target, term, covered);
                    }
                    let vote = answer;
                    return Ok(SnapshotResponse::new(vote));
                }
                () = tokio::time::sleep(limit) => {
                    let now = progress.load(Ordering::Relaxed);
                    if now == seen {
                        return Err(self.timeout(RPCTypes::InstallSnapshot, limit).into());
                    }
                    seen = now;
                }
            }
        }
    }
}

/// The messages of a snapshot. Ends early if the file cannot be read; the receiver then misses
/// bytes and refuses it.
fn snapshot_parts(
    start: pb::SnapshotStart,
    file: SnapshotFile,
    progress: Arc<AtomicU64>,
) -> impl Stream<Item = pb::SnapshotRequest> + Send + 'static {
    use pb::snapshot_request::Part;
    let chunks = futures::stream::unfold(0, move |offset| {
        let (file, progress) = (file.clone(), progress.clone());
        async move {
            if offset >= file.length() {
                return None;
            }
            let read = crate::aside::aside(move || file.read_at(offset, CHUNK_BYTES)).await;
            let data = match read {
                Ok(Ok(data)) => data,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a snapshot cannot be read for sending");
                    return None;
                }
                Err(_) => return None,
            };
            let next = offset + data.len() as u64;
            progress.store(next, Ordering::Relaxed);
            let crc32c = crc32c::crc32c(&data);
            let chunk = pb::SnapshotChunk {
                offset,
                data,
                crc32c,
            };
            Some((Part::Chunk(chunk), next))
        }
    });
    futures::stream::once(async { Part::Start(start) })
        .chain(chunks)
        .map(|part| pb::SnapshotRequest { part: Some(part) })
}
