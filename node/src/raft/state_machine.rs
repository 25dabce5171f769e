//! The caller's machine under Raft: applied in batches, kept in the database, snapshotted.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::{FutureExt, Stream, StreamExt};
use meridian_proto::log::v1 as pb;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::backup::{self, Former, Source};
use super::convert::{self, Malformed};
use super::log_store::LogStore;
use super::machine::Machine;
use super::past::Past;
use super::snapshots::{self, SnapshotBuilder, SnapshotDir};
use super::types::{Config, Entry, LogId, Node, NodeId, Reply, SnapshotMeta, StoredMembership};
use crate::aside::{aside, in_place};
use crate::storage::keys::{self, Meta};
use crate::storage::snapshot::{SnapshotFile, Temporary};
use crate::storage::{Batch, Db, StorageError, record};

/// A batch is written once it holds this many bytes, so that one long catch-up neither fills the
/// memory nor keeps clients waiting for its end.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A snapshot and what it covers.
pub type StoredSnapshot = openraft::type_config::alias::SnapshotOf<Config, SnapshotFile>;

/// Entries are applied in runs of at most about this many bytes; between two runs the thread may
/// turn to other work.
const RUN_BYTES_MAX: usize = 256 << 10;

/// The machine and what goes with it. Held for as long as entries are applied or a state is
/// restored: only those who do that may wait for it.
struct Live {
    machine: Box<dyn Machine>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

/// How far the state has got on disk, and its hash there. Published as one, so that they always
/// fit, and apart from the machine, so that readers never wait for it.
#[derive(Clone, Copy, Default)]
struct Position {
    last_applied: Option<LogId>,
    hash: u64,
}

/// What every handle of one group's state shares.
struct Shared {
    db: Arc<Db>,
    group: u32,
    dir: SnapshotDir,
    live: Mutex<Live>,
    position: Mutex<Position>,
    /// Why the state can no longer be written, once it cannot: the machine is ahead of the disk
    /// then, and nothing may build on it.
    failure: OnceLock<String>,
    current: Mutex<Option<SnapshotFile>>,
    applied: watch::Sender<u64>,
    past: OnceLock<Past>,
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
        let position = *self.0.position.lock();
        let index = position.last_applied.map_or(0, |id| id.index);
        (index, position.hash)
    }

    /// How far the log is applied here; on disk with the next sync.
    pub fn last_applied(&self) -> Option<LogId> {
        self.0.live.lock().last_applied
    }

    /// How far the log is certainly committed and on this node's disk: what was applied when asked,
    /// after a sync that covers it. `None` if nothing is, or the disk fails.
    pub async fn durable(&self) -> Option<LogId> {
        let last_applied = self.0.position.lock().last_applied?;
        self.0.db.synced().await.ok()?;
        Some(last_applied)
    }

    /// Follows the index last applied and written; 0 before the first.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// Why the state can no longer be written, if so. openraft is told as well and stops; until it
    /// has, the machine shows what the disk does not.
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    /// One entry of the history family. Blocks for a read of the disk.
    ///
    /// # Errors
    /// [`StorageError`] if it does not read back as written.
    pub fn history(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let Shared { db, group, .. } = &*self.0;
        // One view: an install between two reads would make the old generation vanish under us.
        let view = db.view();
        let generation = snapshots::applied(db, &*view, *group)?.generation;
        let place = keys::data(*group, generation, key);
        db.get_in(&*view, keys::HISTORY, &place, key)
    }

    /// What this node keeps of the past; `None` = it was never asked to.
    pub fn past(&self) -> Option<&Past> {
        self.0.past.get()
    }

    /// Writes a backup of this moment, or of a former one. Blocks for as long as that takes. `None` = a snapshot that
    /// came in is being read: what is on disk is not yet what is told of it.
    ///
    /// # Errors
    /// [`StorageError`]; nothing is left of it then.
    pub fn backup(
        &self,
        former: Option<&Former>,
        backup: pb::Backup,
    ) -> Result<Option<SnapshotFile>, StorageError> {
        let Shared { db, group, .. } = &*self.0;
        let (view, position) = {
            // What is on disk is written, and its position published, under this lock.
            let _live = self.0.live.lock();
            (db.view(), *self.0.position.lock())
        };
        let applied = snapshots::applied(db, &*view, *group)?;
        if convert::log_id_opt_in(applied.last_applied.as_ref()) != position.last_applied {
            return Ok(None);
        }
        let membership = applied.membership;
        let source = Source {
            db,
            view: &*view,
            group: *group,
            last_applied: position.last_applied,
            membership,
            hash: position.hash,
        };
        backup::write(&source, former, backup, self.0.dir.incoming()).map(Some)
    }

