//! The past: lived through again, bounded, and never taken from entries that were not applied.

use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use tempfile::TempDir;

use super::store::{append, apply, entry, open};
use super::{Counter, add};
use crate::raft::log_store::LogStore;
use crate::raft::machine::Machine;
use crate::raft::past::{Past, PastError};
use crate::raft::state_machine::StateMachine;
use crate::storage::{Db, keys};

const PLENTY: u64 = 1 << 30;

/// A node that keeps the past, with its log.
fn keeping(dir: &Path, bytes: u64) -> (Arc<Db>, StateMachine, LogStore) {
    let (db, machine) = open(dir);
    let log = LogStore::new(db.clone(), 1);
    machine.keep_past(&log, bytes);
    (db, machine, log)
}

/// A snapshot of this moment, after which Raft has done with the log up to it.
async fn snapshot(machine: &mut StateMachine, log: &mut LogStore) {
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    let built = builder.build_snapshot().await.unwrap();
    log.purge(built.meta.last_log_id.unwrap()).await.unwrap();
}

/// A node that keeps the past, with snapshots at 200 and 400.
async fn two_snapshots(dir: &Path) -> (Arc<Db>, StateMachine, LogStore) {
    let (db, mut machine, mut log) = keeping(dir, PLENTY);
    apply(&db, &mut machine, 0..201, "a").await;
    snapshot(&mut machine, &mut log).await;
    apply(&db, &mut machine, 201..401, "a").await;
    snapshot(&mut machine, &mut log).await;
    (db, machine, log)
}

/// The hash that the state had at an index, as the past tells it.
fn hash_then(past: &Past, index: u64) -> Result<u64, PastError> {
    let mut state = Counter::default();
    let mut commands = Vec::new();
    past.relive(
        index,
        index,
        |entries| state.restore(entries),
        |at, command| {
            commands.push((at, command.to_vec()));
            Ok(true)
        },
    )?;
    for (at, command) in commands {
        state.apply(at, &command);
    }
    Ok(state.hash())
}

/// The hash that a state without any past has there.
fn hash_of(indexes: std::ops::RangeInclusive<u64>, name: &str) -> u64 {
    let mut state = Counter::default();
    for index in indexes {
        state.apply(index, &add(&format!("{name}{}", index % 100), index));
    }
    state.hash()
}

#[tokio::test]
async fn every_moment_since_the_beginning_can_be_lived_through_again() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine, mut log) = two_snapshots(dir.path()).await;
    apply(&db, &mut machine, 401..450, "a").await;
    let check = |machine: &StateMachine| {
        let reader = machine.reader();
        let past = reader.past().unwrap();
        assert_eq!(past.oldest().unwrap(), Some(1));
        for index in [1, 7, 199, 200, 201, 399, 400, 401, 449] {
            assert_eq!(hash_then(past, index).unwrap(), hash_of(1..=index, "a"));
        }
        let beyond = hash_then(past, 450);
        assert!(matches!(beyond, Err(PastError::NotKept(_))), "{beyond:?}");
        let (index, _) = past.command(150, 449).unwrap().unwrap();
        assert_eq!(index, 150);
    };
    check(&machine);
    // Raft sees none of it.
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id.unwrap().index, 400);
    drop((db, machine, log));
    let (_db, machine, _log) = keeping(dir.path(), PLENTY);
    check(&machine);
}

