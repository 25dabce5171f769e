//! So many calls are open at a time, what they ask must come to an end, and what is not complete yet may hold so many
//! bytes in all.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
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

/// By when the first message of a call must be there, and any that has begun, but for what its length needs.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);
/// No slower than this, a message comes to an end.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// What messages that are not complete may hold in all. Beyond it, those that hold little go on.
const UNFINISHED_BYTES_MAX: usize = 64 << 20;
/// What is little.
const LITTLE_BYTES: usize = 4 << 10;
/// In front of every message: a flag and its length. See gRPC over HTTP/2, "Length-Prefixed-Message".
const HEAD_BYTES: usize = 5;

/// Guards a server's services.
#[derive(Clone)]
pub struct Guard {
    room: Room,
    unfinished: Arc<AtomicUsize>,
}

impl Guard {
    /// So many calls may be open at a time.
    pub fn new(calls: Room) -> Self {
        Self {
            room: calls,
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
        let place = match self.guard.room.take(source.and_then(|s| s.address)) {
            Ok(place) => place,
            Err(full) => {
                metrics::observe_refused("call", whose(full));
                let refusal = refusal(full).into_http();
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        let unfinished = self.guard.unfinished.clone();
        let request = request.map(|body| Body::new(Question::new(body, unfinished)));
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

/// What is asked, message by message.
struct Question {
    body: Body,
    messages: Messages,
    /// Bytes of all messages on this node that are not complete.
    unfinished: Arc<AtomicUsize>,
    /// Its part of them.
    held: usize,
    /// When the message that is awaited must be there; `None` between messages, however long that is.
    due: Option<Pin<Box<Sleep>>>,
}

impl Question {
    fn new(body: Body, unfinished: Arc<AtomicUsize>) -> Self {
        Self {
            body,
            messages: Messages::default(),
            unfinished,
            held: 0,
            due: Some(Box::pin(sleep(COMPLETE_WITHIN))),
        }
    }

    fn holds(&mut self, bytes: usize) {
        self.unfinished.fetch_add(bytes, Ordering::Relaxed);
        self.unfinished.fetch_sub(self.held, Ordering::Relaxed);
        self.held = bytes;
    }

    /// Takes in what came.
    fn comes(&mut self, data: &[u8]) -> Result<(), Status> {
        let fresh = self.messages.take(data);
        self.holds(self.messages.held);
        let all = self.unfinished.load(Ordering::Relaxed);
        if self.held > LITTLE_BYTES && all > UNFINISHED_BYTES_MAX {
            metrics::observe_refused("message", "node");
            return Err(overloaded(
                "this node holds too much of messages that are not complete: send yours again, or to another",
            ));
        }
        if self.messages.held == 0 {
            self.due = None;
        } else if let Some(length) = fresh {
            let needs = Duration::from_secs(u64::from(length) / BYTES_PER_SECOND);
            let due = Instant::now() + COMPLETE_WITHIN + needs;
            match &mut self.due {
                Some(sleep) => sleep.as_mut().reset(due),
                None => self.due = Some(Box::pin(tokio::time::sleep_until(due))),
            }
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
            }
            Poll::Ready(_) => self.due = None,
            Poll::Pending => {
                if let Some(due) = &mut self.due
                    && due.as_mut().poll(cx).is_ready()
                {
                    self.due = None;
                    metrics::observe_refused("message", "slow");
                    let late = Status::deadline_exceeded(
                        "the message did not come in time: send it at once and whole",
                    );
                    return Poll::Ready(Some(Err(late)));
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
    head: [u8; HEAD_BYTES],
}

impl Messages {
    /// Takes in what came; the length of the message in hand, when that has become known.
    fn take(&mut self, mut data: &[u8]) -> Option<u32> {
        let mut fresh = None;
        while !data.is_empty() {
            if self.held < HEAD_BYTES {
                let more = data.len().min(HEAD_BYTES - self.held);
                self.head[self.held..self.held + more].copy_from_slice(&data[..more]);
                self.held += more;
                data = &data[more..];
                if self.held == HEAD_BYTES {
                    fresh = Some(self.length());
                }
            } else {
                let rest = HEAD_BYTES + self.length() as usize - self.held;
                let more = data.len().min(rest);
                self.held += more;
                data = &data[more..];
            }
            if self.held >= HEAD_BYTES && self.held == HEAD_BYTES + self.length() as usize {
                self.held = 0;
                fresh = None;
            }
        }
        fresh
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

    fn question(first: Vec<u8>, unfinished: &Arc<AtomicUsize>) -> Question {
        let body = Body::new(Hangs(vec![first.into()]));
        Question::new(body, unfinished.clone())
    }

    async fn next(question: &mut Question) -> Option<Result<Frame<Bytes>, Status>> {
        std::future::poll_fn(|cx| Pin::new(&mut *question).poll_frame(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_must_end_and_what_has_not_may_wait() {
        let unfinished = Arc::default();
        let mut begun = question(message(100)[..50].to_vec(), &unfinished);
        assert!(next(&mut begun).await.is_some_and(|frame| frame.is_ok()));
        assert_eq!(unfinished.load(Ordering::Relaxed), 50);
        let began = Instant::now();
        let late = next(&mut begun).await.and_then(Result::err);
        assert_eq!(late.map(|s| s.code()), Some(tonic::Code::DeadlineExceeded));
        assert!(began.elapsed() >= COMPLETE_WITHIN);
        drop(begun);
        assert_eq!(unfinished.load(Ordering::Relaxed), 0);

        let mut whole = question(message(100), &unfinished);
        assert!(next(&mut whole).await.is_some_and(|frame| frame.is_ok()));
        tokio::time::sleep(COMPLETE_WITHIN * 100).await;
        assert!(next(&mut whole).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn beyond_the_budget_those_that_hold_little_go_on() {
        let unfinished = Arc::new(AtomicUsize::new(UNFINISHED_BYTES_MAX));
        let mut little = question(message(LITTLE_BYTES)[..LITTLE_BYTES].to_vec(), &unfinished);
        assert!(next(&mut little).await.is_some_and(|frame| frame.is_ok()));
        let mut much = question(message(99_999)[..50_000].to_vec(), &unfinished);
        let refused = next(&mut much).await.and_then(Result::err);
        let code = refused.map(|status| status.code());
        assert_eq!(code, Some(tonic::Code::ResourceExhausted));
    }
}
