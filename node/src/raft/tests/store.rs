//! Log and state of one node without Raft, as tests drive them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{EntryPayload, Membership};

use super::{Counter, add};
use crate::raft::log_store::LogStore;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::{Entry, LogId, Node, Proposal};
use crate::storage::{Db, Rocks, StorageError};

/// Opens what a node opens.
pub(super) fn try_open(dir: &Path) -> Result<(Arc<Db>, StateMachine), StorageError> {
    let db = Db::open(&Rocks, dir)?;
    let machine = Box::new(Counter::default());
    let machine = StateMachine::open(db.clone(), 1, dir.join("snapshots"), machine)?;
    Ok((db, machine))
}

pub(super) fn open(dir: &Path) -> (Arc<Db>, StateMachine) {
    try_open(dir).unwrap()
}

/// The entry of `term` at an index: the members at 0, else a number added under `name`.
pub(super) fn entry(term: u64, index: u64, name: &str) -> Entry {
    let payload = if index == 0 {
        let members = [(1, Node::default())];
        EntryPayload::Membership(Membership::from(std::collections::BTreeMap::from(members)))
    } else {
        EntryPayload::Normal(Proposal(add(&format!("{name}{}", index % 100), index)))
    };
    Entry::new(LogId::new(term.into(), index), payload)
}

/// Appends entries to the log, as a leader of term 1 does; not synced.
pub(super) async fn append(db: &Arc<Db>, entries: impl IntoIterator<Item = Entry> + Send) {
    let entries: Vec<Entry> = entries.into_iter().collect();
    LogStore::new(db.clone(), 1)
        .append(entries, IOFlushed::noop())
        .await
        .unwrap();
}

/// Appends entries and applies them.
pub(super) async fn apply(
    db: &Arc<Db>,
    machine: &mut StateMachine,
    indexes: Range<u64>,
    name: &str,
) {
    let entries: Vec<Entry> = indexes.map(|index| entry(1, index, name)).collect();
    append(db, entries.clone()).await;
    let entries = entries.into_iter().map(|entry| Ok((entry, None)));
    machine
        .apply(futures::stream::iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
}
