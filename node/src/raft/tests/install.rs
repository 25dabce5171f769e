//! Installing a snapshot: whole, or not at all.

use std::path::Path;
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, Membership};
use tempfile::TempDir;

use super::{Counter, add};
use crate::raft::snapshots;
use crate::raft::state_machine::{StateMachine, StoredSnapshot};
use crate::raft::types::{Entry, LogId, Node, Proposal};
use crate::storage::Db;
use crate::storage::keys;
use crate::storage::snapshot::SnapshotFile;

fn open(dir: &Path) -> (Arc<Db>, StateMachine) {
    let db = Db::open(dir).unwrap();
    let machine = StateMachine::open(
        db.clone(),
        1,
        dir.join("snapshots"),
        Box::new(Counter::default()),
    );
    (db, machine.unwrap())
}

async fn apply(machine: &mut StateMachine, indexes: std::ops::Range<u64>, name: &str) {
    let entries = indexes.map(|index| {
        let log_id = LogId::new(1.into(), index);
        let payload = if index == 0 {
            let node = Node::default();
            EntryPayload::Membership(Membership::from(std::collections::BTreeMap::from([(
                1, node,
            )])))
        } else {
            EntryPayload::Normal(Proposal(add(&format!("{name}{}", index % 100), index)))
        };
        Ok((Entry::new(log_id, payload), None))
    });
    machine
        .apply(futures::stream::iter(entries.collect::<Vec<_>>()))
        .await
        .unwrap();
}

/// A snapshot of a state of its own, 500 entries far.
async fn source(dir: &Path) -> (StoredSnapshot, (u64, u64)) {
    let (_db, mut machine) = open(dir);
    apply(&mut machine, 0..501, "new").await;
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    // The view is of the moment the builder was made.
    let hash = machine.reader().hash();
    apply(&mut machine, 501..502, "later").await;
    (builder.build_snapshot().await.unwrap(), hash)
}

#[tokio::test]
async fn a_snapshot_replaces_state_and_history_and_lasts() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, hash) = source(from.path()).await;
    assert_eq!(hash.0, 500);

    let (db, mut machine) = open(to.path());
    apply(&mut machine, 0..20, "old").await;
    machine
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .unwrap();
    assert_eq!(machine.reader().hash(), hash);
    let (last, membership) = machine.applied_state().await.unwrap();
    assert_eq!(last, snapshot.meta.last_log_id);
    assert_eq!(membership, snapshot.meta.last_membership);
    let history = db
        .range(keys::HISTORY, &keys::generation(1, 0), &keys::log_end(1))
        .count();
    assert_eq!(
        history, 500,
        "the old generation is gone, the new one whole"
    );

    apply(&mut machine, 501..510, "after").await;
    let hash = machine.reader().hash();
    drop((db, machine));
    let (_db, mut machine) = open(to.path());
    assert_eq!(machine.reader().hash(), hash);
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, snapshot.meta);
}

#[tokio::test]
async fn a_crash_before_the_switch_leaves_the_old_state() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, _) = source(from.path()).await;
    let (db, mut machine) = open(to.path());
    apply(&mut machine, 0..20, "old").await;
    let hash = machine.reader().hash();
    snapshots::load(&db, &snapshot.snapshot, 1, 1).unwrap();
    drop((db, machine));

    let (db, machine) = open(to.path());
    assert_eq!(machine.reader().hash(), hash);
    let aside = db
        .range(keys::STATE, &keys::generation(1, 1), &keys::log_end(1))
        .count();
    assert_eq!(aside, 0, "what was written aside is deleted");
}

#[tokio::test]
async fn a_crash_after_the_switch_leaves_the_new_state() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, hash) = source(from.path()).await;
    let (db, mut machine) = open(to.path());
    apply(&mut machine, 0..20, "old").await;
    snapshots::load(&db, &snapshot.snapshot, 1, 1).unwrap();
    snapshots::switch(&db, &snapshot.snapshot, 1, 1).unwrap();
    drop((db, machine));

    let (db, machine) = open(to.path());
    assert_eq!(machine.reader().hash(), hash);
    let old = db
        .range(
            keys::STATE,
            &keys::generation(1, 0),
            &keys::generation(1, 1),
        )
        .count();
    assert_eq!(old, 0, "the old generation is deleted");
}

#[tokio::test]
async fn a_damaged_file_changes_nothing() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, _) = source(from.path()).await;
    let path = from.path().join("damaged.snap");
    let mut bytes = std::fs::read(snapshot.snapshot.path()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = SnapshotFile::open(&path).unwrap();

    let (db, mut machine) = open(to.path());
    apply(&mut machine, 0..20, "old").await;
    let hash = machine.reader().hash();
    let error = machine
        .install_snapshot(&snapshot.meta, damaged)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("corrupt"), "{error}");
    assert_eq!(machine.reader().hash(), hash);
    drop((db, machine));
    let (_db, machine) = open(to.path());
    assert_eq!(machine.reader().hash(), hash);
}

#[tokio::test]
async fn a_state_the_machine_refuses_is_an_error() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine) = open(dir.path());
    apply(&mut machine, 0..20, "old").await;
    let mut batch = rocksdb::WriteBatch::default();
    let key = keys::data(1, 0, b"broken");
    let value = crate::storage::record::seal(b"broken", b"no counter");
    batch.put_cf(db.cf(keys::STATE), key, value);
    db.write(batch).unwrap();
    drop((db, machine));
    let db = Db::open(dir.path()).unwrap();
    let snapshots = dir.path().join("snapshots");
    let opened = StateMachine::open(db, 1, snapshots, Box::new(Counter::default()));
    assert!(opened.err().unwrap().to_string().contains("eight bytes"));
}
