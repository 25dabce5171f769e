//! The engine of a real node: RocksDB. None of its types are known outside this file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction,
    IteratorMode, Options, ReadOptions, Snapshot, WriteBatch,
};

use super::engine::{Batch, Engine, EngineError, Part, RawRecord, Records, Storage, View};
use super::error::StorageError;
use super::keys;

/// Once the write-ahead log is this long, RocksDB writes its memtables out and starts a new one.
const WAL_BYTES_MAX: u64 = 512 << 20;
/// Memory of one family's memtable before it is written out.
const MEMTABLE_BYTES: usize = 32 << 20;
/// The file that says which files make up the database.
const CURRENT: &str = "CURRENT";
/// A family every RocksDB has; nothing is kept in it.
const DEFAULT: &str = "default";

/// Databases of RocksDB, in directories of the file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rocks;

impl Storage for Rocks {
    fn open(&self, dir: &Path, create: bool) -> Result<Arc<dyn Engine>, StorageError> {
        let families = keys::FAMILIES.map(|name| {
            let mut options = Options::default();
            options.set_write_buffer_size(MEMTABLE_BYTES);
            // Room to go on writing while memtables are written out: writers must not stall.
            options.set_max_write_buffer_number(4);
            options.set_compression_type(DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(name, options)
        });
        match DB::open_cf_descriptors(&options(create), dir, families) {
            Ok(db) => Ok(Arc::new(Open(db))),
            Err(source) => {
                let (text, dir) = (source.to_string(), dir.to_owned());
                Err(
                    if text.contains("lock file") || text.contains("lock hold") {
                        StorageError::Held { dir }
                    } else if source.kind() == rocksdb::ErrorKind::Corruption {
                        StorageError::Corrupt {
                            place: format!("the database in {}", dir.display()),
                            what: text,
                        }
                    } else {
                        let source = error(source);
                        StorageError::Database { dir, source }
                    },
                )
            }
        }
    }

    fn filled(&self, dir: &Path) -> bool {
        std::fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some())
    }

    // Reads two small files, takes no lock and writes nothing.
    fn families(&self, dir: &Path) -> Option<BTreeSet<String>> {
        let listed = DB::list_cf(&Options::default(), dir).ok()?;
        Some(listed.into_iter().filter(|name| name != DEFAULT).collect())
    }

    fn missing(&self, dir: &Path) -> Option<&'static str> {
        (!dir.join(CURRENT).is_file()).then_some(CURRENT)
    }

    fn logs(&self, dir: &Path) -> Result<Vec<String>, StorageError> {
        let mut names = Vec::new();
        for file in std::fs::read_dir(dir).map_err(StorageError::io(dir))? {
            let name = file.map_err(StorageError::io(dir))?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".log") {
                names.push(name.into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn options(create: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    options.set_manual_wal_flush(true);
    // The families share one log; written out together, a crash leaves one prefix of it.
    options.set_atomic_flush(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A log that was complete and is needed must be there, at its full length.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_paranoid_checks(true);
    options.set_keep_log_file_num(4);
    options
}

fn error(source: rocksdb::Error) -> EngineError {
    EngineError::new(source)
}

struct Open(DB);

impl Open {
    /// A column family. All of them are made on opening.
    fn cf(&self, name: &str) -> &ColumnFamily {
        self.0
            .cf_handle(name)
            .expect("every column family is opened with the database")
    }
}

impl Engine for Open {
    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut writes = WriteBatch::default();
        for part in batch.into_parts() {
            match part {
                Part::Put { family, key, value } => writes.put_cf(self.cf(family), key, value),
                Part::Delete { family, key } => writes.delete_cf(self.cf(family), key),
                Part::DeleteRange { family, from, to } => {
                    writes.delete_range_cf(self.cf(family), from, to);
                }
            }
        }
        self.0.write(writes).map_err(error)
    }

    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.0.get_cf(self.cf(family), key).map_err(error)
    }

    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_> {
        let mode = IteratorMode::From(from, Direction::Forward);
        let records = self
            .0
            .iterator_cf_opt(self.cf(family), bounds(from, to), mode);
        Box::new(records.map(|item| item.map_err(error)))
    }

    fn last(&self, family: &str, from: &[u8], to: &[u8]) -> Result<Option<RawRecord>, EngineError> {
        self.0
            .iterator_cf_opt(self.cf(family), bounds(from, to), IteratorMode::End)
            .next()
            .transpose()
            .map_err(error)
    }

    fn view(&self) -> Box<dyn View + '_> {
        Box::new(Moment {
            open: self,
            snapshot: self.0.snapshot(),
        })
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.0.flush_wal(true).map_err(error)
    }

    fn push(&self) -> Result<(), EngineError> {
        self.0.flush_wal(false).map_err(error)
    }

    fn sequence(&self) -> u64 {
        self.0.latest_sequence_number()
    }

    #[cfg(test)]
    fn write_out(&self) -> Result<(), EngineError> {
        let families = keys::FAMILIES.map(|name| self.cf(name));
        self.0
            .flush_cfs_opt(&families, &rocksdb::FlushOptions::default())
            .map_err(error)
    }
}

struct Moment<'a> {
    open: &'a Open,
    snapshot: Snapshot<'a>,
}

impl View for Moment<'_> {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.snapshot
            .get_cf(self.open.cf(family), key)
            .map_err(error)
    }

    fn range(&self, family: &str, from: &[u8], to: &[u8]) -> Records<'_> {
        let mut options = bounds(from, to);
        // Read once from end to end: not worth pushing hot blocks out of the cache.
        options.fill_cache(false);
        let records =
            self.snapshot
                .iterator_cf_opt(self.open.cf(family), options, IteratorMode::Start);
        Box::new(records.map(|item| item.map_err(error)))
    }
}

/// Bounds the iterator itself, so that it does not wander over deleted ranges of its neighbours.
fn bounds(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_range(from.to_vec()..to.to_vec());
    options
}

/// Makes a database of some other program.
#[cfg(test)]
pub(super) fn foreign(at: &Path) {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf(&options, at, ["theirs"]).unwrap();
    db.put(b"dear", b"to them").unwrap();
}
