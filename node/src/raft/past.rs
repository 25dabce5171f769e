//! The past: states of former moments with the log since, so that any moment in between can be lived through again.
//!
//! Each snapshot leaves a base: its state family alone, beside the snapshots. The entries since the oldest base stay in
//! the log although Raft has done with them. Both are kept up to a number of bytes; the oldest base goes first, and
//! with it the entries up to the next. Nothing here is needed to run: what goes wrong is told and costs the past alone.

use std::path::{Path, PathBuf};

use meridian_proto::log::v1 as pb;
use openraft::EntryPayload;
use parking_lot::Mutex;

use super::convert;
use super::log_store::LogStore;
use super::snapshots::SnapshotDir;
use super::types::{Entry, LogId};
use crate::storage::StorageError;
use crate::storage::snapshot::{SnapshotFile, SnapshotWriter};

const EXTENSION: &str = "past";

/// Why a moment cannot be lived through again.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It is not kept here.
    #[error("this node does not keep that moment; {}", oldest(*.0))]
    NotKept(
        /// The oldest that is kept, as a log index; `None` = nothing is.
        Option<u64>,
    ),
    /// The node has no state yet.
    #[error("this node has joined no cluster yet and holds nothing: ask another")]
    Nothing,
    /// What is kept does not read back as written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The machine cannot read it.
    #[error("{0}")]
    Refused(String),
}

fn oldest(index: Option<u64>) -> String {
    match index {
        Some(index) => format!("the oldest it keeps is log index {index}"),
        None => "it keeps nothing of the past".to_owned(),
    }
}

/// What one node keeps of the past.
pub struct Past {
    log: LogStore,
    group: u32,
    dir: PathBuf,
    bytes_max: u64,
    /// Held by whoever adds to what is kept, or takes away.
    changing: Mutex<()>,
}

/// A state of a former moment.
struct Base {
    index: u64,
    path: PathBuf,
    bytes: u64,
}

impl Past {
    /// What `dir` has of the past of `group`, for at most `bytes_max` bytes; 0 = none is kept.
    pub fn open(log: LogStore, group: u32, dir: &Path, bytes_max: u64) -> Self {
        let past = Self {
            log,
            group,
            dir: dir.to_owned(),
            bytes_max,
            changing: Mutex::new(()),
        };
        past.or_nothing(past.forget());
        past
    }

    /// Keeps the state of a snapshot, and the log since the one before. Where that fails the whole past is given up: to
    /// go on beside it would keep ever more of the log for a past that has a hole.
    pub fn remember(&self, snapshot: &SnapshotFile, dir: &SnapshotDir) {
        let _changing = self.changing.lock();
        self.or_nothing(self.add(snapshot, dir));
    }

    fn or_nothing(&self, kept: Result<(), StorageError>) {
        let Err(error) = kept else { return };
        tracing::warn!(%error, "the past is given up, and begins anew with the next snapshot");
        let given_up = self.bases().and_then(|bases| {
            for base in bases {
                std::fs::remove_file(&base.path).map_err(StorageError::io(&base.path))?;
            }
            Ok(())
        });
        // The log goes even if a file does not.
        if let Err(error) = self.log.keep_after(u64::MAX).and(given_up) {
            tracing::warn!(%error, "some of the past stays on disk");
        }
    }

    fn add(&self, snapshot: &SnapshotFile, dir: &SnapshotDir) -> Result<(), StorageError> {
        // First, so that there is room.
        self.forget()?;
        let index = snapshot.header().last_applied.map_or(0, |id| id.index);
        let bases = self.bases()?;
        if self.bytes_max == 0 || index == 0 || bases.iter().any(|b| b.index >= index) {
            return Ok(());
        }
        let before = bases.last().map_or(0, |b| b.index);
        let mut log_bytes = 0;
        self.log.visit(before + 1, index, &mut |_, bytes| {
            log_bytes += bytes as u64;
            true
        })?;
        let header = pb::SnapshotHeader {
            log_bytes,
            ..snapshot.header().clone()
        };
        let target = self
            .dir
            .join(format!("{}-{index:020}.{EXTENSION}", self.group));
        let mut writer = SnapshotWriter::create(&target, dir.incoming(), &header)?;
        snapshot.read(|records| {
            if records.family() == pb::Family::State {
                for record in &records.records {
                    writer.add(pb::Family::State, &record.key, &record.value)?;
                }
            }
            Ok(())
        })?;
        writer.finish()?;
        self.forget()
    }

