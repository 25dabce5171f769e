//! One link: its settings, its listener and the connections through it.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection;

/// Most connections through one link; further ones wait in the listener's backlog.
pub const CONNECTIONS_MAX: usize = 1_024;

/// A link's name: who connects through it to whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The side that connects.
    pub from: String,
    /// The side that is connected to.
    pub to: String,
}

impl LinkId {
    /// The link from one side to the other.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self { from, to }
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

/// How a link carries bytes; the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Shape {
    /// One way. A round trip takes twice as long.
    pub delay: Duration,
    /// Each chunk is late by up to this much more, evenly drawn from the seed; order is kept.
    pub jitter: Duration,
    /// Bytes a second for each connection and direction; `None` = unlimited.
    pub rate: Option<NonZeroU64>,
}

impl Shape {
    /// A one-way delay and nothing else.
    pub fn delay_ms(ms: u64) -> Self {
        Self {
            delay: Duration::from_millis(ms),
            ..Self::default()
        }
    }
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A black hole both ways: bytes are held until the link is healed, and so are new connections; up to
    /// the window, then the sender feels back-pressure. This is what a lost route looks like to TCP,
    /// which sends again and again; nobody is told. The ends' own time-outs are what ends it.
    Hold,
    /// As `Hold`, but only for bytes from the side that connected; bytes to it still pass. New
    /// connections are held, as a handshake needs both ways.
    HoldForward,
    /// As `Hold`, but only for bytes to the side that connected.
    HoldBackward,
    /// A dead host or a firewall that answers: all connections are reset at once, bytes under way are
    /// dropped, and a new connection is reset as soon as it is made.
    Reset,
}

/// What to link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSpec {
    /// Its name.
    pub id: LinkId,
    /// Where it forwards to.
    pub target: SocketAddr,
    /// How it carries bytes.
    pub shape: Shape,
}

/// What went through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections held now.
    pub open: u64,
    /// Bytes written to the target.
    pub forward_bytes: u64,
    /// Bytes written to the sides that connected.
    pub backward_bytes: u64,
}

/// Counters behind [`LinkStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    pub(crate) forward_bytes: AtomicU64,
    pub(crate) backward_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> LinkStats {
        LinkStats {
            accepted: self.accepted.load(Relaxed),
            open: self.open.load(Relaxed),
            forward_bytes: self.forward_bytes.load(Relaxed),
            backward_bytes: self.backward_bytes.load(Relaxed),
        }
    }
}

/// Counts a connection as open for as long as it lives, however it ends.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.accepted.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        Self(counters.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A link's settings as its connections see them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) target: SocketAddr,
    pub(crate) shape: Shape,
    pub(crate) cut: Option<Cut>,
}

/// Accepts until it is aborted; the connections live inside and end with it.
pub(crate) async fn run(
    listener: TcpListener,
    control: watch::Receiver<Control>,
    counters: Arc<Counters>,
    seed: u64,
) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((client, _)) => {
                    let open = Open::new(&counters);
                    let (control, counters) = (control.clone(), counters.clone());
                    connections.spawn(async move {
                        connection::serve(client, control, &counters, (seed, number)).await;
                        drop(open);
                    });
                    number += 1;
                }
                // Out of file descriptors or aborted by the peer: neither is cured by trying at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
