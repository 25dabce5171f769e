//! What a node keeps on disk: one database and the snapshot files beside it.
//!
//! ```text
//! <data>/IDENTITY     whose directory this is: no database is ever made anew beside it
//! <data>/synced       how far the database's log is on disk
//! <data>/db/          the database
//! <data>/snapshots/   the newest snapshot, and files on their way in or out
//! ```
//!
//! The log is synced before it is acknowledged; the state is not, because it can be rebuilt from
//! the log. Both go through one write-ahead log, so whatever a crash leaves is one prefix of what
//! was written. Every record carries a format version and a checksum.
//!
//! The database stands on an [`Engine`], which a [`Storage`] given at assembly opens: RocksDB, or
//! one in memory. The files beside it are files of the file system.

mod db;
mod engine;
mod error;
mod flusher;
mod identity;
pub mod keys;
mod memory;
pub mod record;
#[cfg(feature = "rocks")]
mod rocks;
pub mod snapshot;
mod synced;

#[cfg(test)]
mod tests;

pub use db::Db;
pub use engine::{Batch, Engine, EngineError, Part, RawRecord, Records, Storage, View};
pub use error::StorageError;
pub use flusher::OnSynced;
pub use memory::{Memory, SyncTakes};
#[cfg(feature = "rocks")]
pub use rocks::Rocks;
