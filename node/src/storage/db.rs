//! Opening the database and reading and writing its records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meridian_proto::log::v1 as pb;
use prost::Message;
use tokio::sync::watch;

use super::engine::{Batch, Engine, EngineError, RawRecord, Storage, View};
use super::error::StorageError;
use super::flusher::{Flusher, OnSynced};
use super::identity::{self, State};
use super::keys::{self, Meta};
use super::record;
use super::synced::Synced;

/// An open database. Shared by reference count; the last one out syncs and closes it.
pub struct Db {
    // Order matters: the thread ends first (in `drop`), the database closes next, and only then
    // does `closed` tell whoever waits for the directory to be free.
    flusher: Option<Flusher>,
    engine: Arc<dyn Engine>,
    data_dir: PathBuf,
    dir: PathBuf,
    closed: watch::Sender<()>,
}

impl Db {
    /// Opens the database in `data_dir/db`; makes it only in a directory that is new.
    ///
    /// # Errors
    /// [`StorageError::Held`] if another process has it open, [`StorageError::Strange`] if something
    /// else is kept there, [`StorageError::Incomplete`] or [`StorageError::Lost`] if there was a
    /// database and a part or all of it is missing, [`StorageError::Corrupt`] if its log ends before
    /// what was synced, [`StorageError::Database`] if the engine cannot recover it. A log whose end,
    /// never synced, was torn off by a crash is no error: it ends at its last whole record.
    pub fn open(storage: &dyn Storage, data_dir: &Path) -> Result<Arc<Self>, StorageError> {
        let dir = data_dir.join("db");
        let state = identity::examine(storage, data_dir)?;
        std::fs::create_dir_all(&dir).map_err(StorageError::io(&dir))?;
        if state == State::New {
            identity::write(data_dir, None)?;
        }
        let synced = match Synced::open(data_dir)? {
            Some(synced) => synced,
            None => Synced::create(data_dir)?,
        };
        // Recovery deletes what it has read; an error must still name it.
        let logs = storage.logs(&dir)?;
        let engine = storage.open(&dir, !matches!(state, State::Claimed(_)))?;
        let recovered = engine.sequence();
        if recovered < synced.number() {
            return Err(StorageError::Corrupt {
                place: format!(
                    "the write-ahead log ({}) in {}",
                    logs.join(", "),
                    dir.display()
                ),
                what: format!(
                    "it can be read up to write {recovered}, but {} were on disk",
                    synced.number()
                ),
            });
        }
        let flusher = Flusher::start(engine.clone(), synced, storage.sync_takes());
        let flusher = flusher.map_err(StorageError::io(&dir))?;
        Ok(Arc::new(Self {
            flusher: Some(flusher),
            engine,
            data_dir: data_dir.to_owned(),
            dir,
            closed: watch::Sender::new(()),
        }))
    }

    /// Opens the database of a directory that has one; `None` where none was ever made.
    ///
    /// # Errors
    /// As for [`Db::open`].
    pub fn open_existing(
        storage: &dyn Storage,
        data_dir: &Path,
    ) -> Result<Option<Arc<Self>>, StorageError> {
        match identity::examine(storage, data_dir)? {
            State::Claimed(_) => Self::open(storage, data_dir).map(Some),
            State::New | State::Creating => Ok(None),
        }
    }

