//! How far the write-ahead log is on disk, kept in a file beside it.
//!
//! RocksDB ends its recovery at the first damaged record, because that is how a log ends that a
//! crash has torn. It cannot tell such an end from damage to what was on disk long ago and may have
//! been acknowledged. This file can: after every sync it is told how far the sync reached. It is
//! not synced itself, so after a power loss it may be older than the log, but never ahead of it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::record;

/// Its name in the data directory.
pub(super) const NAME: &str = "synced";

/// The file, open for as long as the database is.
pub(super) struct Synced {
    file: File,
    path: PathBuf,
    number: u64,
}

impl Synced {
    /// Makes the file of a new database.
    pub(super) fn create(data_dir: &Path) -> Result<Self, StorageError> {
        let path = data_dir.join(NAME);
        let file = File::create(&path).map_err(StorageError::io(&path))?;
        let synced = Self {
            file,
            path,
            number: 0,
        };
        synced.write(0)?;
        synced
            .file
            .sync_all()
            .and_then(|()| File::open(data_dir)?.sync_all())
            .map_err(StorageError::io(&synced.path))?;
        Ok(synced)
    }

    /// Opens the file; `None` if there is none.
    pub(super) fn open(data_dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = data_dir.join(NAME);
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(&path)(error)),
        };
        let bytes = std::fs::read(&path).map_err(StorageError::io(&path))?;
        let payload = record::open(NAME.as_bytes(), &bytes, || path.display().to_string())?;
        let number = payload.try_into().map_err(|_| StorageError::Corrupt {
            place: path.display().to_string(),
            what: "it holds something else than one number".to_owned(),
        })?;
        Ok(Some(Self {
            file,
            number: u64::from_be_bytes(number),
            path,
        }))
    }

    /// The number of the last write known to be on disk.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Writes down that the log is on disk up to `number`: call it after the sync, never before.
    pub(super) fn reached(&mut self, number: u64) -> Result<(), StorageError> {
        if number > self.number {
            self.write(number)?;
            self.number = number;
        }
        Ok(())
    }

    // Always as long and in place: a crash leaves the old number or the new one.
    fn write(&self, number: u64) -> Result<(), StorageError> {
        let sealed = record::seal(NAME.as_bytes(), &number.to_be_bytes());
        self.file
            .write_all_at(&sealed, 0)
            .map_err(StorageError::io(&self.path))
    }
}
