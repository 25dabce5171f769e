//! Raft's log and vote in the database.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::Stream;
use meridian_proto::log::v1 as pb;
use meridian_routing::mutants::{self, Mutant};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use prost::Message;

use super::convert::{self, Malformed};
use super::types::{Config, Entry, LogId, Vote};
use crate::storage::keys::{self, Meta};
use crate::storage::{Batch, Db, StorageError, record};

/// A reader asked for many entries gets at most this many bytes at a time, or one entry that is
/// longer: they travel in one message, which must get through a slow link before its sender takes
/// the link for dead.
const READ_BYTES_MAX: usize = 256 << 10;

/// The log of one group. Clones read and write the same log.
///
/// Writes go into the database in the order they are made, at once readable; they are reported
/// durable by the flush thread, in the same order.
#[derive(Clone)]
pub struct LogStore {
    db: Arc<Db>,
    group: u32,
    /// Entries after this one stay on disk when Raft has done with them; see [`super::past`].
    keep_after: Arc<AtomicU64>,
    /// Held by whoever deletes entries: two do, Raft and the past.
    deleting: Arc<Mutex<()>>,
}

/// What a whole log holds.
pub struct Checked {
    /// Where it ends, the entries deleted counted in.
    pub last: Option<LogId>,
    /// The last command that was applied, if it is still there.
    pub command: Option<u64>,
}

impl LogStore {
    /// The log of `group`.
    pub fn new(db: Arc<Db>, group: u32) -> Self {
        Self {
            db,
            group,
            keep_after: Arc::new(AtomicU64::new(u64::MAX)),
            deleting: Arc::default(),
        }
    }

