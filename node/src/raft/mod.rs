//! Raft: one group of nodes that agree on one log of commands.
//!
//! openraft decides; this module gives it a log and a state on disk ([`crate::storage`]), peers over
//! gRPC, and times that fit a planet. The caller plugs in a [`Machine`] and drives a [`Group`].

pub mod backup;
pub mod convert;
pub mod error;
pub mod group;
mod known;
pub mod log_store;
pub mod machine;
pub mod members;
pub mod network;
pub mod past;
pub mod peers;
mod pipeline;
pub mod service;
pub mod snapshots;
pub mod state_machine;
pub mod status;
mod succession;
pub mod timing;
pub mod types;
pub mod wire;

#[cfg(test)]
mod tests;

pub use error::{MemberError, ProposeError, ReadError, StartError};
pub use group::{Group, GroupConfig};
pub use machine::{Applied, Machine};
pub use past::PastError;
pub use peers::{Connector, Direct};
pub use service::PeerHandler;
pub use status::{Member, Role, Status};
pub use timing::{Timing, TimingError};
pub use types::{Node, NodeId};
