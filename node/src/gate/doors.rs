//! Who is let in: so many connections, and only those that begin to speak.
//!
//! A connection that is made and says nothing costs a task and its buffers, and no ping of HTTP/2 finds it out, since
//! those begin with the first words. So they must come in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

use super::{Full, Place, Room, Source};
use crate::env::{Connection, Connections};
use crate::metrics;

/// By when the first words of HTTP/2 must have come.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);
/// Pause after a connection could not be taken: what is lacking, such as file descriptors, is lacking for a while.
const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// How long those words are: the preface of RFC 9113, section 3.4.
const PREFACE_BYTES: usize = 24;

/// A connection that was let in.
pub struct Guest {
    connection: Connection,
    source: Source,
    /// Until it has said so many bytes.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
    _place: Place,
}

/// Lets so many connections in at a time; closes the others at once, as nothing can be said to them yet.
pub fn guests(
    connections: Connections,
    connections_max: usize,
) -> impl Stream<Item = io::Result<Guest>> + Send + 'static {
    let room = Room::new(connections_max);
    let mut number = 0;
    connections.filter_map(move |connection| {
        number += 1;
        let let_in = match connection {
            Ok(connection) => let_in(connection, number, &room).map(Ok),
            Err(failed) => Some(Err(failed)),
        };
        async move {
            if let Some(Err(failed)) = &let_in {
                tracing::warn!(error = %failed, "a connection could not be taken");
                sleep(AFTER_FAILURE).await;
            }
            let_in
        }
    })
}

fn let_in(connection: Connection, number: u64, room: &Room) -> Option<Guest> {
    let address = connection.address();
    let place = match room.take(address) {
        Ok(place) => place,
        Err(full) => {
            metrics::observe_refused("connection", whose(full));
            tracing::debug!(?address, ?full, "a connection was refused");
            return None;
        }
    };
    Some(Guest {
        connection,
        source: Source {
            address,
            connection: number,
        },
        awaited: Some((0, Box::pin(sleep(SPEAKS_WITHIN)))),
        _place: place,
    })
}

/// Whose limit was reached, for a metric.
pub(super) fn whose(full: Full) -> &'static str {
    match full {
        Full::Address(_) => "address",
        Full::All(_) => "node",
    }
}

impl Connected for Guest {
    type ConnectInfo = Source;
    fn connect_info(&self) -> Source {
        self.source
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(cx, buf);
        let Some((said, late)) = &mut self.awaited else {
            return read;
        };
        match read {
            Poll::Ready(Ok(())) => {
                *said += buf.filled().len() - before;
                if *said >= PREFACE_BYTES {
                    self.awaited = None;
                }
                read
            }
            Poll::Ready(Err(_)) => read,
            Poll::Pending => late.as_mut().poll(cx).map(|()| {
                metrics::observe_refused("connection", "silent");
                Err(io::ErrorKind::TimedOut.into())
            }),
        }
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
