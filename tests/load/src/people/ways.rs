//! How the simulated people reach the cluster, and how they learn that the day is over.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Longest time one call is waited for; the node itself tries across a change of leader meanwhile.
pub const CALL: Duration = Duration::from_secs(20);
/// Pause before the next node is tried.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Ways to the nodes, nearest first.
#[derive(Clone)]
pub struct Ways(pub Vec<Channel>);

/// The end of the day.
#[derive(Clone)]
pub struct Evening {
    /// When people go home: who talks hangs up, who waits leaves.
    pub home: Instant,
    stop: watch::Receiver<bool>,
}

impl Evening {
    /// An evening, and what ends it for everybody.
    pub fn new(home: Instant) -> (watch::Sender<bool>, Self) {
        let (sender, stop) = watch::channel(false);
        (sender, Self { home, stop })
    }
    /// Waits until everybody is to stop.
    pub async fn stopped(&mut self) {
        // A sender that is gone stops everybody, too.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Why a call came to nothing.
pub enum Missed {
    /// The cluster said no.
    Refused(Status),
    /// No answer in time: it may have been carried out, or not.
    Unknown,
}

/// Calls until a node answers or the day is over; the same request id makes a repeat harmless.
///
/// # Errors
/// [`Missed`].
pub async fn call<T, F>(
    ways: &Ways,
    evening: &mut Evening,
    ask: impl Fn(Channel) -> F,
) -> Result<T, Missed>
where
    F: Future<Output = Result<T, Status>>,
{
    for way in ways.0.iter().cycle() {
        let answer = tokio::select! {
            answer = timeout(CALL, ask(way.clone())) => answer,
            () = evening.stopped() => return Err(Missed::Unknown),
        };
        match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) if !passes(&status) => return Err(Missed::Refused(status)),
            Ok(Err(_)) | Err(_) => {}
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = evening.stopped() => return Err(Missed::Unknown),
        }
    }
    Err(Missed::Unknown)
}

/// Whether another node, or a moment later, will do: the node or the way to it failed, or it has too much to
/// do. What the cluster said no to before is said no to again, for the request id is the same.
fn passes(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
    )
}
