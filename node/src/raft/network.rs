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
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::convert::{self, Malformed};
use super::peers::{Lane, Peers};
use super::state_machine::StoredSnapshot;
use super::types::{Config, LogId, Node, NodeId, Vote};
use super::wire;
use crate::storage::snapshot::SnapshotFile;

/// Bytes of a snapshot in one message.
const CHUNK_BYTES: usize = 256 << 10;
/// An append stream with requests unanswered for this many hard limits is given up: one limit is
/// too strict for a large batch over a slow link.
const STALL_FACTOR: u32 = 3;

type RpcError = RPCError<Config>;

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
    peers: Peers,
    target: NodeId,
    node: Node,
    lane: Lane,
    /// The position last reported to openraft as equal on both sides.
    matched: Mutex<Option<LogId>>,
}

impl Peer {
    fn new(peers: &Peers, target: NodeId, node: &Node, lane: Lane) -> Self {
        Self {
            peers: peers.clone(),
            target,
            node: node.clone(),
            lane,
            matched: Mutex::new(None),
        }
    }

    fn client(&self, lane: Lane) -> Result<PeerClient<Channel>, RpcError> {
        self.peers
            .client(self.target, &self.node, lane)
            .map_err(|what| Unreachable::from_string(what).into())
    }

    fn timeout(&self, action: RPCTypes, after: Duration) -> Timeout<Config> {
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
        let mut matched = self.matched.lock();
        // Without entries, or from where the last answer ended, it is no step of a search.
        let answer = !request.entries.is_empty()
            && Some(before) > *matched
            && Some(before) <= self.peers.known(self.target, term);
        answer.then(|| {
            *matched = Some(before);
            before
        })
    }

    /// What an answer with an error means. openraft asks again at once after most kinds of error; an
    /// error that came without waiting would be asked for thousands of times a second. So whatever
    /// it is, it counts as unreachable, which is asked again ever more slowly.
    fn refused(&self, action: RPCTypes, status: &Status) -> RpcError {
        tracing::debug!(target = self.target, ?action, %status, "a peer is out of reach");
        Unreachable::new(status).into()
    }
}

fn malformed(error: Malformed) -> RpcError {
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
        let message = wire::append_out(self.peers.route(self.target), request);
        let mut client = self.client(Lane::Control)?;
        let call = client.heartbeat(self.peers.request(message));
        let reply = self
            .call(RPCTypes::AppendEntries, option.soft_ttl(), call)
            .await?;
        Ok(match wire::append_reply_in(&reply).map_err(malformed)? {
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
            let sent = Arc::new(AtomicU64::new(0));
            let route = self.peers.route(self.target);
            let counter = sent.clone();
            let requests = futures::stream::once(async { first }).chain(input);
            let outbound = requests.map(move |request| {
                counter.fetch_add(1, Ordering::Relaxed);
                wire::append_out(route, request)
            });
            let mut client = self.client(Lane::Bulk)?;
            let call = client.append(self.peers.request(outbound));
            let stall = option.hard_ttl() * STALL_FACTOR;
            let replies = self.call(RPCTypes::AppendEntries, stall, call).await?;
            let state = Pipeline {
                peer: self,
                replies,
                sent,
                received: 0,
                stall,
            };
            let results = futures::stream::unfold(Some(state), |state| async move {
                let mut state = state?;
                let item = state.next().await.transpose()?;
                let goes_on = matches!(item, Ok(Ok(_)));
                Some((item, goes_on.then_some(state)))
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
        let start = pb::SnapshotStart {
            route: self.peers.route(self.target),
            vote: Some(convert::vote_out(&vote)),
            header: Some(snapshot.snapshot.header().clone()),
            length: snapshot.snapshot.length(),
        };
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
                    let vote = convert::vote_in(reply.vote.as_ref()).map_err(malformed)?;
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

/// The answers to a stream of appends.
struct Pipeline<'s> {
    peer: &'s Peer,
    replies: tonic::Streaming<pb::AppendReply>,
    sent: Arc<AtomicU64>,
    received: u64,
    stall: Duration,
}

impl Pipeline<'_> {
    async fn next(&mut self) -> Result<Option<StreamAppendResult<Config>>, RpcError> {
        loop {
            let sent = self.sent.load(Ordering::Relaxed);
            match tokio::time::timeout(self.stall, self.replies.next()).await {
                Ok(Some(Ok(reply))) => {
                    self.received += 1;
                    let result = wire::append_reply_in(&reply).map_err(malformed)?;
                    self.peer.peers.forget(self.peer.target);
                    if let Ok(matched) = result {
                        *self.peer.matched.lock() = matched;
                    }
                    return Ok(Some(result));
                }
                Ok(Some(Err(status))) => {
                    let action = RPCTypes::AppendEntries;
                    return Err(self.peer.refused(action, &status));
                }
                Ok(None) => return Ok(None),
                // Nothing to send, nothing to answer.
                Err(_) if self.received >= sent => {}
                Err(_) => {
                    return Err(self
                        .peer
                        .timeout(RPCTypes::AppendEntries, self.stall)
                        .into());
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
            let read = tokio::task::spawn_blocking(move || file.read_at(offset, CHUNK_BYTES)).await;
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
