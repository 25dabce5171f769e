//! Raft: one group of nodes that agree on one log of commands.
//!
//! openraft decides; this module gives it a log and a state on disk ([`crate::storage`]), peers over
//! gRPC, and times that fit a planet. The caller plugs in a [`Machine`] and drives a [`Group`].

pub mod convert;
pub mod log_store;
pub mod machine;
pub mod network;
pub mod peers;
pub mod service;
pub mod snapshots;
pub mod state_machine;
pub mod timing;
pub mod types;
pub mod wire;

pub use machine::{Applied, Machine};
pub use types::{Node, NodeId};
