//! A stream of appends to a follower that does not read.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{Stream, StreamExt};
use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_server::{self, PeerServer};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::errors::RPCError;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::AppendEntriesRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::cluster::soon;
use crate::raft::network::Network;
use crate::raft::peers::Peers;
use crate::raft::types::{Config, Entry, LogId, Node, Proposal, Vote};
use crate::raft::{Direct, Timing, convert};

type Answers = mpsc::Sender<Result<pb::AppendReply, Status>>;

/// A follower whose reading and answers are in the hands of the test.
struct Puppet(mpsc::Sender<(Streaming<pb::AppendRequest>, Answers)>);

fn never<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not played here"))
}

#[tonic::async_trait]
impl peer_server::Peer for Puppet {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<pb::AppendReply, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (answers, answered) = mpsc::channel(1);
        self.0.send((request.into_inner(), answers)).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }

    async fn heartbeat(
        &self,
        _: Request<pb::AppendRequest>,
    ) -> Result<Response<pb::AppendReply>, Status> {
        never()
    }

    async fn vote(&self, _: Request<pb::VoteRequest>) -> Result<Response<pb::VoteReply>, Status> {
        never()
    }

    async fn pre_vote(
        &self,
        _: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteReply>, Status> {
        never()
    }

    async fn transfer_leader(
        &self,
        _: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderReply>, Status> {
        never()
    }

    async fn snapshot(
        &self,
        _: Request<Streaming<pb::SnapshotRequest>>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        never()
    }

    async fn forward(
        &self,
        _: Request<pb::ForwardRequest>,
    ) -> Result<Response<pb::ForwardReply>, Status> {
        never()
    }

    async fn read_index(
        &self,
        _: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexReply>, Status> {
        never()
    }

    async fn ping(&self, _: Request<pb::PingRequest>) -> Result<Response<pb::PingReply>, Status> {
        never()
    }
}

fn at(index: u64) -> LogId {
    LogId::new(1.into(), index)
}

/// Appends of one large entry each, from `index` on without end; and whether it still exists.
fn appends(
    index: u64,
) -> (
    impl Stream<Item = AppendEntriesRequest<Config>> + Unpin + Send,
    Weak<()>,
) {
    let alive = Arc::new(());
    let gone = Arc::downgrade(&alive);
    let requests = futures::stream::iter(index..).map(move |index| {
        let _ = &alive;
        let command = Proposal(vec![7; 100 << 10]);
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: Some(at(index - 1)),
            entries: vec![Entry::new(at(index), EntryPayload::Normal(command))],
            leader_commit: None,
        }
    });
    (requests, gone)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_given_up_takes_no_more_requests_and_holds_up_only_what_it_must() {
    let (streams, mut opened) = mpsc::channel(1);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = tokio::net::TcpListener::bind(any).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // So small that two requests fill it.
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(64 << 10)
        .add_service(PeerServer::new(Puppet(streams)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let connector = Arc::new(Direct);
    let peers = Peers::new("test", 1, 1, connector, Timing::derive(1_000, 50).unwrap()).unwrap();
    let region = String::new();
    let mut peer = Network(peers)
        .new_client(
            2,
            &Node {
                address,
                region,
                ..Node::default()
            },
        )
        .await;
    let option = RPCOption::new(Duration::from_millis(50));

    let (requests, first) = appends(10);
    let mut replies = peer.stream_append(requests, option.clone()).await.unwrap();
    let answer = soon("the follower is given up", replies.next())
        .await
        .unwrap();
    assert!(matches!(answer, Err(RPCError::Timeout(_))), "{answer:?}");
    assert!(first.upgrade().is_none(), "it could still take requests");
    drop(replies);
    let (unread, _) = soon("the stream was opened", opened.recv()).await.unwrap();

    // Over a new connection: the old one holds what it cannot send.
    let (requests, second) = appends(20);
    let mut replies = peer.stream_append(requests, option.clone()).await.unwrap();
    let answer = soon("the follower is given up again", replies.next())
        .await
        .unwrap();
    assert!(matches!(answer, Err(RPCError::Timeout(_))), "{answer:?}");
    assert!(second.upgrade().is_none());
    drop(replies);
    let (again, _) = soon("a second stream was opened", opened.recv())
        .await
        .unwrap();

    // But not over more and more of them.
    let (requests, third) = appends(30);
    let answer = peer.stream_append(requests, option.clone()).await;
    assert!(
        matches!(answer.err(), Some(RPCError::Timeout(_))),
        "two connections hold requests"
    );
    assert!(third.upgrade().is_none());
    assert!(opened.try_recv().is_err(), "no third stream was opened");

    drop((unread, again));
    let (requests, _) = appends(40);
    let mut replies = peer.stream_append(requests, option.clone()).await.unwrap();
    let follower = async {
        let (mut requests, answers) = opened.recv().await.unwrap();
        let request = requests.message().await.unwrap().unwrap();
        let prev = convert::log_id_opt_in(request.prev.as_ref());
        let log_id = Some(convert::log_id_out(&at(40)));
        let matched = pb::append_reply::Outcome::Matched(pb::Matched { log_id });
        let reply = pb::AppendReply {
            outcome: Some(matched),
        };
        answers.send(Ok(reply)).await.unwrap();
        (prev, requests, answers)
    };
    let both = async { tokio::join!(replies.next(), follower) };
    let (answer, (prev, ..)) = soon("the last stream is answered", both).await;
    assert_eq!(answer.unwrap().unwrap(), Ok(Some(at(40))));
    assert_eq!(prev, Some(at(39)), "it begins with its own first request");
}
