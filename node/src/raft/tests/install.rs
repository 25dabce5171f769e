//! Installing a snapshot: whole, or not at all.

use std::path::Path;

use openraft::storage::{RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use tempfile::TempDir;

use super::Counter;
use super::store::{apply, open};
use crate::raft::log_store::LogStore;
use crate::raft::snapshots::{self, SnapshotDir};
use crate::raft::state_machine::{StateMachine, StoredSnapshot};
use crate::storage::keys;
use crate::storage::snapshot::{SnapshotFile, Temporary};
use crate::storage::{Batch, Db, Rocks};

/// A snapshot of a state of its own, 500 entries far.
async fn source(dir: &Path) -> (StoredSnapshot, (u64, u64)) {
    let (db, mut machine) = open(dir);
    apply(&db, &mut machine, 0..501, "new").await;
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    // The view is of the moment the builder was made.
    let hash = machine.reader().hash();
    apply(&db, &mut machine, 501..502, "later").await;
    (builder.build_snapshot().await.unwrap(), hash)
}

#[tokio::test]
async fn a_snapshot_replaces_state_and_history_and_lasts() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, hash) = source(from.path()).await;
    assert_eq!(hash.0, 500);

    let (db, mut machine) = open(to.path());
    apply(&db, &mut machine, 0..20, "old").await;
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

    LogStore::new(db.clone(), 1)
        .purge(snapshot.meta.last_log_id.unwrap())
        .await
        .unwrap();
    apply(&db, &mut machine, 501..510, "after").await;
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
    apply(&db, &mut machine, 0..20, "old").await;
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
    apply(&db, &mut machine, 0..20, "old").await;
    snapshots::load(&db, &snapshot.snapshot, 1, 1).unwrap();
    let dir = SnapshotDir::new(to.path().join("snapshots"), 1);
    let adopted = dir.adopt(&snapshot.snapshot).unwrap();
    snapshots::switch(&db, &adopted, 1, 1).unwrap();
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
    apply(&db, &mut machine, 0..20, "old").await;
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
    apply(&db, &mut machine, 0..20, "old").await;
    let mut batch = Batch::default();
    let key = keys::data(1, 0, b"broken");
    let value = crate::storage::record::seal(b"broken", b"no counter");
    batch.put(keys::STATE, key, value);
    db.write(batch).unwrap();
    drop((db, machine));
    let db = Db::open(&Rocks, dir.path()).unwrap();
    let snapshots = dir.path().join("snapshots");
    let opened = StateMachine::open(db, 1, snapshots, Box::new(Counter::default()));
    assert!(opened.err().unwrap().to_string().contains("eight bytes"));
}

#[tokio::test]
async fn an_install_keeps_its_file_whatever_becomes_of_the_call_that_brought_it() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, hash) = source(from.path()).await;
    let (_db, mut machine) = open(to.path());
    let incoming = machine.reader().incoming_snapshot();
    let path = incoming.path().to_owned();
    std::fs::copy(snapshot.snapshot.path(), &path).unwrap();
    let file = SnapshotFile::open_temporary(incoming).unwrap();
    let call = file.clone();
    let install = machine.install_snapshot(&snapshot.meta, file);
    drop(call);
    install.await.unwrap();
    assert_eq!(machine.reader().hash(), hash);
    assert!(!path.exists());
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert!(current.snapshot.path().exists(), "it has its own name now");
}

#[tokio::test]
async fn a_file_removed_under_an_install_is_written_anew() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, hash) = source(from.path()).await;
    let (db, mut machine) = open(to.path());
    let incoming = to.path().join("snapshots/1-incoming-99.tmp");
    std::fs::copy(snapshot.snapshot.path(), &incoming).unwrap();
    let file = SnapshotFile::open_temporary(Temporary::new(incoming.clone())).unwrap();
    std::fs::remove_file(incoming).unwrap();
    machine
        .install_snapshot(&snapshot.meta, file)
        .await
        .unwrap();
    assert_eq!(machine.reader().hash(), hash);
    drop((db, machine));
    let (_db, mut machine) = open(to.path());
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, snapshot.meta);
}
