//! Opening the database and reading and writing its records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meridian_proto::log::v1 as pb;
use prost::Message;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, IteratorMode, Options,
    ReadOptions, WriteBatch,
};
use tokio::sync::watch;

use super::error::StorageError;
use super::flusher::{Flusher, OnSynced};
use super::keys::{self, Meta};
use super::record;

/// Once the write-ahead log is this long, RocksDB writes its memtables out and starts a new one.
const WAL_BYTES_MAX: u64 = 512 << 20;
/// Memory of one family's memtable before it is written out.
const MEMTABLE_BYTES: usize = 32 << 20;

/// A key and its value as they are stored, the value not yet unwrapped.
pub type RawRecord = (Box<[u8]>, Box<[u8]>);

/// An open database. Shared by reference count; the last one out syncs and closes it.
pub struct Db {
    // Order matters: the thread ends first (in `drop`), the database closes next, and only then
    // does `closed` tell whoever waits for the directory to be free.
    flusher: Option<Flusher>,
    rocks: Arc<rocksdb::DB>,
    dir: PathBuf,
    closed: watch::Sender<()>,
}

impl Db {
    /// Opens the database in `data_dir/db`, creating it only if that directory is empty or absent.
    ///
    /// # Errors
    /// [`StorageError::Held`] if another process has it open, [`StorageError::Strange`] if something else is
    /// kept there, [`StorageError::Incomplete`] if files
    /// are there without a `CURRENT`, [`StorageError::Lost`] if snapshots are left of a database that
    /// is not, [`StorageError::Database`] if RocksDB cannot recover it. A log
    /// whose end was torn off by a crash is no error: it ends at its last whole record.
    pub fn open(data_dir: &Path) -> Result<Arc<Self>, StorageError> {
        let dir = data_dir.join("db");
        refuse_strange_files(data_dir)?;
        std::fs::create_dir_all(&dir).map_err(StorageError::io(&dir))?;
        let empty = std::fs::read_dir(&dir)
            .map_err(StorageError::io(&dir))?
            .next()
            .is_none();
        let snapshots = data_dir.join("snapshots");
        if empty && std::fs::read_dir(&snapshots).is_ok_and(|mut files| files.next().is_some()) {
            return Err(StorageError::Lost { dir, snapshots });
        }
        if !empty && !dir.join("CURRENT").is_file() {
            return Err(StorageError::Incomplete { dir });
        }

        let mut options = Options::default();
        options.create_if_missing(empty);
        options.create_missing_column_families(true);
        options.set_manual_wal_flush(true);
        // The families share one log; written out together, a crash leaves one prefix of it.
        options.set_atomic_flush(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_paranoid_checks(true);
        options.set_keep_log_file_num(4);
        let families = [keys::LOG, keys::META, keys::STATE, keys::HISTORY].map(|name| {
            let mut options = Options::default();
            options.set_write_buffer_size(MEMTABLE_BYTES);
            // Room to go on writing while memtables are written out: writers must not stall.
            options.set_max_write_buffer_number(4);
            options.set_compression_type(DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(name, options)
        });
        let rocks =
            rocksdb::DB::open_cf_descriptors(&options, &dir, families).map_err(|source| {
                let text = source.to_string();
                if text.contains("lock file") || text.contains("lock hold") {
                    StorageError::Held { dir: dir.clone() }
                } else {
                    StorageError::Database {
                        dir: dir.clone(),
                        source,
                    }
                }
            })?;
        let rocks = Arc::new(rocks);
        let flusher = Flusher::start(rocks.clone()).map_err(StorageError::io(&dir))?;
        Ok(Arc::new(Self {
            flusher: Some(flusher),
            rocks,
            dir,
            closed: watch::Sender::new(()),
        }))
    }

    /// Checks that the directory belongs to this node and group; writes that down at the first
    /// start.
    ///
    /// # Errors
    /// [`StorageError::Foreign`] if it belongs to another one.
    pub fn claim(&self, mine: &pb::Identity) -> Result<(), StorageError> {
        // One group per directory so far: any identity found must be this one.
        for item in self
            .rocks
            .iterator_cf(self.cf(keys::META), IteratorMode::Start)
        {
            let (key, value) = item.map_err(|e| self.database(e))?;
            if !key.ends_with(Meta::Identity.name().as_bytes()) {
                continue;
            }
            let found: pb::Identity = self.decode(&key, &value, "the identity")?;
            if found != *mine {
                return Err(StorageError::Foreign {
                    dir: self.dir.clone(),
                    found: describe(&found),
                    expected: describe(mine),
                });
            }
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        self.put_meta(&mut batch, mine.group, Meta::Identity, mine);
        self.write(batch)?;
        self.rocks.flush_wal(true).map_err(|e| self.database(e))
    }

    /// The database directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends (with an error) when the database has been closed and its directory is free again.
    pub fn closed(&self) -> watch::Receiver<()> {
        self.closed.subscribe()
    }

    /// Writes a batch: atomic, visible at once, on disk after the next sync.
    ///
    /// # Errors
    /// What RocksDB reports.
    pub fn write(&self, batch: WriteBatch) -> Result<(), StorageError> {
        self.rocks.write(batch).map_err(|e| self.database(e))
    }

    /// Calls back when everything written before this call is on disk; calls are answered in
    /// order, many share one sync.
    pub fn on_synced(&self, on_synced: OnSynced) {
        if let Some(flusher) = &self.flusher {
            flusher.sync(on_synced);
        }
    }

    /// Waits until everything written before this call is on disk.
    ///
    /// # Errors
    /// [`StorageError::SyncFailed`], for good: the node must stop.
    pub async fn synced(&self) -> Result<(), StorageError> {
        let (done, synced) = tokio::sync::oneshot::channel();
        self.on_synced(Box::new(move |result| {
            let _ = done.send(result);
        }));
        synced.await.unwrap_or_else(|_| Err(ended()))
    }

    /// As [`Db::synced`], for threads that may block.
    ///
    /// # Errors
    /// As for [`Db::synced`].
    pub fn sync_blocking(&self) -> Result<(), StorageError> {
        let (done, synced) = std::sync::mpsc::sync_channel(1);
        self.on_synced(Box::new(move |result| {
            let _ = done.send(result);
        }));
        synced.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Has everything written so far handed to the operating system soon, without waiting: enough
    /// to survive the process, not the machine.
    pub fn push(&self) {
        if let Some(flusher) = &self.flusher {
            flusher.push();
        }
    }

    /// Adds a record of `raft_meta` to a batch.
    pub fn put_meta(&self, batch: &mut WriteBatch, group: u32, meta: Meta, value: &impl Message) {
        let key = meta.key(group);
        batch.put_cf(
            self.cf(keys::META),
            &key,
            record::seal(&key, &value.encode_to_vec()),
        );
    }

    /// Reads a record of `raft_meta`; `None` if it was never written.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], [`StorageError::NewerFormat`], or what RocksDB reports.
    pub fn meta<M: Message + Default>(
        &self,
        group: u32,
        meta: Meta,
    ) -> Result<Option<M>, StorageError> {
        let key = meta.key(group);
        let value = self
            .rocks
            .get_pinned_cf(self.cf(keys::META), &key)
            .map_err(|e| self.database(e))?;
        value
            .map(|value| self.decode(&key, &value, meta.name()))
            .transpose()
    }

    /// A consistent view of the database as it is now.
    pub fn view(&self) -> rocksdb::Snapshot<'_> {
        self.rocks.snapshot()
    }

    /// A column family. All of them are created on opening.
    pub fn cf(&self, name: &str) -> &ColumnFamily {
        self.rocks
            .cf_handle(name)
            .expect("every column family is opened with the database")
    }

    /// The raw records of `family` from `from` up to, not including, `to`, in key order.
    pub fn range(
        &self,
        family: &str,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<RawRecord, StorageError>> {
        self.rocks
            .iterator_cf_opt(
                self.cf(family),
                bounds(from, to),
                IteratorMode::From(from, rocksdb::Direction::Forward),
            )
            .map(|item| item.map_err(|e| self.database(e)))
    }

    /// The last raw record of `family` in that range.
    ///
    /// # Errors
    /// What RocksDB reports.
    pub fn last(
        &self,
        family: &str,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<RawRecord>, StorageError> {
        self.rocks
            .iterator_cf_opt(self.cf(family), bounds(from, to), IteratorMode::End)
            .next()
            .transpose()
            .map_err(|e| self.database(e))
    }

    /// Reads the value of one key of `family`, unwrapped.
    ///
    /// # Errors
    /// As for [`Db::meta`].
    pub fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.get_sealed(family, key, key)
    }

    /// As [`Db::get`], of a value sealed under `sealed`, a key that does not change with its place.
    ///
    /// # Errors
    /// As for [`Db::meta`].
    pub fn get_sealed(
        &self,
        family: &str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let value = self
            .rocks
            .get_pinned_cf(self.cf(family), key)
            .map_err(|e| self.database(e))?;
        value
            .map(|value| {
                record::open(sealed, &value, || self.place(key, family)).map(<[u8]>::to_vec)
            })
            .transpose()
    }

    /// Unwraps and decodes a value; `what` names it in an error.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] or [`StorageError::NewerFormat`].
    pub fn decode<M: Message + Default>(
        &self,
        key: &[u8],
        value: &[u8],
        what: &str,
    ) -> Result<M, StorageError> {
        let payload = record::open(key, value, || self.place(key, what))?;
        M::decode(payload).map_err(|error| StorageError::Corrupt {
            place: self.place(key, what),
            what: error.to_string(),
        })
    }

    /// Names a record in an error.
    pub fn place(&self, key: &[u8], what: &str) -> String {
        format!("{what} (key {}) in {}", hex(key), self.dir.display())
    }

    /// An error of RocksDB with the directory it concerns.
    pub fn database(&self, source: rocksdb::Error) -> StorageError {
        StorageError::Database {
            dir: self.dir.clone(),
            source,
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.flusher = None;
        if let Err(error) = self.rocks.flush_wal(true) {
            tracing::error!(dir = %self.dir.display(), %error, "the last sync failed");
        }
    }
}

/// Bounds the iterator itself, so that it does not wander over deleted ranges of its neighbours.
fn bounds(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_range(from.to_vec()..to.to_vec());
    options
}

fn ended() -> StorageError {
    StorageError::SyncFailed {
        what: "the flush thread has ended".to_owned(),
    }
}

/// A directory that holds anything else was most likely given by mistake.
fn refuse_strange_files(data_dir: &Path) -> Result<(), StorageError> {
    let Ok(files) = std::fs::read_dir(data_dir) else {
        // Not there yet, or not readable, which making it will tell.
        return Ok(());
    };
    for file in files {
        let file = file.map_err(StorageError::io(data_dir))?;
        // A file system mounted here has a `lost+found` of its own.
        if !["db", "snapshots", "lost+found"]
            .iter()
            .any(|own| file.file_name() == *own)
        {
            return Err(StorageError::Strange { file: file.path() });
        }
    }
    Ok(())
}

fn describe(identity: &pb::Identity) -> String {
    format!(
        "node {} of cluster \"{}\", group {}",
        identity.node_id, identity.cluster_id, identity.group
    )
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
