//! Backups of a live node, new clusters made of one, and what can be saved of a cluster that lost its majority for good.

use std::path::{Path, PathBuf};

use meridian_proto::log::v1 as log;
use meridian_routing::ids::Millis;
use meridian_routing::state::State;
use tokio::sync::OwnedMutexGuard;

use crate::convert::{command, entity, history};
use crate::driver::Driver;
use crate::machine;
use crate::past::{Moment, state_at};
use crate::raft::PastError;
pub use crate::raft::backup::must_be_empty;
use crate::raft::backup::{self, First, Former, Record, Remains, RestoreError};
use crate::storage::Storage;
use crate::storage::snapshot::{SnapshotFile, Temporary};

/// A backup of a live node. The file goes with it, and another may be written.
pub struct Backup {
    file: SnapshotFile,
    _turn: OwnedMutexGuard<()>,
}

impl Backup {
    /// Where it comes from.
    pub fn of(&self) -> log::Backup {
        self.file.header().backup.clone().unwrap_or_default()
    }

    /// The last log entry in it.
    pub fn index(&self) -> u64 {
        index_of(self.file.header())
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.file.length()
    }

    /// Some of its bytes; blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, at: u64, max: usize) -> Result<Vec<u8>, String> {
        let bytes = self.file.read_at(at, max).map_err(|e| e.to_string())?;
        if bytes.is_empty() {
            return Err("the backup ends too early".to_owned());
        }
        Ok(bytes)
    }
}

/// The last log entry in what a header is of.
pub fn index_of(header: &log::SnapshotHeader) -> u64 {
    header.last_applied.map_or(0, |id| id.index)
}

impl Driver {
    /// Writes a backup of now, or of a former moment that this node keeps, one at a time.
    ///
    /// # Errors
    /// [`PastError::NotKept`] for a moment that is not kept; otherwise what the disk says.
    pub async fn backup(&self, moment: Option<Moment>) -> Result<Backup, PastError> {
        let group = self.group();
        let group = group.map_err(|e| PastError::Refused(e.to_string()))?;
        let turn = self.backup_turn().await;
        let newest = group.hash().0;
        if newest == 0 {
            return Err(PastError::Nothing);
        }
        let Some(moment) = moment else {
            let now = self.state().meta().now;
            let file = group.backup(None, now).await?;
            return Ok(Backup { file, _turn: turn });
        };
        let then = group.past(move |past| {
            let then = state_at(past, moment, newest)?;
            let index = then.meta().index;
            // Before the first command there is nothing to be backed up.
            let position = match index {
                0 => None,
                index => past.position(index)?,
            };
            let Some(last_applied) = position else {
                return Err(PastError::NotKept(past.oldest()?));
            };
            let (state, now) = (records(&then), then.meta().now);
            let former = Former {
                last_applied,
                hash: machine::hash_of(&state),
                state,
                as_then: Box::new(move |key, value| as_then(&then, key, value)),
                history: Vec::new(),
            };
            Ok((former, now))
        });
        let (former, now) = then.await?;
        let file = group.backup(Some(former), now).await?;
        Ok(Backup { file, _turn: turn })
    }
}

/// Every part of a state, as it is kept.
fn records(state: &State) -> Vec<Record> {
    let part = |key| Some((entity::key(&key), entity::encode(&state.entity(&key)?)));
    state.keys().into_iter().filter_map(part).collect()
}

/// What the history showed under a key when the state was this one.
fn as_then(then: &State, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let number = |at: &[u8]| at.first_chunk().map(|n| u64::from_be_bytes(*n));
    match key.split_first()? {
        (b'c', _) => {
            let chat = history::decode_chat(value).ok()?;
            let (index, now) = (then.meta().index, then.meta().now);
            match then.chats().get(&chat.id) {
                _ if chat.index <= index => Some(value.to_vec()),
                // Rated since.
                Some(was) if was.is_closed() => Some(history::encode_chat(was).1),
                Some(_) => None,
                // It had left the state already, or was yet to come.
                None => (chat.closed <= now - meridian_routing::limits::CLOSED_KEPT_MS)
                    .then(|| value.to_vec()),
            }
        }
        (b'v' | b'w', rest) => (number(rest)? <= then.meta().version).then(|| value.to_vec()),
        (&history::FOUNDINGS, _) => {
            let founding = history::decode_founding(value).ok()?;
            (founding.log_index <= then.meta().index).then(|| value.to_vec())
        }
        _ => None,
    }
}