    /// The members, as far as the state says.
    pub fn members(&self) -> BTreeMap<NodeId, Node> {
        let live = self.0.live.lock();
        let nodes = live.membership.membership().nodes();
        nodes.map(|(id, node)| (*id, node.clone())).collect()
    }

    /// A name of its own for a snapshot on its way in.
    pub fn incoming_snapshot(&self) -> Temporary {
        self.0.dir.incoming()
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
        let dir = SnapshotDir::new(snapshot_dir, group);
        let current = dir.find()?;
        let checked = LogStore::new(db.clone(), group).check(last_applied)?;
        let end = checked.last;
        // Only right after an install is the state ahead of the log: until openraft has deleted
        // what the snapshot replaces.
        let installed = current.as_ref().map(|file| file.header().last_applied);
        if last_applied.map(|id| id.index) > end.map(|id| id.index)
            && installed != Some(applied.last_applied)
        {
            return Err(corrupt(format!(
                "the state stands at {}, but the log ends at {}",
                last_applied.map_or(0, |id| id.index),
                end.map_or(0, |id| id.index),
            )));
        }
        let shared = Arc::new(Shared {
            live: Mutex::new(Live {
                machine,
                last_applied: None,
                membership: StoredMembership::default(),
            }),
            position: Mutex::default(),
            failure: OnceLock::new(),
            current: Mutex::new(current),
            applied: watch::Sender::new(0),
            past: OnceLock::new(),
            dir,
            db,
            group,
        });
        let generation = applied.generation;
        // What an install left behind when the node crashed before or after the switch.
        snapshots::delete_other_generations(&shared.db, group, generation)?;
        shared.restore(generation, last_applied, membership)?;
        shared.check_state(checked.command)?;
        Ok(Self { shared, generation })
    }

    /// Keeps at most so many bytes of the past, with what Raft has done with in `log`; 0 = nothing.
    pub fn keep_past(&self, log: &LogStore, bytes_max: u64) {
        let shared = &self.shared;
        let past = Past::open(log.clone(), shared.group, shared.dir.path(), bytes_max);
        let current = shared.current.lock().clone();
        if let Some(current) = current {
            past.remember(&current, &shared.dir);
        }
        drop(shared.past.set(past));
    }

    /// A view for readers outside Raft.
    pub fn reader(&self) -> StateReader {
        StateReader(self.shared.clone())
    }

    /// Writes a batch and answers for it. A failure is final: the machine has applied what the disk
    /// has not, so nothing may be applied, answered or published any more.
    fn commit(&self, batch: &mut Unwritten) -> Result<(), StorageError> {
        self.write(batch)
            .inspect_err(|error| self.shared.fail(&error.to_string()))?;
        for (responder, reply) in batch.replies.drain(..) {
            responder.send(Reply(reply));
        }
        Ok(())
    }

    fn write(&self, batch: &mut Unwritten) -> Result<(), StorageError> {
        let Some(last) = batch.last.take() else {
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
            shared.publish_position(&live);
        }
        shared.db.push();
        Ok(())
    }

    /// Starts to write a snapshot of this moment.
    async fn build(&self, needed: bool) -> SnapshotBuilder {
        let shared = self.shared.clone();
        let dir = shared.dir.path().to_owned();
        let (taken, view_taken) = oneshot::channel();
        // The view must be of this moment and the file is written while entries go on being
        // applied: the thread takes the view at once, reports, and writes from it at leisure.
        let file = aside(move || {
            let view = shared.db.view();
            let _ = taken.send(());
            let file = snapshots::write(&shared.db, &*view, &shared.dir)?;
            shared.publish(&file);
            shared.snapshot(file)
        });
        // An error here means that the thread failed, which the builder will report.
        let _ = view_taken.await;
        SnapshotBuilder::new(file, needed, dir)
    }

