//! From the database into a snapshot file and back.
//!
//! Installing writes the content aside, as the next generation of keys, and switches to it in one
//! synced record. A crash before the switch leaves the old state, a crash after it the new one; the
//! generation that lost is deleted at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use meridian_proto::log::v1 as pb;
use meridian_routing::mutants::{self, Mutant};
use openraft::storage::RaftSnapshotBuilder;
use tokio::task::JoinHandle;

use super::state_machine::StoredSnapshot;
use super::types::{Config, SnapshotMeta};
use crate::storage::keys::{self, Meta};
use crate::storage::snapshot::{SnapshotFile, SnapshotWriter, TEMPORARY, Temporary};
use crate::storage::{Batch, Db, StorageError, View, record};

const EXTENSION: &str = "snap";
const FAMILIES: [(pb::Family, &str); 2] = [
    (pb::Family::State, keys::STATE),
    (pb::Family::History, keys::HISTORY),
];

/// Where the snapshots of one group are kept.
pub struct SnapshotDir {
    path: PathBuf,
    group: u32,
    /// Numbers files that are being written, so that two never meet.
    attempts: AtomicU64,
}

impl SnapshotDir {
    /// The snapshots of `group` in the directory at `path`.
    pub fn new(path: PathBuf, group: u32) -> Self {
        Self {
            path,
            group,
            attempts: AtomicU64::new(0),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name of its own for a file that is on its way in.
    pub fn incoming(&self) -> Temporary {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-incoming-{attempt}.{TEMPORARY}", self.group);
        Temporary::new(self.path.join(name))
    }

    /// Where the snapshot at `index` belongs.
    pub fn target(&self, index: u64) -> PathBuf {
        // Zero-padded, so that names sort as indexes do.
        let name = format!("{}-{index:020}.{EXTENSION}", self.group);
        self.path.join(name)
    }

    /// Prepares the directory: removes unfinished files and opens the newest snapshot, checked
    /// whole.
    ///
    /// # Errors
    /// [`StorageError::CorruptSnapshot`] names a file that may simply be removed.
    pub fn find(&self) -> Result<Option<SnapshotFile>, StorageError> {
        std::fs::create_dir_all(&self.path).map_err(StorageError::io(&self.path))?;
        let mut newest: Option<PathBuf> = None;
        for path in self.files()? {
            match path.extension().and_then(|e| e.to_str()) {
                Some(TEMPORARY) => std::fs::remove_file(&path).map_err(StorageError::io(&path))?,
                Some(EXTENSION) => newest = newest.max(Some(path)),
                _ => {}
            }
        }
        let Some(path) = newest else {
            return Ok(None);
        };
        let file = SnapshotFile::open(&path)?;
        file.read(|_| Ok(()))?;
        Ok(Some(file))
    }

    /// Removes the snapshots older than the one at `index`.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn delete_older(&self, index: u64) -> Result<(), StorageError> {
        let newest = self.target(index);
        for path in self.files()? {
            if path.extension().is_some_and(|e| e == EXTENSION) && path < newest {
                std::fs::remove_file(&path).map_err(StorageError::io(&path))?;
            }
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>, StorageError> {
        let prefix = format!("{}-", self.group);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(StorageError::io(&self.path))? {
            let entry = entry.map_err(StorageError::io(&self.path))?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Brings a file in under its own name.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn adopt(&self, file: &SnapshotFile) -> Result<SnapshotFile, StorageError> {
        let target = self.target(file.header().last_applied.map_or(0, |id| id.index));
        if file.path() == target {
            return Ok(file.clone());
        }
        let own = file
            .temporary()
            .filter(|own| own.path().parent() == Some(&self.path));
        // Its content is at hand even if somebody has removed the name.
        if own.is_none_or(|own| own.rename(&target).is_err()) {
            let copy = self.incoming();
            file.copy(&copy)?;
            copy.rename(&target)?;
        }
        SnapshotFile::open(&target)
    }
}

/// What `view` shows of how far the state has got.
///
/// # Errors
/// [`StorageError::Corrupt`], or what the engine reports.
pub fn applied(db: &Db, view: &dyn View, group: u32) -> Result<pb::Applied, StorageError> {
    let key = Meta::Applied.key(group);
    let value = view.get(keys::META, &key).map_err(|e| db.database(e))?;
    Ok(value
        .map(|value| db.decode(&key, &value, Meta::Applied.name()))
        .transpose()?
        .unwrap_or_default())
}

/// Writes everything `view` shows of `group` into a file.
///
/// # Errors
/// [`StorageError::Corrupt`] if a record does not read back: a snapshot never spreads damage.
/// [`StorageError::Io`] if the file cannot be written; nothing is left of it then.
pub fn write(db: &Db, view: &dyn View, dir: &SnapshotDir) -> Result<SnapshotFile, StorageError> {
    let group = dir.group;
    let applied = applied(db, view, group)?;
    let header = pb::SnapshotHeader {
        group,
        last_applied: applied.last_applied,
        membership: applied.membership,
        log_bytes: 0,
        backup: None,
    };
    let index = applied.last_applied.map_or(0, |id| id.index);
    let mut writer = SnapshotWriter::create(&dir.target(index), dir.incoming(), &header)?;
    each(db, view, group, &mut |family, own, payload| {
        if mutants::is(Mutant::SnapshotLacks) && own.first() == Some(&b'c') {
            return Ok(());
        }
        writer.add(family, own, payload)
    })?;
    writer.finish()
}

/// Is shown a record: its family, the machine's key and the value.
pub type Show<'a> = dyn FnMut(pb::Family, &[u8], &[u8]) -> Result<(), StorageError> + 'a;

/// Shows every record of the live generation that `view` shows of `group`: its family, the machine's key and the value.
///
/// # Errors
/// [`StorageError::Corrupt`] if a record does not read back, or what `show` fails with.
pub fn each(db: &Db, view: &dyn View, group: u32, show: &mut Show<'_>) -> Result<(), StorageError> {
    let generation = applied(db, view, group)?.generation;
    let from = keys::generation(group, generation);
    let to = keys::generation(group, generation + 1);
    for (family, name) in FAMILIES {
        for item in view.range(name, &from, &to) {
            let (key, value) = item.map_err(|e| db.database(e))?;
            let own = keys::data_key(&key);
            let payload = record::open(own, &value, || db.place(&key, name))?;
            show(family, own, payload)?;
        }
    }
    Ok(())
}

/// Writes the content of `file` aside, as `generation`. Nothing reads it yet.
///
/// # Errors
/// [`StorageError::CorruptSnapshot`] if the file is damaged; what was written is not used then.
pub fn load(db: &Db, file: &SnapshotFile, group: u32, generation: u64) -> Result<(), StorageError> {
    // An earlier attempt may have left something.
    delete_generations(db, group, generation, generation + 1)?;
    file.read(|records| {
        let name = FAMILIES
            .iter()
            .find(|(family, _)| *family == records.family())
            .map(|(_, name)| *name)
            .ok_or_else(|| StorageError::CorruptSnapshot {
                path: file.path().to_owned(),
                what: "records of an unknown family".to_owned(),
            })?;
        let mut batch = Batch::default();
        for pb::KeyValue { key, value } in records.records {
            let sealed = record::seal(&key, &value);
            batch.put(name, keys::data(group, generation, &key), sealed);
        }
        db.write(batch)
    })
}

/// Makes `generation`, loaded from `file`, the live one: one batch, synced before this returns.
///
/// # Errors
/// [`StorageError::Database`] or [`StorageError::SyncFailed`].
pub fn switch(
    db: &Db,
    file: &SnapshotFile,
    group: u32,
    generation: u64,
) -> Result<(), StorageError> {
    let header = file.header();
    let applied = pb::Applied {
        last_applied: header.last_applied,
        membership: header.membership.clone(),
        generation,
    };
    let mut batch = Batch::default();
    db.put_meta(&mut batch, group, Meta::Applied, &applied);
    db.write(batch)?;
    db.sync_blocking()
}

/// Deletes every generation but `live`.
///
/// # Errors
/// [`StorageError::Database`].
pub fn delete_other_generations(db: &Db, group: u32, live: u64) -> Result<(), StorageError> {
    delete_generations(db, group, 0, live)?;
    delete_generations(db, group, live + 1, u64::MAX)
}

fn delete_generations(db: &Db, group: u32, from: u64, to: u64) -> Result<(), StorageError> {
    if from >= to {
        return Ok(());
    }
    let (from, to) = (keys::generation(group, from), keys::generation(group, to));
    let mut batch = Batch::default();
    for (_, name) in FAMILIES {
        // Nearly always there is nothing; a range deletion each time would pile up.
        if db.range(name, &from, &to).next().is_some() {
            batch.delete_range(name, from, to);
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    db.write(batch)
}

/// A snapshot being written, from the view of the moment the builder was made.
pub struct SnapshotBuilder {
    file: Option<JoinHandle<Result<StoredSnapshot, StorageError>>>,
    /// Whether there must be one; if not, a full disk only puts it off.
    needed: bool,
    dir: PathBuf,
}

impl SnapshotBuilder {
    /// The builder of what `file` writes into `dir`.
    pub fn new(
        file: JoinHandle<Result<StoredSnapshot, StorageError>>,
        needed: bool,
        dir: PathBuf,
    ) -> Self {
        Self {
            file: Some(file),
            needed,
            dir,
        }
    }
}

impl RaftSnapshotBuilder<Config> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<StoredSnapshot> {
        let file = self
            .file
            .take()
            .ok_or_else(|| io::Error::other("the snapshot was already taken"))?;
        match file.await.map_err(io::Error::other)? {
            // openraft takes one that covers nothing for no progress and asks again in due time; an
            // error it would take for a broken store, and stop this node.
            Err(error @ StorageError::Io { .. }) if !self.needed => {
                tracing::error!(%error, "no snapshot was written, and so the log grows; another is tried after as many entries");
                Ok(StoredSnapshot {
                    meta: SnapshotMeta::default(),
                    snapshot: SnapshotFile::none(&self.dir),
                })
            }
            written => Ok(written?),
        }
    }
}