    /// Keeps the entries after `index` on disk when Raft has done with them, and deletes the others that it has.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn keep_after(&self, index: u64) -> Result<(), StorageError> {
        let _deleting = self.deleting.lock();
        self.keep_after.store(index, Ordering::SeqCst);
        let Some(purged) = self.purged()? else {
            return Ok(());
        };
        let mut batch = Batch::default();
        self.trim(&mut batch, purged.index.min(index))?;
        self.db.write(batch)
    }

    /// The last entry that is gone from the disk; 0 = none is.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn trimmed(&self) -> Result<u64, StorageError> {
        Ok(self.gone()?.unwrap_or(0))
    }

    fn gone(&self) -> Result<Option<u64>, StorageError> {
        let trimmed = match self.meta_log_id(Meta::Trimmed)? {
            Some(trimmed) => Some(trimmed),
            None => self.purged()?,
        };
        Ok(trimmed.map(|id| id.index))
    }

    fn trim(&self, batch: &mut Batch, to: u64) -> Result<(), StorageError> {
        let gone = self.gone()?;
        // From where the last one ended: ranges over the same keys would pile up.
        let from = gone.map_or(0, |gone| gone.saturating_add(1));
        if from <= to {
            let from = keys::log(self.group, from);
            batch.delete_range(keys::LOG, from, keys::log_after(self.group, to));
        }
        let id = pb::LogId {
            index: to.max(gone.unwrap_or(0)),
            ..Default::default()
        };
        self.db.put_meta(batch, self.group, Meta::Trimmed, &id);
        Ok(())
    }

    /// Shows the entries from `from` up to and with `to` that are on disk, in order, with their bytes there, until
    /// `each` has had enough; those that Raft has done with too.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if one does not read back as written.
    pub fn visit(
        &self,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(Entry, usize) -> bool,
    ) -> Result<(), StorageError> {
        if to < from {
            return Ok(());
        }
        let end = keys::log_after(self.group, to);
        for item in self.db.range(keys::LOG, &keys::log(self.group, from), &end) {
            let (key, value) = item?;
            let entry = self.entry(&key, &value)?;
            if !each(entry, key.len() + value.len()) {
                break;
            }
        }
        Ok(())
    }

    /// The first entry that Raft may ask for.
    fn first(&self) -> Result<u64, StorageError> {
        Ok(self.purged()?.map_or(0, |id| id.index.saturating_add(1)))
    }

    fn read(
        &self,
        range: impl RangeBounds<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let asked = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let from = asked.max(self.first()?);
        let to = match range.end_bound() {
            Bound::Included(&index) => index.checked_add(1),
            Bound::Excluded(&index) => Some(index),
            Bound::Unbounded => None,
        };
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let end = to.map_or_else(
            || keys::log_end(self.group).to_vec(),
            |to| keys::log(self.group, to).to_vec(),
        );
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for item in self.db.range(keys::LOG, &keys::log(self.group, from), &end) {
            let (key, value) = item?;
            bytes += value.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            let entry = self.entry(&key, &value)?;
            if let Some(before) = entries.last()
                && before.log_id.index.checked_add(1) != Some(entry.log_id.index)
            {
                return Err(StorageError::Corrupt {
                    place: self.db.place(&key, "the log"),
                    what: format!("entries after {} are missing", before.log_id.index),
                });
            }
            entries.push(entry);
        }
        // Read after the entries: what was deleted meanwhile is not missing. Entry 0, the first
        // members, is looked for at start only: openraft's own tests do without it.
        if let Some(first) = entries.first().map(|entry| entry.log_id.index)
            && first > from
            && first > self.purged()?.map_or(1, |id| id.index.saturating_add(1))
        {
            return Err(self.corrupt(format!("entries before {first} are missing")));
        }
        Ok(entries)
    }

    /// Reads the whole log once: every entry since the last one deleted is there, whole and in
    /// order, and fits the state, which stands at `applied`. Found at start, damage costs this node;
    /// found later it could cost the group an entry.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] names what does not fit.
    pub fn check(&self, applied: Option<LogId>) -> Result<Checked, StorageError> {
        let purged = self.purged()?;
        if let Some(purged) = purged
            && applied.is_none_or(|applied| applied.index < purged.index)
        {
            let applied = applied.map_or(0, |id| id.index);
            return Err(self.corrupt(format!(
                "entries up to {} are deleted, but the state stands at {applied}",
                purged.index
            )));
        }
        let mut last = purged;
        let mut command = None;
        let end = keys::log_end(self.group);
        let first = keys::log(self.group, self.first()?);
        for item in self.db.range(keys::LOG, &first, &end) {
            let (key, value) = item?;
            let entry = self.entry(&key, &value)?;
            let id = entry.log_id;
            let expected = last.map_or(Some(0), |last| last.index.checked_add(1));
            if Some(id.index) != expected {
                let missing = expected.map_or("no entry can follow".to_owned(), |expected| {
                    format!("entry {expected} is missing")
                });
                return Err(self.corrupt(format!("{missing}, the next one is {}", id.index)));
            }
            if last.is_some_and(|last| last.leader_id > id.leader_id) {
                return Err(self.corrupt(format!(
                    "entry {} is of an earlier term than the one before it",
                    id.index
                )));
            }
            if applied.is_some_and(|applied| applied.index == id.index && applied != id) {
                return Err(self.corrupt(format!(
                    "entry {} is not the one of that index that was applied",
                    id.index
                )));
            }
            last = Some(id);
            let is_command = matches!(entry.payload, EntryPayload::Normal(_));
            if is_command && applied.is_some_and(|applied| id.index <= applied.index) {
                command = Some(id.index);
            }
        }
        Ok(Checked { last, command })
    }

    fn purged(&self) -> Result<Option<LogId>, StorageError> {
        self.meta_log_id(Meta::Purged)
    }

    fn corrupt(&self, what: String) -> StorageError {
        StorageError::Corrupt {
            place: format!("the log in {}", self.db.dir().display()),
            what,
        }
    }

    fn entry(&self, key: &[u8], value: &[u8]) -> Result<Entry, StorageError> {
        let corrupt = |what: String| StorageError::Corrupt {
            place: self.db.place(key, "a log entry"),
            what,
        };
        let message: pb::Entry = self.db.decode(key, value, "a log entry")?;
        let entry = convert::entry_in(message).map_err(|Malformed(what)| corrupt(what))?;
        if keys::log_index(key) != Some(entry.log_id.index) {
            return Err(corrupt("it is stored under another index".to_owned()));
        }
        Ok(entry)
    }

    fn meta_log_id(&self, meta: Meta) -> Result<Option<LogId>, StorageError> {
        let id: Option<pb::LogId> = self.db.meta(self.group, meta)?;
        Ok(id.as_ref().map(convert::log_id_in))
    }
}