/// The hash of a state as it is kept, once it was found to be one.
fn hash(records: &[Record]) -> Result<u64, String> {
    for (key, value) in records {
        let name = || format!("state entry {}", String::from_utf8_lossy(key));
        entity::decode(value).map_err(|e| format!("{}: {e}", name()))?;
    }
    Ok(machine::hash_of(records))
}

/// A backup that was read and found whole.
pub struct Sound {
    file: SnapshotFile,
    /// How often what is in it was made of another cluster already.
    foundings: u64,
}

/// Who makes a cluster of another, when, and of what.
#[derive(Clone, Debug)]
pub struct Maker {
    /// Who.
    pub actor: String,
    /// The backup as it was named, or the directory of the node that was left.
    pub from: String,
    /// Whether what only other nodes had was given up.
    pub loss_accepted: bool,
    /// When, in UTC milliseconds.
    pub at: Millis,
}

impl Sound {
    /// Reads a backup whole.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn open(path: &Path) -> Result<Self, RestoreError> {
        let mut foundings = 0;
        let count = &mut |key: &[u8]| {
            foundings += u64::from(key.first() == Some(&history::FOUNDINGS));
        };
        let (file, _) = backup::verify(path, hash, count)?;
        Ok(Self { file, foundings })
    }

    /// What it is of.
    pub fn header(&self) -> &log::SnapshotHeader {
        self.file.header()
    }

    /// Makes the data directory of the first node of a new cluster of it, whose history tells how it was made.
    ///
    /// # Errors
    /// [`RestoreError`]; no node starts on what was made so far.
    pub fn restore(
        &self,
        storage: &dyn Storage,
        data: &Path,
        first: &First,
        maker: &Maker,
    ) -> Result<(), RestoreError> {
        let founding = log::Founding {
            at: maker.at,
            actor: maker.actor.clone(),
            from: maker.from.clone(),
            loss_accepted: maker.loss_accepted,
            founded: first.node.founded.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            of: self.header().backup.clone(),
            log_index: index_of(self.header()),
        };
        let record = history::encode_founding(self.foundings + 1, &founding);
        backup::restore(storage, &self.file, data, first, &record)
    }
}

/// Writes a backup of what is left of one node: everything in its log counts, decided or not. The node must not run,
/// and its directory stays as it is. It is of use where the majority of a cluster is lost for good, and of none where it
/// may come back.
///
/// # Errors
/// [`RestoreError`].
pub fn salvage(
    storage: &dyn Storage,
    data: &Path,
    into: PathBuf,
) -> Result<SnapshotFile, RestoreError> {
    let refused = |what: String| RestoreError::Refused {
        path: data.to_owned(),
        what,
    };
    let remains = Remains::open(storage, data)?;
    let entities = remains.state()?;
    let entities = entities.iter().map(|(_, value)| entity::decode(value));
    let entities: Result<Vec<_>, _> = entities.collect();
    let mut state = State::restore(entities.map_err(|e| refused(e.to_string()))?);
    let (mut added, mut unread) = (Vec::new(), None);
    remains.since(&mut |index, bytes| match command::decode(index, bytes) {
        Ok((stamped, _)) => {
            let outcome = state.apply(&stamped);
            added.extend(outcome.history.iter().map(history::encode_chat));
            added.extend(outcome.version.iter().flat_map(history::encode_version));
        }
        Err(error) => {
            unread = unread
                .take()
                .or(Some(format!("log entry {index}: {error}")))
        }
    })?;
    if let Some(unread) = unread {
        return Err(refused(unread));
    }
    // The last of a key counts, as on disk.
    let added: std::collections::BTreeMap<_, _> = added.into_iter().collect();
    let (records, known) = (records(&state), added.clone());
    let now: Millis = state.meta().now;
    let whole = Former {
        last_applied: remains.end(),
        hash: machine::hash_of(&records),
        state: records,
        as_then: Box::new(move |key, value| (!known.contains_key(key)).then(|| value.to_vec())),
        history: added.into_iter().collect(),
    };
    let identity = remains.identity();
    let backup = log::Backup {
        cluster_id: identity.cluster_id.clone(),
        founded: remains.founded(),
        node_id: identity.node_id,
        at_ms: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state_hash: 0,
    };
    Ok(remains.backup(whole, backup, Temporary::new(into))?)
}
