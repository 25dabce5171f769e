//! The caller's machine under Raft: applied in batches, kept in the database, snapshotted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{Stream, StreamExt};
use meridian_proto::log::v1 as pb;
use openraft::storage::{
    ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot,
};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use rocksdb::WriteBatch;
use tokio::sync::{oneshot, watch};

use super::convert::{self, Malformed};
use super::machine::Machine;
use super::snapshots;
use super::types::{Config, LogId, Reply, SnapshotMeta, StoredMembership};
use crate::storage::keys::{self, Meta};
use crate::storage::snapshot::SnapshotFile;
use crate::storage::{Db, StorageError, record};

/// A batch is written once it holds this many bytes, so that one long catch-up neither fills the
/// memory nor keeps clients waiting for its end.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A snapshot and what it covers.
pub type StoredSnapshot = openraft::type_config::alias::SnapshotOf<Config, SnapshotFile>;

/// What was applied last; guarded together with the machine, so that hash and index always fit.
struct Live {
    machine: Box<dyn Machine>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

/// What every handle of one group's state shares.
struct Shared {
    db: Arc<Db>,
    group: u32,
    dir: PathBuf,
    live: Mutex<Live>,
    current: Mutex<Option<SnapshotFile>>,
    applied: watch::Sender<u64>,
}

/// The state of one group, as openraft drives it.
pub struct StateMachine {
    shared: Arc<Shared>,
    generation: u64,
}

/// A view into the state for reading; holds neither Raft nor the database open for writing.
#[derive(Clone)]
pub struct StateReader(Arc<Shared>);

impl StateReader {
    /// The index last applied and the state's hash at that index.
    pub fn hash(&self) -> (u64, u64) {
        let live = self.0.live.lock();
        let index = live.last_applied.map_or(0, |id| id.index);
        (index, live.machine.hash())
    }

    /// How far the log is applied here; on disk with the next sync.
    pub fn last_applied(&self) -> Option<LogId> {
        self.0.live.lock().last_applied
    }

    /// How far the log is certainly committed and on this node's disk: what was applied when asked,
    /// after a sync that covers it. `None` if nothing is, or the disk fails.
    pub async fn durable(&self) -> Option<LogId> {
        let last_applied = self.0.live.lock().last_applied?;
        self.0.db.synced().await.ok()?;
        Some(last_applied)
    }

    /// Follows the index last applied and written; 0 before the first.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// One entry of the history family. Blocks for a read of the disk.
    ///
    /// # Errors
    /// [`StorageError`] if it does not read back as written.
    pub fn history(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let Shared { db, group, .. } = &*self.0;
        let applied: Option<pb::Applied> = db.meta(*group, Meta::Applied)?;
        let generation = applied.map_or(0, |applied| applied.generation);
        db.get_sealed(keys::HISTORY, &keys::data(*group, generation, key), key)
    }

    /// Where snapshots are kept.
    pub fn snapshot_dir(&self) -> &Path {
        &self.0.dir
    }
}

impl StateMachine {
    /// Reads the state of `group` and hands it to `machine`. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`StorageError`] if anything does not read back as written, or the machine refuses it.
    pub fn open(
        db: Arc<Db>,
        group: u32,
        snapshot_dir: PathBuf,
        machine: Box<dyn Machine>,
    ) -> Result<Self, StorageError> {
        let applied: pb::Applied = db.meta(group, Meta::Applied)?.unwrap_or_default();
        let corrupt = |what: String| StorageError::Corrupt {
            place: db.place(&Meta::Applied.key(group), Meta::Applied.name()),
            what,
        };
        let membership = convert::stored_membership_in(applied.membership)
            .map_err(|Malformed(what)| corrupt(what))?;
        let last_applied = convert::log_id_opt_in(applied.last_applied.as_ref());
        let current = snapshots::find(&snapshot_dir, group)?;
        let shared = Arc::new(Shared {
            live: Mutex::new(Live {
                machine,
                last_applied: None,
                membership: StoredMembership::default(),
            }),
            current: Mutex::new(current),
            applied: watch::Sender::new(0),
            dir: snapshot_dir,
            db,
            group,
        });
        let generation = applied.generation;
        // What an install left behind when the node crashed before or after the switch.
        snapshots::delete_other_generations(&shared.db, group, generation)?;
        shared.restore(generation, last_applied, membership)?;
        Ok(Self { shared, generation })
    }

    /// A view for readers outside Raft.
    pub fn reader(&self) -> StateReader {
        StateReader(self.shared.clone())
    }

    fn commit(&self, batch: &mut Batch) -> Result<(), StorageError> {
        let Some(last) = batch.last else {
            return Ok(());
        };
        let shared = &self.shared;
        {
            let mut live = shared.live.lock();
            let applied = pb::Applied {
                last_applied: Some(convert::log_id_out(&last)),
                membership: Some(convert::stored_membership_out(&live.membership)),
                generation: self.generation,
            };
            let mut writes = std::mem::take(&mut batch.writes);
            shared
                .db
                .put_meta(&mut writes, shared.group, Meta::Applied, &applied);
            shared.db.write(writes)?;
            live.machine.committed();
        }
        shared.db.push();
        shared.applied.send_replace(last.index);
        for (responder, reply) in batch.replies.drain(..) {
            responder.send(Reply(reply));
        }
        batch.last = None;
        Ok(())
    }

