//! A wide area network on one machine: TCP links with delay, jitter, rate limit and cuts.
//!
//! A [`Wan`] holds links. Each listens on a loopback port of its own and forwards to a target address;
//! nodes under test are told the links' addresses instead of each other's. Links are one for each ordered
//! pair of nodes ([`Geography::links`]), so a cut may hit one node's connects and leave the other's.
//!
//! # What is modelled
//! - **Delay.** Bytes are stamped when they are read and written, in order, when the one-way delay and a
//!   seeded jitter have passed. Any number of bytes is under way at once: delay does not lower throughput
//!   until [`WINDOW_BYTES`] or [`WINDOW_CHUNKS`] are in flight in one direction of a connection; then
//!   nothing more is read, and the sender feels back-pressure.
//! - **Connecting** takes one round trip before the target sees the connection.
//! - **Rate limit.** Bytes leave the sender's end one after the other at the rate, for each connection and
//!   direction by itself.
//! - **Cuts**: see [`Cut`]. **Closing**: the end of one direction travels behind its last byte, and the
//!   other direction stays open; a reset travels too.
//!
//! # What is not
//! Packets: nothing is lost, doubled or reordered below TCP, and no congestion window grows slowly. Bytes
//! that a cut held arrive at once after [`Wan::heal`], where TCP would wait for its next retransmission.
//! The system's own socket buffers come on top of the window. A connect to a held link succeeds in the
//! caller's kernel, as the proxy's port is there; it is the first answer that never comes.

mod connection;
mod geography;
mod link;
mod wan;

pub use connection::{WINDOW_BYTES, WINDOW_CHUNKS};
pub use geography::{Geography, GeographyError, Place};
pub use link::{CONNECTIONS_MAX, Cut, LinkId, LinkSpec, LinkStats, Shape};
pub use wan::{Wan, WanError};
