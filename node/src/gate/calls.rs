//! So many calls are open at a time, what they ask must come to an end, and what is not complete yet may hold so many
//! bytes in all.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::doors::whose;
use super::{Full, Place, Room, Source};
use crate::metrics;
use crate::services::overloaded;

/// Methods that take more than one message. Every other is answered once what is asked has ended, so that must be soon.
const STREAMING: [&str; 3] = [
    "/livechat.v1.AgentService/Work",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// By when what is asked must be there, or the first message of a stream and any that has begun; but for what its length
/// needs.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);
/// No slower than this, a message comes to an end.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// What messages that are not complete may hold in all, and half of it those of one address. Beyond it, those that hold
/// little go on.
const UNFINISHED_BYTES_MAX: usize = 64 << 20;
/// What is little.
const LITTLE_BYTES: usize = 4 << 10;
/// In front of every message: a flag and its length. See gRPC over HTTP/2, "Length-Prefixed-Message".
const HEAD_BYTES: usize = 5;

/// Guards a server's services.
#[derive(Clone)]
pub struct Guard {
    room: Room,
    unfinished: Arc<Mutex<Unfinished>>,
}

impl Guard {
    /// So many calls may be open at a time.
    pub fn new(calls_max: usize) -> Self {
        Self {
            room: Room::new(calls_max),
            unfinished: Arc::default(),
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

/// What [`Guard`] makes of a service.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let source = request.extensions().get::<Source>().copied();
        let address = source.and_then(|source| source.address);
        let place = match self.guard.room.take(address) {
            Ok(place) => place,
            Err(full) => {
                metrics::observe_refused("call", whose(full));
                let refusal = refusal(full).into_http();
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        let unfinished = self.guard.unfinished.clone();
        let one = !STREAMING.contains(&request.uri().path());
        let request = request.map(|body| Body::new(Question::new(body, one, address, unfinished)));
        let answered = self.inner.call(request);
        Box::pin(async move {
            let answer = answered.await?;
            Ok(answer.map(|body| {
                Body::new(Answer {
                    body,
                    _place: place,
                })
            }))
        })
    }
}

fn refusal(full: Full) -> Status {
    match full {
        Full::Address(max) => overloaded(format!(
            "{max} calls are open from your address, which is all it gets: end some, or spread them over the nodes"
        )),
        Full::All(max) => overloaded(format!(
            "{max} calls are open on this node, which is all it takes: try another"
        )),
    }
}

/// An answer; the call is over when it is dropped.
struct Answer {
    body: Body,
    _place: Place,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of what is asked and not complete, in all and by address.
#[derive(Default)]
struct Unfinished {
    all: usize,
    by_address: BTreeMap<Option<IpAddr>, usize>,
}

impl Unfinished {
    /// Somebody's part changes; whether that is too much.
    fn change(&mut self, address: Option<IpAddr>, from: usize, to: usize) -> bool {
        let own = self.by_address.entry(address).or_default();
        *own = *own - from + to;
        self.all = self.all - from + to;
        let much = *own > UNFINISHED_BYTES_MAX / 2 || self.all > UNFINISHED_BYTES_MAX;
        if *own == 0 {
            self.by_address.remove(&address);
        }
        much && to > LITTLE_BYTES
    }
}

/// What is asked, message by message.
struct Question {
    body: Body,
    messages: Messages,
    /// Whether there is one message, after which it must end: it is not answered before.
    one: bool,
    address: Option<IpAddr>,
    unfinished: Arc<Mutex<Unfinished>>,
    /// Its part of them.
    held: usize,
    /// When what is awaited must be there; `None` between the messages of a stream, however long that is.
    due: Option<Pin<Box<Sleep>>>,
    /// When something was last taken, until more is asked for: meanwhile nobody is late but the node.
    taken: Option<Instant>,
}

impl Question {
    fn new(
        body: Body,
        one: bool,
        address: Option<IpAddr>,
        unfinished: Arc<Mutex<Unfinished>>,
    ) -> Self {
        Self {
            body,
            messages: Messages::default(),
            one,
            address,
            unfinished,
            held: 0,
            due: Some(Box::pin(sleep(COMPLETE_WITHIN))),
            taken: None,
        }
    }

    /// Whether what it holds is too much.
    fn holds(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.held, bytes);
        // As every call ends: nobody need wait for the lock.
        if before == 0 && bytes == 0 {
            return false;
        }
        let mut unfinished = self.unfinished.lock();
        unfinished.change(self.address, before, bytes)
    }

    /// Takes in what came.
    fn comes(&mut self, data: &[u8]) -> Result<(), Status> {
        let length = self.messages.take(data);
        if self.one && self.messages.completed > 1 {
            return Err(Status::invalid_argument(
                "the method takes one message, and more came",
            ));
        }
        // One that is complete is kept until the call begins, which is at the end of what is asked.
        let kept = self.messages.held + if self.one { self.messages.complete } else { 0 };
        if self.holds(kept) {
            metrics::observe_refused("message", "node");
            return Err(overloaded(
                "too much of messages that are not complete is held here: send yours again, or to another node",
            ));
        }
        let begun = self.messages.held > 0;
        if length.is_some() || begun && self.due.is_none() {
            let needs = u64::from(length.unwrap_or(0)) / BYTES_PER_SECOND;
            let more = COMPLETE_WITHIN + Duration::from_secs(needs);
            self.due = Some(Box::pin(sleep(more)));
        } else if !begun && !self.one {
            self.due = None;
        }
        Ok(())
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.holds(0);
    }
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(came))) => {
                if let Some(data) = came.data_ref()
                    && let Err(refused) = self.comes(data)
                {
                    return Poll::Ready(Some(Err(refused)));
                }
                self.taken = Some(Instant::now());
            }
            Poll::Ready(_) => {
                self.due = None;
                self.holds(0);
            }
            Poll::Pending => {
                let unread = self.taken.take().map_or(Duration::ZERO, |at| at.elapsed());
                if let Some(due) = &mut self.due {
                    let deadline = due.deadline() + unread;
                    due.as_mut().reset(deadline);
                    if due.as_mut().poll(cx).is_ready() {
                        self.due = None;
                        metrics::observe_refused("message", "slow");
                        let late = Status::deadline_exceeded(
                            "what was asked did not come in time: send it at once and whole",
                        );
                        return Poll::Ready(Some(Err(late)));
                    }
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where one message ends and the next begins.
#[derive(Debug, Default)]
struct Messages {
    /// Bytes of the one that is not complete.
    held: usize,
    /// Bytes of those that are.
    complete: usize,
    /// How many those are.
    completed: usize,
    head: [u8; HEAD_BYTES],
}

impl Messages {
    /// Takes in what came; the length of the message in hand, when that has become known.
    fn take(&mut self, mut data: &[u8]) -> Option<u32> {
        let mut length = None;
        while !data.is_empty() {
            let end = match self.held {
                held if held < HEAD_BYTES => HEAD_BYTES,
                _ => HEAD_BYTES + self.length() as usize,
            };
            let (more, rest) = data.split_at(data.len().min(end - self.held));
            if self.held < HEAD_BYTES {
                self.head[self.held..self.held + more.len()].copy_from_slice(more);
            }
            self.held += more.len();
            data = rest;
            if self.held == HEAD_BYTES {
                length = Some(self.length());
            }
            if self.held >= HEAD_BYTES && self.held == HEAD_BYTES + self.length() as usize {
                self.complete += self.held;
                self.completed += 1;
                (self.held, length) = (0, None);
            }
        }
        length
    }

    fn length(&self) -> u32 {
        let [_, length @ ..] = self.head;
        u32::from_be_bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use http_body::Body as _;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&(length as u32).to_be_bytes());
        bytes.resize(HEAD_BYTES + length, 7);
        bytes
    }

    #[test]
    fn messages_are_told_apart_however_they_come() {
        let all = [message(0), message(3), message(700), message(1)].concat();
        for pieces in 1..all.len() {
            let mut messages = Messages::default();
            for piece in all.chunks(pieces) {
                messages.take(piece);
            }
            assert_eq!(messages.held, 0, "in pieces of {pieces}");
            messages.take(&message(9)[..7]);
            assert_eq!(messages.held, 7);
        }
    }

    /// A body that never comes to an end.
    struct Hangs(Vec<Bytes>);

    impl http_body::Body for Hangs {
        type Data = Bytes;
        type Error = Status;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.0.pop() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    fn question(first: Vec<u8>, one: bool, unfinished: &Arc<Mutex<Unfinished>>) -> Question {
        let body = Body::new(Hangs(vec![first.into()]));
        Question::new(body, one, None, unfinished.clone())
    }

    async fn next(question: &mut Question) -> Option<Result<Frame<Bytes>, Status>> {
        std::future::poll_fn(|cx| Pin::new(&mut *question).poll_frame(cx)).await
    }

    async fn code(question: &mut Question) -> Option<tonic::Code> {
        let refused = next(question).await?.err()?;
        Some(refused.code())
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_must_end_and_a_stream_may_wait_between_messages() {
        let unfinished = Arc::default();
        let mut begun = question(message(100)[..50].to_vec(), false, &unfinished);
        assert_eq!(code(&mut begun).await, None);
        assert_eq!(unfinished.lock().all, 50);
        let began = Instant::now();
        let late = code(&mut begun).await;
        assert_eq!(late, Some(tonic::Code::DeadlineExceeded));
        assert!(began.elapsed() >= COMPLETE_WITHIN);
        drop(begun);
        assert_eq!(unfinished.lock().all, 0);
        assert!(unfinished.lock().by_address.is_empty());

        let mut whole = question(message(100), false, &unfinished);
        assert_eq!(code(&mut whole).await, None);
        tokio::time::sleep(COMPLETE_WITHIN * 100).await;
        assert!(next(&mut whole).now_or_never().is_none(), "it waits");
        let mut head = question(message(100)[..2].to_vec(), false, &unfinished);
        assert_eq!(code(&mut head).await, None);
        assert_eq!(code(&mut head).await, Some(tonic::Code::DeadlineExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_message_is_asked_for_the_end_must_come_too_and_counts_until_then() {
        let unfinished = Arc::default();
        let mut whole = question(message(100), true, &unfinished);
        assert_eq!(code(&mut whole).await, None);
        assert_eq!(unfinished.lock().all, 105);
        assert_eq!(code(&mut whole).await, Some(tonic::Code::DeadlineExceeded));
        let mut two = question([message(1), message(1)].concat(), true, &unfinished);
        assert_eq!(code(&mut two).await, Some(tonic::Code::InvalidArgument));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_late_while_the_node_does_not_look() {
        let unfinished = Arc::default();
        let mut begun = question(message(100)[..50].to_vec(), false, &unfinished);
        assert_eq!(code(&mut begun).await, None);
        tokio::time::sleep(COMPLETE_WITHIN * 2).await;
        assert!(next(&mut begun).now_or_never().is_none(), "it has its time");
        assert_eq!(code(&mut begun).await, Some(tonic::Code::DeadlineExceeded));
    }

    #[tokio::test]
    async fn beyond_the_budget_those_that_hold_little_go_on() {
        let other = Some(IpAddr::from([10, 0, 0, 1]));
        let unfinished = Arc::new(Mutex::new(Unfinished::default()));
        assert!(unfinished.lock().change(other, 0, UNFINISHED_BYTES_MAX));
        let mut little = question(message(9_999)[..LITTLE_BYTES].to_vec(), true, &unfinished);
        assert_eq!(code(&mut little).await, None);
        let much = || question(message(99_999)[..50_000].to_vec(), true, &unfinished);
        let refused = code(&mut much()).await;
        assert_eq!(refused, Some(tonic::Code::ResourceExhausted));
        // An address gets half.
        unfinished
            .lock()
            .change(other, UNFINISHED_BYTES_MAX, UNFINISHED_BYTES_MAX / 2 + 1);
        assert_eq!(code(&mut much()).await, None);
    }
}
