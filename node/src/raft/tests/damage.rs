//! A log that is not whole is found out before a node takes part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::store::{append, apply, entry, open, try_open};
use super::{Counter, add};
use crate::raft::log_store::LogStore;
use crate::raft::types::{LogId, Vote};
use crate::raft::{Group, StartError};
use crate::storage::{Batch, Db, Rocks, StorageError, keys};

/// A node with entries 0 to 20, the first 15 of them applied, those up to `purged` deleted.
async fn node(dir: &Path, purged: Option<u64>) {
    let (db, mut machine) = open(dir);
    apply(&db, &mut machine, 0..15, "a").await;
    append(&db, (15..=20).map(|index| entry(2, index, "a"))).await;
    if let Some(purged) = purged {
        let mut log = LogStore::new(db, 1);
        log.purge(LogId::new(1.into(), purged)).await.unwrap();
    }
}

fn delete(db: &Db, index: u64) {
    let mut batch = Batch::default();
    batch.delete(keys::LOG, keys::log(1, index));
    db.write(batch).unwrap();
}

/// What the start says after `damage`.
async fn refusal(purged: Option<u64>, damage: impl AsyncFnOnce(Arc<Db>)) -> String {
    let dir = TempDir::new().unwrap();
    node(dir.path(), purged).await;
    damage(Db::open(&Rocks, dir.path()).unwrap()).await;
    let error = try_open(dir.path()).err().unwrap().to_string();
    assert!(
        error.contains("corrupt") && error.contains("/db"),
        "{error}"
    );
    error
}

