//! The gRPC service other nodes call.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_server;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tonic::{Request, Response, Status, Streaming};

use super::convert;
use super::peers::{CLUSTER_HEADER, FOUNDED_HEADER, Peers};
use super::state_machine::{StateMachine, StateReader, off_thread};
use super::succession::Led;
use super::types::{Config, NodeId, Vote};
use super::wire;
use crate::storage::snapshot::{SnapshotFile, Temporary};

/// What the caller does with requests that are not Raft's own.
#[tonic::async_trait]
pub trait PeerHandler: Send + Sync + 'static {
    /// Another node hands on a command because it takes this one for the leader.
    ///
    /// # Errors
    /// A status the other node passes on or acts upon.
    async fn forward(&self, group: u32, from: NodeId, command: Vec<u8>) -> Result<Vec<u8>, Status>;

    /// Another node asks for the index a linearizable read must wait for.
    ///
    /// # Errors
    /// A status the other node passes on or acts upon.
    async fn read_index(&self, group: u32, from: NodeId) -> Result<u64, Status>;
}

/// The service of one group.
#[derive(Clone)]
pub struct PeerService {
    pub(super) raft: Raft<Config, StateMachine>,
    pub(super) cluster: String,
    pub(super) peers: Peers,
    pub(super) reader: StateReader,
    pub(super) handler: Arc<dyn PeerHandler>,
    pub(super) led: Led,
    /// The newest rules the machine here knows.
    pub(super) rules: u32,
}

impl PeerService {
    fn check_cluster<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let cluster = request.metadata().get(CLUSTER_HEADER);
        if cluster.is_some_and(|cluster| cluster.as_bytes() == self.cluster.as_bytes()) {
            let theirs = request.metadata().get(FOUNDED_HEADER);
            return match (self.peers.founded(), theirs) {
                (Some(own), Some(theirs)) if own != *theirs => Err(Status::permission_denied(
                    "this node belongs to another cluster of that name: one of the two was restored or recovered; stop the nodes of the one that is given up",
                )),
                _ => Ok(()),
            };
        }
        Err(Status::permission_denied(format!(
            "this node belongs to cluster \"{}\"",
            self.cluster
        )))
    }

    fn check_route(&self, route: Option<&pb::Route>) -> Result<NodeId, Status> {
        let route = route.ok_or_else(|| Status::invalid_argument("the route is missing"))?;
        if route.group != self.peers.group() {
            return Err(Status::not_found(format!(
                "group {} is not on this node",
                route.group
            )));
        }
        if route.to != self.peers.node_id() {
            return Err(Status::failed_precondition(format!(
                "this is node {}, not node {}",
                self.peers.node_id(),
                route.to
            )));
        }
        Ok(route.from)
    }

    fn vote_now(&self) -> Vote {
        self.raft.metrics().borrow_watched().vote
    }

    /// Denies a vote if this node's log is empty, but the candidate's is not new: this may be a voter
    /// whose directory was emptied, and what it once acknowledged would not count in the election. A
    /// node that is new has no vote before it has caught up; only in the very first election of a
    /// cluster is everybody's log empty but for the entry that founds it.
    fn lost_its_log(&self, request: &VoteRequest<Config>) -> Option<VoteResponse<Config>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let founding = request.last_log_id.is_none_or(|last| last.index == 0);
        if metrics.last_log_index.is_some() || founding {
            return None;
        }
        tracing::error!(
            candidate = request.vote.leader_id.voted_for,
            "this node's log is empty, so it denies its vote in a cluster that has one: if it was a voter, remove it, clear its directory, and add it again under a new id"
        );
        Some(VoteResponse::new(metrics.vote, None, false))
    }

    /// Takes a snapshot off the wire into a file of its own.
    async fn receive(
        &self,
        start: &pb::SnapshotStart,
        mut parts: Streaming<pb::SnapshotRequest>,
    ) -> Result<Temporary, Status> {
        let incoming = self.reader.incoming_snapshot();
        let path = incoming.path().to_owned();
        let io = |error: std::io::Error| Status::internal(format!("{}: {error}", path.display()));
        let mut file = tokio::fs::File::create(&path).await.map_err(io)?;
        let mut length = 0;
        while let Some(part) = parts.message().await? {
            let Some(pb::snapshot_request::Part::Chunk(chunk)) = part.part else {
                return Err(Status::invalid_argument("a chunk was expected"));
            };
            if chunk.offset != length || crc32c::crc32c(&chunk.data) != chunk.crc32c {
                return Err(Status::data_loss(format!(
                    "the chunk at {} is damaged or out of place",
                    chunk.offset
                )));
            }
            length += chunk.data.len() as u64;
            if length > start.length {
                return Err(Status::data_loss("the snapshot is longer than announced"));
            }
            file.write_all(&chunk.data).await.map_err(io)?;
        }
        if length != start.length {
            return Err(Status::data_loss("the snapshot ended early"));
        }
        file.sync_all().await.map_err(io)?;
        Ok(incoming)
    }
}