    /// Checks that the directory belongs to this node and group; writes that down at the first
    /// start.
    ///
    /// # Errors
    /// [`StorageError::Foreign`] if it belongs to another one, [`StorageError::Incomplete`] if the
    /// database does not say what the directory says.
    pub fn claim(&self, mine: &pb::Identity) -> Result<(), StorageError> {
        let check = |found: &pb::Identity| {
            if found == mine {
                return Ok(());
            }
            Err(StorageError::Foreign {
                dir: self.dir.clone(),
                found: describe(found),
                expected: describe(mine),
            })
        };
        let state = identity::read(&self.data_dir)?;
        if let State::Claimed(owner) = &state {
            check(owner)?;
        }
        match (self.owner()?, state) {
            (Some(owner), State::Claimed(_)) => check(&owner),
            // A crash came between the two.
            (Some(owner), _) => {
                check(&owner)?;
                identity::write(&self.data_dir, Some(mine))
            }
            (None, State::Claimed(_)) => Err(StorageError::Incomplete {
                dir: self.dir.clone(),
                missing: "identity record",
            }),
            (None, _) => {
                let mut batch = Batch::default();
                self.put_meta(&mut batch, mine.group, Meta::Identity, mine);
                self.write(batch)?;
                self.sync_blocking()?;
                identity::write(&self.data_dir, Some(mine))
            }
        }
    }

    /// Whose the database says it is. One group per directory so far: the first one found counts.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if that does not read back.
    pub fn owner(&self) -> Result<Option<pb::Identity>, StorageError> {
        // To the end of the family: no record's name begins with 0xff.
        for item in self.range(keys::META, &[], &keys::log_end(u32::MAX)) {
            let (key, value) = item?;
            if key.ends_with(Meta::Identity.name().as_bytes()) {
                return self.decode(&key, &value, "the identity").map(Some);
            }
        }
        Ok(None)
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
    /// What the engine reports.
    pub fn write(&self, batch: Batch) -> Result<(), StorageError> {
        self.engine.write(batch).map_err(|e| self.database(e))
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
        if let Some(flusher) = &self.flusher {
            flusher.hurry();
        }
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
    pub fn put_meta(&self, batch: &mut Batch, group: u32, meta: Meta, value: &impl Message) {
        let key = meta.key(group);
        let sealed = record::seal(&key, &value.encode_to_vec());
        batch.put(keys::META, key, sealed);
    }

    /// Reads a record of `raft_meta`; `None` if it was never written.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], [`StorageError::NewerFormat`], or what the engine reports.
    pub fn meta<M: Message + Default>(
        &self,
        group: u32,
        meta: Meta,
    ) -> Result<Option<M>, StorageError> {
        let key = meta.key(group);
        let value = self.engine.get(keys::META, &key);
        value
            .map_err(|e| self.database(e))?
            .map(|value| self.decode(&key, &value, meta.name()))
            .transpose()
    }

    /// Writes the memtables out, which the engine otherwise does when they are full.
    #[cfg(test)]
    pub(crate) fn write_out(&self) -> Result<(), StorageError> {
        self.engine.write_out().map_err(|e| self.database(e))
    }

    /// A consistent view of the database as it is now.
    pub fn view(&self) -> Box<dyn View + '_> {
        self.engine.view()
    }

    /// The raw records of `family` from `from` up to, not including, `to`, in key order.
    pub fn range(
        &self,
        family: &str,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<RawRecord, StorageError>> {
        self.engine
            .range(family, from, to)
            .map(|item| item.map_err(|e| self.database(e)))
    }

    /// The last raw record of `family` in that range.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn last(
        &self,
        family: &str,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<RawRecord>, StorageError> {
        self.engine
            .last(family, from, to)
            .map_err(|e| self.database(e))
    }

    /// Reads a value of `family` as `view` shows it, unwrapped. It was sealed under `sealed`, the
    /// part of its key that does not change with its place.
    ///
    /// # Errors
    /// As for [`Db::meta`].
    pub fn get_in(
        &self,
        view: &dyn View,
        family: &str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let value = view.get(family, key);
        value
            .map_err(|e| self.database(e))?
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

    /// An error of the engine with the directory it concerns.
    pub fn database(&self, source: EngineError) -> StorageError {
        StorageError::Database {
            dir: self.dir.clone(),
            source,
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // Syncs once more.
        self.flusher = None;
    }
}

fn ended() -> StorageError {
    StorageError::SyncFailed {
        what: "the flush thread has ended".to_owned(),
    }
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