#[tokio::test]
async fn the_oldest_goes_first_and_without_room_nothing_is_kept() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine, mut log) = keeping(dir.path(), PLENTY);
    for round in 0..6 {
        let from = if round == 0 { 0 } else { 1 + round * 200 };
        apply(&db, &mut machine, from..(round + 1) * 200 + 1, "a").await;
        snapshot(&mut machine, &mut log).await;
    }
    let whole = machine.reader().past().unwrap().bytes().unwrap();
    drop((db, machine, log));

    let (db, machine, log) = keeping(dir.path(), whole / 2);
    let reader = machine.reader();
    let past = reader.past().unwrap();
    let oldest = past.oldest().unwrap().unwrap();
    assert!((400..1200).contains(&oldest), "{oldest}");
    assert!(past.bytes().unwrap() <= whole / 2);
    assert_eq!(log.trimmed().unwrap(), oldest);
    assert_eq!(hash_then(past, oldest).unwrap(), hash_of(1..=oldest, "a"));
    assert_eq!(hash_then(past, 1150).unwrap(), hash_of(1..=1150, "a"));
    let gone = hash_then(past, oldest - 1).unwrap_err();
    assert!(gone.to_string().contains(&oldest.to_string()), "{gone}");
    drop((db, machine, reader, log));

    let (_db, machine, log) = keeping(dir.path(), 0);
    assert_eq!(machine.reader().past().unwrap().oldest().unwrap(), None);
    assert_eq!(log.trimmed().unwrap(), 1200);
    let left = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
    let left = left.filter(|f| f.as_ref().unwrap().path().extension().unwrap() == "past");
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn entries_that_were_never_applied_are_no_past() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (db, mut leader, mut log) = keeping(from.path(), PLENTY);
    apply(&db, &mut leader, 0..501, "b").await;
    let mut builder = leader.try_create_snapshot_builder(true).await.unwrap();
    let snapshot_500 = builder.build_snapshot().await.unwrap();
    log.purge(snapshot_500.meta.last_log_id.unwrap())
        .await
        .unwrap();

    // It has entries of a leader that lost its office, up to past where the snapshot stands.
    let (db, mut machine, mut log) = keeping(to.path(), PLENTY);
    apply(&db, &mut machine, 0..20, "b").await;
    append(&db, (20..600).map(|index| entry(0, index, "lost"))).await;
    let meta = &snapshot_500.meta;
    let file = snapshot_500.snapshot;
    machine.install_snapshot(meta, file).await.unwrap();
    log.truncate_after(meta.last_log_id).await.unwrap();
    log.purge(meta.last_log_id.unwrap()).await.unwrap();
    let reader = machine.reader();
    let past = reader.past().unwrap();
    assert_eq!(past.oldest().unwrap(), Some(500));
    assert_eq!(hash_then(past, 500).unwrap(), hash_of(1..=500, "b"));
    let lost = hash_then(past, 100);
    assert!(matches!(lost, Err(PastError::NotKept(_))), "{lost:?}");
    apply(&db, &mut machine, 501..510, "b").await;
    assert_eq!(hash_then(past, 505).unwrap(), hash_of(1..=505, "b"));
}

#[tokio::test]
async fn damage_costs_the_past_alone_and_it_begins_anew() {
    let dir = TempDir::new().unwrap();
    let (db, machine, log) = two_snapshots(dir.path()).await;
    drop((db, machine, log));
    let bases = || {
        let files = std::fs::read_dir(dir.path().join("snapshots")).unwrap();
        let paths = files.map(|f| f.unwrap().path());
        let mut bases: Vec<_> = paths.filter(|p| p.extension().unwrap() == "past").collect();
        bases.sort();
        bases
    };
    assert_eq!(bases().len(), 2);
    std::fs::write(&bases()[1], b"no snapshot").unwrap();

    // It starts, and keeps what the snapshot of today shows.
    let (db, mut machine, mut log) = keeping(dir.path(), PLENTY);
    let reader = machine.reader();
    let past = reader.past().unwrap();
    assert_eq!(past.oldest().unwrap(), Some(400));
    assert_eq!(log.trimmed().unwrap(), 400);
    assert_eq!(hash_then(past, 400).unwrap(), hash_of(1..=400, "a"));
    apply(&db, &mut machine, 401..601, "a").await;
    snapshot(&mut machine, &mut log).await;
    assert_eq!(hash_then(past, 555).unwrap(), hash_of(1..=555, "a"));
    assert_eq!(bases().len(), 2);

    // An entry that Raft has done with reads back as something else: the next snapshot gives the past up and begins anew.
    let mut batch = crate::storage::Batch::default();
    batch.put(keys::LOG, keys::log(1, 601), b"nonsense".to_vec());
    apply(&db, &mut machine, 602..651, "a").await;
    db.write(batch).unwrap();
    snapshot(&mut machine, &mut log).await;
    let lost = hash_then(past, 555);
    assert!(matches!(lost, Err(PastError::NotKept(_))), "{lost:?}");
    assert_eq!(
        log.trimmed().unwrap(),
        650,
        "nothing is kept for a past with a hole"
    );
}