    /// Takes away what is past the bytes that may be kept, and tells the log what must stay.
    fn forget(&self) -> Result<(), StorageError> {
        let mut bases = self.bases()?;
        let trimmed = self.log.trimmed()?;
        // A base is of no use but for its own moment when the log since is gone; all the older ones go.
        let useless = bases.partition_point(|b| b.index < trimmed);
        let mut gone = useless;
        let mut bytes = 0;
        for (n, base) in bases.iter().enumerate().skip(useless).rev() {
            // With the entries from it up to the next base.
            bytes += base.bytes + bases.get(n + 1).map_or(Ok(0), Base::log_bytes)?;
            if bytes > self.bytes_max && n + 1 < bases.len() {
                gone = n + 1;
                break;
            }
        }
        if self.bytes_max == 0 {
            gone = bases.len();
        }
        let beginning = bases.first().map_or(Ok(0), Base::log_bytes)? + bytes;
        let from_the_start =
            trimmed == 0 && gone == 0 && self.bytes_max > 0 && beginning <= self.bytes_max;
        for base in bases.drain(..gone) {
            std::fs::remove_file(&base.path).map_err(StorageError::io(&base.path))?;
        }
        let keep_after = match bases.first() {
            _ if from_the_start => 0,
            Some(oldest) => oldest.index,
            None => u64::MAX,
        };
        self.log.keep_after(keep_after)
    }

    fn bases(&self) -> Result<Vec<Base>, StorageError> {
        let io = || StorageError::io(&self.dir);
        let prefix = format!("{}-", self.group);
        let mut bases = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(io())? {
            let entry = entry.map_err(io())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let index = name
                .strip_prefix(&prefix)
                .and_then(|rest| rest.strip_suffix(&format!(".{EXTENSION}")));
            let Some(index) = index.and_then(|index| index.parse().ok()) else {
                continue;
            };
            bases.push(Base {
                index,
                path: entry.path(),
                bytes: entry.metadata().map_err(io())?.len(),
            });
        }
        bases.sort_by_key(|b| b.index);
        Ok(bases)
    }

    /// The oldest moment that can be lived through again, as a log index; `None` = none can.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn oldest(&self) -> Result<Option<u64>, StorageError> {
        let trimmed = self.log.trimmed()?;
        if self.bytes_max > 0 && trimmed == 0 {
            return Ok(Some(1));
        }
        let bases = self.bases()?;
        let mut of_use = bases.iter().filter(|b| b.index >= trimmed);
        Ok(of_use.next().map(|b| b.index))
    }

    /// How many bytes the bases take, and the log kept for them.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn bytes(&self) -> Result<u64, StorageError> {
        let bases = self.bases()?;
        let log: Result<Vec<u64>, _> = bases.iter().skip(1).map(Base::log_bytes).collect();
        Ok(bases.iter().map(|b| b.bytes).sum::<u64>() + log?.iter().sum::<u64>())
    }

    /// Lives through the past up to and with the entry at `to`, which must be applied here: the state family of a former
    /// moment at or before `from` goes to `restore`, then every command since to `apply`, until that says no. Gives the
    /// index of the former moment. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`PastError`].
    pub fn relive(
        &self,
        from: u64,
        to: u64,
        restore: impl FnOnce(Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String>,
        mut apply: impl FnMut(u64, &[u8]) -> Result<bool, String>,
    ) -> Result<u64, PastError> {
        let base = self.bases()?.into_iter().rfind(|b| b.index <= from);
        let begun = match base {
            Some(base) => {
                let mut entries = Vec::new();
                SnapshotFile::open(&base.path)?.read(|records| {
                    let records = records.records.into_iter();
                    entries.extend(records.map(|r| (r.key, r.value)));
                    Ok(())
                })?;
                restore(entries).map_err(PastError::Refused)?;
                base.index
            }
            None if self.bytes_max > 0 && self.log.trimmed()? == 0 => 0,
            None => return Err(PastError::NotKept(self.oldest()?)),
        };
        let mut next = begun + 1;
        let mut enough = Ok(false);
        self.log.visit(next, to, &mut |entry: Entry, _| {
            if entry.log_id.index != next {
                return false;
            }
            next += 1;
            if let EntryPayload::Normal(command) = &entry.payload {
                enough = apply(entry.log_id.index, &command.0).map(|go_on| !go_on);
            }
            enough == Ok(false)
        })?;
        if !enough.map_err(PastError::Refused)? && next != to + 1 {
            return Err(PastError::NotKept(self.oldest()?));
        }
        Ok(begun)
    }

    /// The position of an entry by its index, where it or the base of its moment is kept.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn position(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        let mut found = None;
        self.log.visit(index, index, &mut |entry: Entry, _| {
            found = Some(entry.log_id);
            false
        })?;
        if found.is_none()
            && let Some(base) = self.bases()?.into_iter().find(|b| b.index == index)
        {
            let header = SnapshotFile::open(&base.path)?.header().clone();
            found = convert::log_id_opt_in(header.last_applied.as_ref());
        }
        Ok(found)
    }

    /// The first command from `from` up to and with `to`, as it is in the log.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn command(&self, from: u64, to: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let mut found = None;
        self.log.visit(from, to, &mut |entry: Entry, _| {
            if let EntryPayload::Normal(command) = entry.payload {
                found = Some((entry.log_id.index, command.0.to_vec()));
            }
            found.is_none()
        })?;
        Ok(found)
    }
}

impl Base {
    /// Bytes of the entries since the base before.
    fn log_bytes(&self) -> Result<u64, StorageError> {
        Ok(SnapshotFile::open(&self.path)?.header().log_bytes)
    }
}