/// Notes that a leader was heard, unless it is none any more.
fn note(led: &Led, answer: &StreamAppendResult<Config>) {
    if !matches!(answer, Err(StreamAppendError::HigherVote(_))) {
        led.heard();
    }
}

fn malformed(error: convert::Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("Raft has stopped on this node: {error}"))
}

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<pb::AppendReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.check_cluster(&request)?;
        let service = self.clone();
        // openraft's stream of requests has no place for an error: the first one ends it and is
        // reported after the answers to what came before.
        let refusal = Arc::new(Mutex::new(None));
        let refused = refusal.clone();
        let requests = request
            .into_inner()
            .map(move |message| {
                let message = message?;
                service.check_route(message.route.as_ref())?;
                wire::append_in(message).map_err(malformed)
            })
            .scan((), move |(), request| {
                let request = request
                    .map_err(|status: Status| *refused.lock() = Some(status))
                    .ok();
                std::future::ready(request)
            });
        let led = self.led.clone();
        let answers = self
            .raft
            .stream_append(requests)
            .map(move |answer| match answer {
                Ok(result) => {
                    note(&led, &result);
                    Ok(wire::append_reply_out(result))
                }
                Err(fatal) => Err(stopped(fatal)),
            });
        let end = futures::stream::once(async move { refusal.lock().take() })
            .filter_map(|status| std::future::ready(status.map(Err)));
        Ok(Response::new(Box::pin(answers.chain(end))))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::AppendRequest>,
    ) -> Result<Response<pb::AppendReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        self.check_route(message.route.as_ref())?;
        let request = wire::append_in(message).map_err(malformed)?;
        let (prev, last) = (request.prev_log_id, wire::append_last(&request));
        let response = self.raft.append_entries(request).await.map_err(stopped)?;
        let result = response.into_stream_result(prev, last);
        note(&self.led, &result);
        Ok(Response::new(wire::append_reply_out(result)))
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        self.check_route(message.route.as_ref())?;
        let request = wire::vote_request_in(&message).map_err(malformed)?;
        if let Some(denied) = self.lost_its_log(&request) {
            return Ok(Response::new(wire::vote_reply_out(&denied, None)));
        }
        let (applied, before) = (self.reader.last_applied(), self.vote_now());
        let vote = request.vote;
        let response = self.raft.vote(request).await.map_err(stopped)?;
        // A vote given is synced before it is told, and with it all that was written before: a sync
        // more would double the time this answer takes out of the candidate's.
        let committed = if response.vote_granted && before != vote {
            applied
        } else {
            self.reader.durable().await
        };
        Ok(Response::new(wire::vote_reply_out(&response, committed)))
    }

    async fn pre_vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        let from = self.check_route(message.route.as_ref())?;
        let request = wire::vote_request_in(&message).map_err(malformed)?;
        if let Some(denied) = self.lost_its_log(&request) {
            return Ok(Response::new(wire::vote_reply_out(&denied, None)));
        }
        let asked_with = request.last_log_id;
        let (response, committed) =
            tokio::join!(self.raft.pre_vote(request), self.reader.durable());
        let mut response = response.map_err(stopped)?;
        // Two that campaign within half a round trip of each other would grant each other's pre-vote
        // and then split the vote. Of two with equal logs the one with the greater number goes on.
        // Denying a pre-vote is always safe, and this denial ends with our own campaign.
        let rivals = self.peers.campaigning() && self.peers.node_id() > from;
        if rivals && response.last_log_id == asked_with {
            response.vote_granted = false;
        }
        Ok(Response::new(wire::vote_reply_out(&response, committed)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        self.check_route(message.route.as_ref())?;
        let request = wire::transfer_in(&message).map_err(malformed)?;
        let response = self
            .raft
            .handle_transfer_leader(request)
            .await
            .map_err(stopped)?;
        Ok(Response::new(wire::transfer_reply_out(response)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotRequest>>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        self.check_cluster(&request)?;
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|first| first.part);
        let Some(pb::snapshot_request::Part::Start(start)) = first else {
            return Err(Status::invalid_argument("a start was expected"));
        };
        self.check_route(start.route.as_ref())?;
        let vote = convert::vote_in(start.vote.as_ref()).map_err(malformed)?;
        let header = start.header.clone().unwrap_or_default();
        if header.group != self.peers.group() {
            return Err(Status::invalid_argument(format!(
                "the snapshot is of group {}, its route names group {}",
                header.group,
                self.peers.group()
            )));
        }
        let meta = convert::snapshot_in(header).map_err(malformed)?;

        let incoming = self.receive(&start, parts).await?;
        let file = off_thread(move || SnapshotFile::open_temporary(incoming))
            .await
            .map_err(|error| Status::data_loss(error.to_string()))?;
        if Some(file.header()) != start.header.as_ref() {
            return Err(Status::data_loss("the file covers something else"));
        }
        // Checked whole before Raft hears of it: Raft would take a failing install for a broken
        // disk and stop this node.
        let checked = file.clone();
        off_thread(move || checked.read(|_| Ok(())))
            .await
            .map_err(|error| Status::data_loss(error.to_string()))?;
        let snapshot = openraft::Snapshot {
            meta,
            snapshot: file,
        };
        let response = self
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(stopped)?;
        Ok(Response::new(pb::SnapshotReply {
            vote: Some(convert::vote_out(&response.vote)),
        }))
    }

    async fn forward(
        &self,
        request: Request<pb::ForwardRequest>,
    ) -> Result<Response<pb::ForwardReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        let from = self.check_route(message.route.as_ref())?;
        let reply = self
            .handler
            .forward(self.peers.group(), from, message.command)
            .await?;
        Ok(Response::new(pb::ForwardReply { reply }))
    }

    async fn read_index(
        &self,
        request: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexReply>, Status> {
        self.check_cluster(&request)?;
        let message = request.into_inner();
        let from = self.check_route(message.route.as_ref())?;
        let index = self.handler.read_index(self.peers.group(), from).await?;
        Ok(Response::new(pb::ReadIndexReply { index }))
    }

    async fn ping(
        &self,
        request: Request<pb::PingRequest>,
    ) -> Result<Response<pb::PingReply>, Status> {
        self.check_cluster(&request)?;
        self.check_route(request.into_inner().route.as_ref())?;
        let last_log = self.raft.metrics().borrow_watched().last_log_index;
        let ago = self.led.at().map(|at| at.elapsed().as_millis());
        Ok(Response::new(pb::PingReply {
            rules: self.rules,
            last_log: last_log.unwrap_or(0),
            led_ms_ago: ago.and_then(|ago| ago.try_into().ok()),
            round_trips: self.peers.usual_round_trips(),
        }))
    }
}
