//! What can be wrong with a data directory, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::engine::EngineError;

/// The way out when what a node has can no longer be trusted.
const REPAIR: &str = "To repair: remove this node from the cluster, move its data directory away, and add it again as a learner with an empty directory and a new node id";

/// An error of the storage layer. Each names the file or directory and, where there is one, the way
/// out. A node never goes on with data it cannot trust: rejoining with an empty directory costs one
/// snapshot, a silent hole costs the cluster's promise.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The data directory holds something that is not Meridian's.
    #[error(
        "{} is not Meridian's: give the node an empty data directory of its own",
        file.display()
    )]
    Strange {
        /// What was found.
        file: PathBuf,
    },
    /// Another process holds the directory.
    #[error(
        "{dir} is in use by another process (RocksDB LOCK): stop that process, or give this node a directory of its own"
    )]
    Held {
        /// The database directory.
        dir: PathBuf,
    },
    /// A part without which the rest proves nothing is missing.
    #[error(
        "{dir} holds a database but no {missing}: it is incomplete. {}",
        REPAIR
    )]
    Incomplete {
        /// Where it is missing.
        dir: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// The database is gone, and with it the node's votes, so it must not go on as the voter it was.
    #[error(
        "{dir} is empty, but {left} is there: the database was lost. Restore it whole, or else: {}",
        REPAIR
    )]
    Lost {
        /// The database directory.
        dir: PathBuf,
        /// What is left.
        left: PathBuf,
    },
    /// The directory belongs to another node, group or cluster.
    #[error(
        "{dir} belongs to {found}, this is {expected}: correct the configuration, or rejoin as a learner with an empty directory and a new node id"
    )]
    Foreign {
        /// The database directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Who opened it.
        expected: String,
    },
    /// A record does not read back as it was written.
    #[error("{place} is corrupt: {what}. {}", REPAIR)]
    Corrupt {
        /// The file, or the directory and the record in it.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A snapshot file does not read back as it was written.
    #[error(
        "snapshot {path} is corrupt: {what}. To repair: remove the file, the node builds a new one from its database"
    )]
    CorruptSnapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a newer version of this program.
    #[error(
        "{place} has format {found}, this version reads up to {supported}: start a version that knows format {found}, or rejoin as a learner with an empty directory and a new node id"
    )]
    NewerFormat {
        /// The file, or the directory and the record in it.
        place: String,
        /// The format found.
        found: u8,
        /// The newest format this version reads.
        supported: u8,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The engine refused.
    #[error("database {dir}: {source}")]
    Database {
        /// The database directory.
        dir: PathBuf,
        /// The reason.
        source: EngineError,
    },
    /// An earlier write of the state failed: what is in memory is ahead of the disk.
    #[error("an earlier write of the state failed ({what}): check the disk and restart the node")]
    WriteFailed {
        /// The first failure.
        what: String,
    },
    /// An earlier sync failed; nothing written since can be relied on.
    #[error("an earlier sync to disk failed ({what}): check the disk and restart the node")]
    SyncFailed {
        /// The first failure.
        what: String,
    },
}

impl StorageError {
    /// Wraps an error of the operating system with the path it concerns.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        io::Error::other(error)
    }
}
