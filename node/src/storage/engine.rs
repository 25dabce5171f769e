//! What a node asks of the store beneath it: few enough calls that a simulator can play a disk.
//!
//! An engine keeps ordered maps, one a family. A batch is written whole or not at all, is readable
//! at once, and is durable after the next sync; whatever a crash leaves is one prefix of what was
//! written, and holds at least what was synced.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use super::error::StorageError;
use super::memory::SyncTakes;

/// A key and its value as they are stored, the value not yet unwrapped.
pub type RawRecord = (Box<[u8]>, Box<[u8]>);

/// Records in key order, as they were when the iterator was made.
pub type Records<'a> = Box<dyn Iterator<Item = Result<RawRecord, EngineError>> + 'a>;

/// What an engine reports, in its own words.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineError(Box<dyn Error + Send + Sync>);

impl EngineError {
    /// Wraps the engine's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Where databases are kept.
pub trait Storage: Send + Sync {
    /// Opens the database in `dir`; makes one only if it may `create`.
    ///
    /// # Errors
    /// [`StorageError::Held`] if it is open already, [`StorageError::Corrupt`] or
    /// [`StorageError::Database`] if it cannot be recovered.
    fn open(&self, dir: &Path, create: bool) -> Result<Arc<dyn Engine>, StorageError>;

    /// Whether anything at all is kept in `dir`.
    fn filled(&self, dir: &Path) -> bool;

    /// The families of the database in `dir`, found without opening or changing it; `None` if
    /// there is none that can be told.
    fn families(&self, dir: &Path) -> Option<BTreeSet<String>>;

    /// The part without which what is in `dir` is no database, if it is missing.
    fn missing(&self, dir: &Path) -> Option<&'static str>;

    /// The names of the logs from which the database in `dir` would be recovered, for an error.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    fn logs(&self, dir: &Path) -> Result<Vec<String>, StorageError>;

    /// How long a sync takes on the runtime's clock, for a disk that is played; `None` = it takes the time it takes, on a
    /// thread of its own.
    fn sync_takes(&self) -> Option<SyncTakes> {
        None
    }
}

/// An open database. It is closed when the last reference is dropped.
pub trait Engine: Send + Sync {
    /// Writes a batch: atomic, visible at once, durable after the next sync.
    ///
    /// # Errors
    /// It could not be written, or a range in it ends before it starts.
    fn write(&self, batch: Batch) -> Result<(), EngineError>;

    /// The value of `key` in `family`.
    ///
    /// # Errors
    /// It could not be read.
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// The records of `family` from `from` up to, not including, `to`.
    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_>;

    /// The last record of `family` in that range.
    ///
    /// # Errors
    /// It could not be read.
    fn last(&self, family: &str, from: &[u8], to: &[u8]) -> Result<Option<RawRecord>, EngineError>;

    /// A consistent view of the database as it is now.
    fn view(&self) -> Box<dyn View + '_>;

    /// Returns once everything written before this call is durable.
    ///
    /// # Errors
    /// It may not be; nothing written since the last sync can be relied on.
    fn sync(&self) -> Result<(), EngineError>;

    /// Hands everything written so far to the operating system: survives the process, not the
    /// machine.
    ///
    /// # Errors
    /// As for [`Engine::sync`].
    fn push(&self) -> Result<(), EngineError>;

    /// The number of the last write. A batch counts as many as it has parts.
    fn sequence(&self) -> u64;

    /// Writes out what is kept in memory, which an engine otherwise does when it is full.
    #[cfg(test)]
    fn write_out(&self) -> Result<(), EngineError>;
}

/// The database as it was at one moment, whatever is written meanwhile.
pub trait View {
    /// As [`Engine::get`].
    ///
    /// # Errors
    /// It could not be read.
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// As [`Engine::range`], for reading once from end to end.
    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_>;
}

/// What is written as one, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    parts: Vec<Part>,
    bytes: usize,
}

/// One part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Sets a key to a value.
    Put {
        /// The family.
        family: &'static str,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes a key, which need not be there.
    Delete {
        /// The family.
        family: &'static str,
        /// The key.
        key: Vec<u8>,
    },
    /// Removes every key of a range.
    DeleteRange {
        /// The family.
        family: &'static str,
        /// The first key.
        from: Vec<u8>,
        /// What the last key is below; not itself below the first.
        to: Vec<u8>,
    },
}

/// About what a part takes beside its keys and values.
const PART_BYTES: usize = 8;

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(
        &mut self,
        family: &'static str,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) {
        let (key, value) = (key.into(), value.into());
        self.bytes += PART_BYTES + key.len() + value.len();
        self.parts.push(Part::Put { family, key, value });
    }

    /// Removes `key`.
    pub fn delete(&mut self, family: &'static str, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.bytes += PART_BYTES + key.len();
        self.parts.push(Part::Delete { family, key });
    }

    /// Removes every key from `from` up to, not including, `to`, which must not be below `from`.
    pub fn delete_range(
        &mut self,
        family: &'static str,
        from: impl Into<Vec<u8>>,
        to: impl Into<Vec<u8>>,
    ) {
        let (from, to) = (from.into(), to.into());
        self.bytes += PART_BYTES + from.len() + to.len();
        self.parts.push(Part::DeleteRange { family, from, to });
    }

    /// About how many bytes it takes to write.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Its parts, in order.
    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}