#[tokio::test]
async fn a_log_with_a_hole_is_refused() {
    for (purged, hole) in [(None, 0), (None, 7), (Some(5), 6), (Some(5), 12)] {
        let error = refusal(purged, async |db| delete(&db, hole)).await;
        assert!(
            error.contains(&format!("entry {hole} is missing")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_damaged_entry_is_refused_wherever_it_is() {
    for index in [0, 9, 20] {
        let error = refusal(None, async |db| {
            let key = keys::log(1, index);
            let found = db.range(keys::LOG, &key, &keys::log_end(1)).next();
            let mut value = found.unwrap().unwrap().1;
            *value.last_mut().unwrap() ^= 1;
            let mut batch = Batch::default();
            batch.put(keys::LOG, key, value);
            db.write(batch).unwrap();
        })
        .await;
        assert!(error.contains("a log entry"), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_does_not_fit_itself_or_the_state_is_refused() {
    let error = refusal(None, async |db| append(&db, [entry(1, 20, "a")]).await).await;
    assert!(error.contains("earlier term"), "{error}");
    // The last entry applied is another one in the log.
    let error = refusal(None, async |db| append(&db, [entry(2, 14, "a")]).await).await;
    assert!(error.contains("not the one"), "{error}");
    // The log ends before the state.
    let error = refusal(None, async |db| (12..=20).for_each(|i| delete(&db, i))).await;
    assert!(error.contains("ends at 11"), "{error}");
    // The log begins after the state.
    let error = refusal(Some(5), async |db| {
        let id = LogId::new(2.into(), 17);
        LogStore::new(db, 1).purge(id).await.unwrap();
    })
    .await;
    assert!(error.contains("stands at 14"), "{error}");
}

#[tokio::test]
async fn a_reader_is_not_given_a_range_with_a_hole_at_its_start() {
    let dir = TempDir::new().unwrap();
    node(dir.path(), Some(5)).await;
    let (db, _machine) = open(dir.path());
    let mut log = LogStore::new(db.clone(), 1);
    // What is deleted on purpose is not missing.
    let entries = log.try_get_log_entries(0..9).await.unwrap();
    assert_eq!(entries.first().unwrap().log_id.index, 6);
    delete(&db, 8);
    for range in [8..12, 7..12] {
        let error = log.try_get_log_entries(range).await.unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
    let entries = log.try_get_log_entries(9..12).await.unwrap();
    assert_eq!(entries.len(), 3);
}

#[tokio::test]
async fn one_read_fits_one_message_of_a_slow_link() {
    let dir = TempDir::new().unwrap();
    let (db, _machine) = open(dir.path());
    let name = "n".repeat(100 << 10);
    append(&db, (0..=9).map(|index| entry(1, index, &name))).await;
    let huge = "n".repeat(1 << 20);
    append(&db, (10..=11).map(|index| entry(1, index, &huge))).await;
    let mut log = LogStore::new(db, 1);
    // The first one names the members, and is short.
    assert_eq!(log.limited_get_log_entries(0, 12).await.unwrap().len(), 3);
    assert_eq!(log.limited_get_log_entries(1, 12).await.unwrap().len(), 2);
    let one = log.limited_get_log_entries(10, 12).await.unwrap();
    assert_eq!(one.len(), 1, "what is longer travels alone");
}

/// The one write-ahead log of a database.
fn wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("db")).unwrap();
    let logs = files.map(|file| file.unwrap().path());
    let mut logs = logs.filter(|path| path.extension().is_some_and(|e| e == "log"));
    logs.next().unwrap()
}

#[tokio::test]
async fn a_node_with_a_damaged_log_does_not_start() {
    let mut cluster = Cluster::new(1).await;
    for _ in 0..20 {
        cluster.propose(&add("a", 1)).await;
    }
    cluster.kill(1).await;
    let config = cluster.config(1);
    let path = wal(&config.data_dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let started = Group::start(config, Counter::default()).await;
    let error = started.err().unwrap();
    assert!(
        matches!(&error, StartError::Storage(StorageError::Corrupt { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("write-ahead log"), "{error}");
}

#[tokio::test]
async fn a_torn_end_of_the_log_costs_nothing_that_was_synced() {
    let source = TempDir::new().unwrap();
    let (db, mut machine) = open(source.path());
    let vote = Vote::new(3, 1);
    LogStore::new(db.clone(), 1).save_vote(&vote).await.unwrap();
    apply(&db, &mut machine, 0..11, "a").await;
    db.synced().await.unwrap();
    let number = std::fs::read(source.path().join("synced")).unwrap();
    let synced = std::fs::read(wal(source.path())).unwrap().len();
    for index in 11..21 {
        apply(&db, &mut machine, index..index + 1, "a").await;
    }
    db.synced().await.unwrap();

    // As a power loss would leave it: the end of the log written in part or not at all.
    let whole = std::fs::read(wal(source.path())).unwrap();
    let open_torn = async |bytes: &[u8]| {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("db")).unwrap();
        for file in std::fs::read_dir(source.path().join("db")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join("db").join(file.file_name())).unwrap();
        }
        let identity = source.path().join("IDENTITY");
        std::fs::copy(identity, dir.path().join("IDENTITY")).unwrap();
        std::fs::write(dir.path().join("synced"), &number).unwrap();
        std::fs::write(wal(dir.path()), bytes).unwrap();
        let (db, mut machine) = open(dir.path());
        let mut log = LogStore::new(db, 1);
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        let last = log.get_log_state().await.unwrap().last_log_id.unwrap();
        let entries = log.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries.len() as u64, last.index + 1);
        let (applied, _) = machine.applied_state().await.unwrap();
        assert!(applied.unwrap().index >= 10 && applied <= Some(last));
        last.index
    };
    assert_eq!(open_torn(&whole).await, 20);
    let mut ends = std::collections::BTreeSet::new();
    for cut in (synced..whole.len()).step_by(149) {
        let mut bytes = whole[..cut].to_vec();
        ends.insert(open_torn(&bytes).await);
        bytes.resize(whole.len(), 0);
        open_torn(&bytes).await;
        let mut bytes = whole.clone();
        bytes[cut..].iter_mut().for_each(|byte| *byte ^= 0x5a);
        open_torn(&bytes).await;
    }
    assert_eq!(ends.first(), Some(&10));
    assert!(ends.len() > 5, "{ends:?}");
}