impl RaftLogReader<Config> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(range, usize::MAX)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let vote: Option<pb::Vote> = self.db.meta(self.group, Meta::Vote)?;
        vote.as_ref()
            .map(|vote| convert::vote_in(Some(vote)).map_err(io::Error::other))
            .transpose()
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start..end, READ_BYTES_MAX)?)
    }

    // The default reads the whole range at once; after a restart that can be the whole log.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let store = self.clone();
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let chunks = futures::stream::unfold(Some(bounds), move |bounds| {
            let store = store.clone();
            async move {
                let bounds = bounds?;
                match store.read(bounds, READ_BYTES_MAX) {
                    Ok(entries) => {
                        let last = entries.last()?.log_id.index;
                        let items: Vec<_> = entries.into_iter().map(Ok).collect();
                        Some((items, Some((Bound::Excluded(last), bounds.1))))
                    }
                    Err(error) => Some((vec![Err(io::Error::from(error))], None)),
                }
            }
        });
        use futures::StreamExt;
        Box::pin(chunks.map(futures::stream::iter).flatten())
    }
}

impl RaftLogStorage<Config> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Config>, io::Error> {
        let last_purged_log_id = self.purged()?;
        let last = self
            .db
            .last(
                keys::LOG,
                &keys::log(self.group, self.first()?),
                &keys::log_end(self.group),
            )?
            .map(|(key, value)| self.entry(&key, &value))
            .transpose()?
            .map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id,
            last_log_id: last.or(last_purged_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        self.db
            .put_meta(&mut batch, self.group, Meta::Vote, &convert::vote_out(vote));
        if mutants::is(Mutant::VoteForgotten) {
            return Ok(());
        }
        self.db.write(batch)?;
        if mutants::is(Mutant::VoteBeforeSync) {
            return Ok(());
        }
        Ok(self.db.synced().await?)
    }

    // Not synced by itself: it rides on the next sync. If it is lost the node starts from an older
    // commit index and learns the newer one from the leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        match committed {
            Some(id) => {
                let id = convert::log_id_out(&id);
                self.db
                    .put_meta(&mut batch, self.group, Meta::Committed, &id);
            }
            None => batch.delete(keys::META, Meta::Committed.key(self.group)),
        }
        Ok(self.db.write(batch)?)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.meta_log_id(Meta::Committed)?)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Config>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = Batch::default();
        for entry in entries {
            let key = keys::log(self.group, entry.log_id.index);
            let payload = convert::entry_out(entry).encode_to_vec();
            batch.put(keys::LOG, key, record::seal(&key, &payload));
        }
        self.db.write(batch)?;
        if mutants::is(Mutant::AckBeforeSync) {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.db.on_synced(Box::new(move |result| {
            callback.io_completed(result.map_err(io::Error::from));
        }));
        Ok(())
    }

    // On disk before it returns: entries appended afterwards must never be acknowledged while a
    // crash could still bring back the ones they replace.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |id| id.index.saturating_add(1));
        let mut batch = Batch::default();
        if mutants::is(Mutant::ReplacedEntriesStay) {
            return Ok(());
        }
        batch.delete_range(
            keys::LOG,
            keys::log(self.group, from),
            keys::log_end(self.group),
        );
        self.db.write(batch)?;
        Ok(self.db.synced().await?)
    }

    // Not synced: a lost purge leaves entries nobody asks for, and is repeated.
    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        if self
            .purged()?
            .is_some_and(|purged| purged.index >= log_id.index)
        {
            return Ok(());
        }
        // Where the log has that very entry, those before it are the ones that were applied. Where it has another or
        // none, a snapshot came from elsewhere, and what is here may never have been committed.
        let mut own = false;
        let looked = self.visit(log_id.index, log_id.index, &mut |entry, _| {
            own = entry.log_id == log_id;
            own
        });
        let own = own && looked.is_ok();
        let _deleting = self.deleting.lock();
        let kept = self.keep_after.load(Ordering::SeqCst);
        let mut batch = Batch::default();
        self.trim(
            &mut batch,
            log_id.index.min(if own { kept } else { u64::MAX }),
        )?;
        let id = convert::log_id_out(&log_id);
        self.db.put_meta(&mut batch, self.group, Meta::Purged, &id);
        Ok(self.db.write(batch)?)
    }
}