    fn apply_entry(&self, batch: &mut Unwritten, (entry, responder): EntryResponder<Config>) {
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
                                batch.writes.put(family, key, sealed);
                            }
                            None => batch.writes.delete(family, key),
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
struct Unwritten {
    writes: Batch,
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
        self.publish_position(&live);
        Ok(())
    }

    /// A restored state has seen exactly the commands up to the index it is said to stand at.
    /// `command` is the last of them that is still in the log.
    fn check_state(&self, command: Option<u64>) -> Result<(), StorageError> {
        let live = self.live.lock();
        let Some(seen) = live.machine.index() else {
            return Ok(());
        };
        let applied = live.last_applied.map_or(0, |id| id.index);
        if seen <= applied && command.is_none_or(|command| command <= seen) {
            return Ok(());
        }
        Err(StorageError::Corrupt {
            place: format!("the state in {}", self.db.dir().display()),
            what: format!("it is said to stand at {applied}, but its last command is {seen}"),
        })
    }

    /// From here on nothing is applied any more.
    fn fail(&self, what: &str) {
        tracing::error!(what, "the state cannot be written; this node stops");
        // The first failure is the one to tell of.
        let _ = self.failure.set(what.to_owned());
    }

    fn publish_position(&self, live: &Live) {
        let last_applied = live.last_applied;
        let hash = live.machine.hash();
        *self.position.lock() = Position { last_applied, hash };
        let index = last_applied.map_or(0, |id| id.index);
        self.applied.send_replace(index);
    }

    fn snapshot(&self, file: SnapshotFile) -> Result<StoredSnapshot, StorageError> {
        Ok(Snapshot {
            meta: meta_of(&file)?,
            snapshot: file,
        })
    }

    /// Makes `file` the snapshot others are given, unless a newer one is in place already.
    fn publish(&self, file: &SnapshotFile) {
        if let Some(past) = self.past.get() {
            past.remember(file, &self.dir);
        }
        let mut current = self.current.lock();
        let index = |file: &SnapshotFile| file.header().last_applied.map_or(0, |id| id.index);
        if current.as_ref().is_some_and(|c| index(c) > index(file)) {
            return;
        }
        *current = Some(file.clone());
        if let Err(error) = self.dir.delete_older(index(file)) {
            tracing::warn!(%error, "an old snapshot stays until the next one");
        }
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

fn bytes_of(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// Runs what may block for long away from the threads that run everything else.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> io::Result<T> {
    Ok(aside(work).await.map_err(io::Error::other)??)
}

impl RaftStateMachine<Config> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let live = self.shared.live.lock();
        Ok((live.last_applied, live.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Config>>> + Unpin + OptionalSend,
    {
        if let Some(what) = self.shared.failure.get() {
            return Err(StorageError::WriteFailed { what: what.clone() }.into());
        }
        let mut entries = entries.fuse();
        let mut batch = Unwritten::default();
        while let Some(first) = entries.next().await {
            let first = first?;
            let mut bytes = bytes_of(&first.0);
            let mut run = vec![first];
            // What is there already; nobody waits for what is not.
            while bytes < RUN_BYTES_MAX
                && let Some(Some(next)) = entries.next().now_or_never()
            {
                let next = next?;
                bytes += bytes_of(&next.0);
                run.push(next);
            }
            let last = entries.is_done();
            in_place(|| {
                for entry in run {
                    self.apply_entry(&mut batch, entry);
                    if batch.writes.bytes() >= BATCH_BYTES_MAX {
                        self.commit(&mut batch)?;
                    }
                }
                // Handing a thread over costs as much as a small batch: once is enough.
                if last {
                    self.commit(&mut batch)
                } else {
                    Ok(())
                }
            })?;
        }
        Ok(self.commit(&mut batch)?)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.build(true).await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        Some(self.build(force).await)
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
            let file = shared.dir.adopt(&file)?;
            snapshots::switch(&shared.db, &file, shared.group, next)?;
            shared.restore(next, meta.last_log_id, meta.last_membership)?;
            snapshots::delete_other_generations(&shared.db, shared.group, next)?;
            shared.publish(&file);
            Ok(())
        })
        .await
        .inspect_err(|error| self.shared.fail(&error.to_string()))?;
        self.generation = next;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<StoredSnapshot>> {
        let current = self.shared.current.lock().clone();
        Ok(current.map(|file| self.shared.snapshot(file)).transpose()?)
    }
}