    fn apply_entry(&self, batch: &mut Batch, (entry, responder): EntryResponder<Config>) {
        let shared = &self.shared;
        let mut live = shared.live.lock();
        let mut reply = Vec::new();
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(proposal) => {
                let applied = live.machine.apply(entry.log_id.index, &proposal.0);
                reply = applied.reply;
                for (family, writes) in [
                    (keys::STATE, applied.writes),
                    (keys::HISTORY, applied.history),
                ] {
                    for (key, value) in writes {
                        let key = keys::data(shared.group, self.generation, &key);
                        match value {
                            Some(value) => {
                                // Sealed under the machine's key: the generation may change.
                                let sealed = record::seal(keys::data_key(&key), &value);
                                batch.writes.put_cf(shared.db.cf(family), &key, sealed);
                            }
                            None => batch.writes.delete_cf(shared.db.cf(family), &key),
                        }
                    }
                }
            }
            EntryPayload::Membership(membership) => {
                live.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
        }
        live.last_applied = Some(entry.log_id);
        batch.last = Some(entry.log_id);
        if let Some(responder) = responder {
            batch.replies.push((responder, reply));
        }
    }
}

/// Entries applied to the machine and not yet written.
#[derive(Default)]
struct Batch {
    writes: WriteBatch,
    replies: Vec<(ApplyResponder<Config>, Vec<u8>)>,
    last: Option<LogId>,
}

impl Shared {
    /// Gives the machine the state of `generation`, which is that at `last_applied`.
    fn restore(
        &self,
        generation: u64,
        last_applied: Option<LogId>,
        membership: StoredMembership,
    ) -> Result<(), StorageError> {
        let from = keys::generation(self.group, generation);
        let to = keys::generation(self.group, generation + 1);
        let mut entries = Vec::new();
        for item in self.db.range(keys::STATE, &from, &to) {
            let (key, value) = item?;
            let own = keys::data_key(&key).to_vec();
            let value = record::open(&own, &value, || self.db.place(&key, "the state"))?.to_vec();
            entries.push((own, value));
        }
        let mut live = self.live.lock();
        live.machine
            .restore(entries)
            .map_err(|what| StorageError::Corrupt {
                place: format!("the state in {}", self.db.dir().display()),
                what,
            })?;
        live.machine.committed();
        live.last_applied = last_applied;
        live.membership = membership;
        self.applied
            .send_replace(last_applied.map_or(0, |id| id.index));
        Ok(())
    }

    fn snapshot(&self, file: SnapshotFile) -> Result<StoredSnapshot, StorageError> {
        Ok(Snapshot {
            meta: meta_of(&file)?,
            snapshot: file,
        })
    }

    /// Makes `file` the snapshot others are given, unless a newer one is in place already.
    fn publish(&self, file: &SnapshotFile) -> Result<(), StorageError> {
        let mut current = self.current.lock();
        let index = |file: &SnapshotFile| file.header().last_applied.map_or(0, |id| id.index);
        if current.as_ref().is_some_and(|c| index(c) > index(file)) {
            return Ok(());
        }
        *current = Some(file.clone());
        snapshots::delete_older(&self.dir, self.group, index(file))
    }
}

fn meta_of(file: &SnapshotFile) -> Result<SnapshotMeta, StorageError> {
    convert::snapshot_in(file.header().clone()).map_err(|Malformed(what)| {
        StorageError::CorruptSnapshot {
            path: file.path().to_owned(),
            what,
        }
    })
}

/// Runs what may block for long away from the threads that run everything else.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> io::Result<T> {
    Ok(tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)??)
}

impl RaftStateMachine<Config> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let live = self.shared.live.lock();
        Ok((live.last_applied, live.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Config>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(entry) = entries.next().await {
            self.apply_entry(&mut batch, entry?);
            if batch.writes.size_in_bytes() >= BATCH_BYTES_MAX {
                self.commit(&mut batch)?;
            }
        }
        Ok(self.commit(&mut batch)?)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let shared = self.shared.clone();
        let (taken, view_taken) = oneshot::channel();
        // The view must be of this moment and the file is written while entries go on being
        // applied: the thread takes the view at once, reports, and writes from it at leisure.
        let file = tokio::task::spawn_blocking(move || {
            let view = shared.db.view();
            let _ = taken.send(());
            let file = snapshots::write(&shared.db, &view, shared.group, &shared.dir)?;
            shared.publish(&file)?;
            shared.snapshot(file)
        });
        // An error here means that the thread failed, which the builder will report.
        let _ = view_taken.await;
        SnapshotBuilder(Some(file))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: SnapshotFile,
    ) -> io::Result<()> {
        let shared = self.shared.clone();
        let meta = meta.clone();
        let next = self.generation + 1;
        off_thread(move || {
            if meta_of(&file)? != meta {
                return Err(StorageError::CorruptSnapshot {
                    path: file.path().to_owned(),
                    what: "it covers something else than the leader said".to_owned(),
                });
            }
            // Reads the file to its end: only a sound one gets its name.
            snapshots::load(&shared.db, &file, shared.group, next)?;
            let file = snapshots::adopt(&file, &shared.dir)?;
            snapshots::switch(&shared.db, &file, shared.group, next)?;
            shared.restore(next, meta.last_log_id, meta.last_membership)?;
            snapshots::delete_other_generations(&shared.db, shared.group, next)?;
            shared.publish(&file)
        })
        .await?;
        self.generation = next;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<StoredSnapshot>> {
        let current = self.shared.current.lock().clone();
        Ok(current.map(|file| self.shared.snapshot(file)).transpose()?)
    }
}

/// A snapshot being written, from the view of the moment the builder was made.
pub struct SnapshotBuilder(Option<tokio::task::JoinHandle<Result<StoredSnapshot, StorageError>>>);

impl RaftSnapshotBuilder<Config> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<StoredSnapshot> {
        let file = self
            .0
            .take()
            .ok_or_else(|| io::Error::other("the snapshot was already taken"))?;
        Ok(file.await.map_err(io::Error::other)??)
    }
}
