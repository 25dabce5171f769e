//! A whole cluster in one thread: the real nodes over a clock, a network and disks that a seed decides. What runs is
//! what ships, from the gRPC services and openraft down to the log and the state on an engine in memory; only RocksDB,
//! whose threads no simulator can order, is left out.

pub mod cluster;
pub mod day;
pub mod faults;
pub mod many;
#[cfg(feature = "mutants")]
pub mod mutation;
pub mod net;
pub mod plan;
