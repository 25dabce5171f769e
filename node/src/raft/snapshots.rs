//! From the database into a snapshot file and back.
//!
//! Installing writes the content aside, as the next generation of keys, and switches to it in one
//! synced record. A crash before the switch leaves the old state, a crash after it the new one; the
//! generation that lost is deleted at the next start.

use std::path::{Path, PathBuf};

use meridian_proto::log::v1 as pb;
use rocksdb::{IteratorMode, ReadOptions, Snapshot, WriteBatch};

use crate::storage::keys::{self, Meta};
use crate::storage::snapshot::{self, SnapshotFile, SnapshotWriter, TEMPORARY};
use crate::storage::{Db, StorageError, record};

const EXTENSION: &str = "snap";
const FAMILIES: [(pb::Family, &str); 2] = [
    (pb::Family::State, keys::STATE),
    (pb::Family::History, keys::HISTORY),
];

/// Numbers files that are being written, so that two of one node never meet.
static ATTEMPT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn file_name(group: u32, index: u64) -> String {
    // Zero-padded, so that names sort as indexes do.
    format!("{group}-{index:020}.{EXTENSION}")
}

/// A name of its own for a file that is on its way in.
pub fn incoming(dir: &Path, group: u32) -> PathBuf {
    let attempt = ATTEMPT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    dir.join(format!("{group}-incoming-{attempt}.{TEMPORARY}"))
}

/// Prepares the directory: removes unfinished files and opens the newest snapshot, checked whole.
///
/// # Errors
/// [`StorageError::CorruptSnapshot`] names a file that may simply be removed.
pub fn find(dir: &Path, group: u32) -> Result<Option<SnapshotFile>, StorageError> {
    std::fs::create_dir_all(dir).map_err(StorageError::io(dir))?;
    let mut newest: Option<PathBuf> = None;
    for path in files(dir, group)? {
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

/// Removes the snapshots of `group` older than the one at `index`.
///
/// # Errors
/// [`StorageError::Io`].
pub fn delete_older(dir: &Path, group: u32, index: u64) -> Result<(), StorageError> {
    let newest = dir.join(file_name(group, index));
    for path in files(dir, group)? {
        if path.extension().is_some_and(|e| e == EXTENSION) && path < newest {
            std::fs::remove_file(&path).map_err(StorageError::io(&path))?;
        }
    }
    Ok(())
}

fn files(dir: &Path, group: u32) -> Result<Vec<PathBuf>, StorageError> {
    let prefix = format!("{group}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(StorageError::io(dir))? {
        let entry = entry.map_err(StorageError::io(dir))?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Writes everything `view` shows of `group` into a file.
///
/// # Errors
/// [`StorageError::Corrupt`] if a record does not read back: a snapshot never spreads damage.
pub fn write(
    db: &Db,
    view: &Snapshot<'_>,
    group: u32,
    dir: &Path,
) -> Result<SnapshotFile, StorageError> {
    let key = Meta::Applied.key(group);
    let applied: pb::Applied = view
        .get_pinned_cf(db.cf(keys::META), &key)
        .map_err(|e| db.database(e))?
        .map(|value| db.decode(&key, &value, Meta::Applied.name()))
        .transpose()?
        .unwrap_or_default();
    let header = pb::SnapshotHeader {
        group,
        last_applied: applied.last_applied,
        membership: applied.membership,
    };
    let index = applied.last_applied.map_or(0, |id| id.index);
    let target = dir.join(file_name(group, index));
    let mut writer = SnapshotWriter::create(&target, &incoming(dir, group), &header)?;
    for (family, name) in FAMILIES {
        let mut options = ReadOptions::default();
        options.set_iterate_range(
            keys::generation(group, applied.generation).to_vec()
                ..keys::generation(group, applied.generation + 1).to_vec(),
        );
        // Read once from end to end: not worth pushing hot blocks out of the cache.
        options.fill_cache(false);
        for item in view.iterator_cf_opt(db.cf(name), options, IteratorMode::Start) {
            let (key, value) = item.map_err(|e| db.database(e))?;
            let own = keys::data_key(&key);
            let payload = record::open(own, &value, || db.place(&key, name))?;
            writer.add(family, own, payload)?;
        }
    }
    writer.finish()
}

/// Brings a file into `dir` under its own name.
///
/// # Errors
/// [`StorageError::Io`].
pub fn adopt(file: &SnapshotFile, dir: &Path) -> Result<SnapshotFile, StorageError> {
    let header = file.header();
    let index = header.last_applied.map_or(0, |id| id.index);
    let target = dir.join(file_name(header.group, index));
    if file.path() == target {
        return Ok(file.clone());
    }
    if file.path().parent() == Some(dir) {
        snapshot::rename(file.path(), &target)?;
    } else {
        let copy = incoming(dir, header.group);
        std::fs::copy(file.path(), &copy).map_err(StorageError::io(&copy))?;
        std::fs::File::open(&copy)
            .and_then(|file| file.sync_all())
            .map_err(StorageError::io(&copy))?;
        snapshot::rename(&copy, &target)?;
    }
    SnapshotFile::open(&target)
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
        let mut batch = WriteBatch::default();
        for pb::KeyValue { key, value } in records.records {
            batch.put_cf(
                db.cf(name),
                keys::data(group, generation, &key),
                record::seal(&key, &value),
            );
        }
        db.write(batch)
    })
}

/// Makes `generation`, loaded from `file`, the live one: one record, synced before this returns.
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
    let mut batch = WriteBatch::default();
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
    let mut batch = WriteBatch::default();
    for (_, name) in FAMILIES {
        // Nearly always there is nothing; a range deletion each time would pile up.
        if db.range(name, &from, &to).next().is_some() {
            batch.delete_range_cf(db.cf(name), from, to);
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    db.write(batch)
}
