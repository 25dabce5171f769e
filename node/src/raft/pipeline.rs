//! A stream of appends to one follower, and its answers.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use meridian_proto::peer::v1 as pb;
use openraft::network::RPCTypes;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::network::{Peer, RpcError, malformed};
use super::types::Config;
use super::wire;

/// A link that passes less than this is taken for broken. What is under way may take so much longer
/// to be answered: one large entry over a slow link is no sign of death. Whether the connection is
/// alive at all, its own pings tell.
const FLOOR_BYTES_PER_SECOND: u64 = 256 << 10;

type Request = AppendEntriesRequest<Config>;

/// Takes requests from openraft one by one as the connection has room for them, and hands answers
/// back. It owns openraft's end of the stream: dropping it is the end of taking requests, whatever
/// the connection still holds. Were they taken by the connection itself, a stream given up would go
/// on and take those meant for the next one.
pub(super) struct Pipeline<'s, S> {
    peer: &'s Peer,
    term: u64,
    requests: S,
    /// Gone once openraft has no more requests.
    outbound: Option<mpsc::Sender<pb::AppendRequest>>,
    replies: Replies,
    under_way: UnderWay,
}

enum Event {
    Sent(usize),
    NoMore,
    Reply(Option<Result<pb::AppendReply, Status>>),
    Stalled,
}

impl<'s, S: Stream<Item = Request> + Unpin> Pipeline<'s, S> {
    /// Begins with `first`, a request of `term`; an answer is due `stall` later, or as much later as
    /// the requests are large.
    pub(super) fn begin(
        peer: &'s Peer,
        first: Request,
        requests: S,
        stall: Duration,
    ) -> Result<Self, RpcError> {
        let term = first.vote.leader_id.term;
        let mut client = peer.bulk()?;
        let (outbound, inbound) = mpsc::channel(1);
        let left = peer.peers.appends(peer.target);
        let body = ReceiverStream::new(inbound).map(move |request| {
            // Dropped with the body, which is when the connection has let go of it.
            let _ = &left;
            request
        });
        let request = peer.peers.request(body);
        let mut pipeline = Self {
            peer,
            term,
            requests,
            outbound: Some(outbound),
            replies: Replies::Opening(Box::pin(async move { client.append(request).await })),
            under_way: UnderWay::new(stall, Instant::now()),
        };
        let message = wire::append_out(peer.peers.route(peer.target), first);
        pipeline
            .under_way
            .sent(message.encoded_len(), Instant::now());
        if let Some(outbound) = &pipeline.outbound {
            // Its one place is free.
            let _ = outbound.try_send(message);
        }
        Ok(pipeline)
    }

    /// The next answer; `None` once all are given and no request is left.
    pub(super) async fn next(&mut self) -> Result<Option<StreamAppendResult<Config>>, RpcError> {
        loop {
            match self.event().await {
                Event::Sent(bytes) => self.under_way.sent(bytes, Instant::now()),
                Event::NoMore => self.outbound = None,
                Event::Reply(Some(Ok(reply))) => {
                    self.under_way.answered(Instant::now());
                    let result = wire::append_reply_in(&reply).map_err(malformed)?;
                    self.peer.peers.forget(self.peer.target);
                    return self.peer.checked(self.term, result).map(Some);
                }
                Event::Reply(Some(Err(status))) => {
                    return Err(self.peer.refused(RPCTypes::AppendEntries, &status));
                }
                Event::Reply(None) => return Ok(None),
                Event::Stalled => {
                    self.peer.peers.renew(self.peer.target);
                    let after = self.under_way.patience();
                    return Err(self.peer.timeout(RPCTypes::AppendEntries, after).into());
                }
            }
        }
    }

    async fn event(&mut self) -> Event {
        let route = self.peer.peers.route(self.peer.target);
        let Self {
            requests,
            outbound,
            replies,
            under_way,
            ..
        } = self;
        let take = async {
            let Some(outbound) = outbound else {
                return std::future::pending().await;
            };
            // Room comes first: a request that is taken is sent.
            let Ok(room) = outbound.reserve().await else {
                // The call is over; the answers say why.
                return std::future::pending().await;
            };
            let Some(request) = requests.next().await else {
                return Event::NoMore;
            };
            let message = wire::append_out(route, request);
            let bytes = message.encoded_len();
            room.send(message);
            Event::Sent(bytes)
        };
        tokio::select! {
            biased;
            reply = replies.next() => Event::Reply(reply),
            event = take => event,
            () = tokio::time::sleep_until(under_way.due()), if !under_way.is_empty() => Event::Stalled,
        }
    }
}

/// The answers, from before the call is accepted.
enum Replies {
    Opening(BoxFuture<'static, Result<Response<Streaming<pb::AppendReply>>, Status>>),
    Open(Box<Streaming<pb::AppendReply>>),
}

impl Replies {
    /// Not to be called again after an error.
    async fn next(&mut self) -> Option<Result<pb::AppendReply, Status>> {
        loop {
            match self {
                Self::Opening(call) => match call.await {
                    Ok(response) => *self = Self::Open(Box::new(response.into_inner())),
                    Err(status) => return Some(Err(status)),
                },
                Self::Open(replies) => return replies.next().await,
            }
        }
    }
}

/// The requests not answered yet, by length in bytes.
struct UnderWay {
    lengths: VecDeque<usize>,
    bytes: usize,
    /// The last sign of life, or when the oldest request was sent.
    since: Instant,
    stall: Duration,
}

impl UnderWay {
    fn new(stall: Duration, now: Instant) -> Self {
        Self {
            lengths: VecDeque::new(),
            bytes: 0,
            since: now,
            stall,
        }
    }

    fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn sent(&mut self, bytes: usize, now: Instant) {
        if self.lengths.is_empty() {
            self.since = now;
        }
        self.lengths.push_back(bytes);
        self.bytes += bytes;
    }

    fn answered(&mut self, now: Instant) {
        self.bytes -= self.lengths.pop_front().unwrap_or(0);
        self.since = now;
    }

    fn patience(&self) -> Duration {
        self.stall + Duration::from_millis(self.bytes as u64 * 1_000 / FLOOR_BYTES_PER_SECOND)
    }

    fn due(&self) -> Instant {
        self.since + self.patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_later_the_more_is_under_way_and_every_answer_is_a_sign_of_life() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut under_way = UnderWay::new(Duration::from_secs(1), begin);
        under_way.sent(1 << 20, at(60));
        under_way.sent(1 << 20, at(62));
        assert_eq!(under_way.due(), at(60 + 1 + 8));
        under_way.answered(at(65));
        assert_eq!(under_way.due(), at(65 + 1 + 4));
        under_way.answered(at(66));
        assert!(under_way.is_empty());
    }
}
