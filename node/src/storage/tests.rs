//! The database against damage and misuse.

mod crash;
mod directory;
mod engine;

use std::path::{Path, PathBuf};

use meridian_proto::log::v1 as pb;
use tempfile::TempDir;

use super::keys::{self, Meta};
use super::snapshot::{SnapshotFile, SnapshotWriter, Temporary};
use super::{Batch, Db, Rocks, StorageError, record};

fn identity(cluster: &str, node_id: u64) -> pb::Identity {
    pb::Identity {
        cluster_id: cluster.to_owned(),
        node_id,
        group: 1,
    }
}

fn put_vote(db: &Db, term: u64) {
    let vote = pb::Vote {
        term,
        node_id: 1,
        committed: false,
    };
    let mut batch = Batch::default();
    db.put_meta(&mut batch, 1, Meta::Vote, &vote);
    db.write(batch).unwrap();
}

fn term(db: &Db) -> Option<u64> {
    let vote: Option<pb::Vote> = db.meta(1, Meta::Vote).unwrap();
    vote.map(|vote| vote.term)
}

fn newest(dir: &Path, extension: &str) -> PathBuf {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .max()
        .unwrap()
}

#[test]
fn a_held_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let first = Db::open(&Rocks, dir.path()).unwrap();
    let error = Db::open(&Rocks, dir.path()).err().unwrap();
    assert!(matches!(error, StorageError::Held { .. }), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    Db::open(&Rocks, dir.path()).unwrap();
}

#[test]
fn another_nodes_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    db.claim(&identity("blue", 1)).unwrap();
    drop(db);
    let db = Db::open(&Rocks, dir.path()).unwrap();
    db.claim(&identity("blue", 1)).unwrap();
    for other in [identity("green", 1), identity("blue", 2)] {
        let error = db.claim(&other).unwrap_err();
        assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_corrupt_or_newer_value_is_named() {
    let dir = TempDir::new().unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    let key = Meta::Vote.key(1);
    let put = |value: &[u8]| {
        let mut batch = Batch::default();
        batch.put(keys::META, key.clone(), value);
        db.write(batch).unwrap();
        db.meta::<pb::Vote>(1, Meta::Vote).unwrap_err()
    };

    let mut value = record::seal(&key, b"\x08\x01");
    *value.last_mut().unwrap() ^= 0x40;
    let error = put(&value);
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("vote") && text.contains("/db"), "{text}");
    assert!(text.contains("as a learner"), "{text}");

    let mut value = record::seal(&key, b"\x08\x01");
    value[0] = record::FORMAT + 1;
    let error = put(&value);
    assert!(matches!(error, StorageError::NewerFormat { .. }), "{error}");
}

#[test]
fn many_callers_are_answered_in_order() {
    let dir = TempDir::new().unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    let (sender, answers) = std::sync::mpsc::channel();
    for number in 0..100 {
        put_vote(&db, number);
        let sender = sender.clone();
        db.on_synced(Box::new(move |result| {
            result.unwrap();
            sender.send(number).unwrap();
        }));
    }
    drop(sender);
    let order: Vec<u64> = answers.iter().collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

fn write_snapshot(dir: &Path) -> SnapshotFile {
    let header = pb::SnapshotHeader {
        group: 1,
        ..pb::SnapshotHeader::default()
    };
    let temporary = Temporary::new(dir.join("1.tmp"));
    let mut writer = SnapshotWriter::create(&dir.join("1.snap"), temporary, &header).unwrap();
    for number in 0..20_000_u32 {
        let key = number.to_be_bytes();
        writer.add(pb::Family::State, &key, &[7; 30]).unwrap();
    }
    writer.add(pb::Family::History, b"h", b"").unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_snapshot_reads_back_in_frames() {
    let dir = TempDir::new().unwrap();
    let file = write_snapshot(dir.path());
    let mut counts = Vec::new();
    file.read(|records| {
        counts.push((records.family(), records.records.len()));
        Ok(())
    })
    .unwrap();
    assert!(counts.len() > 2, "{counts:?}");
    assert_eq!(counts.pop(), Some((pb::Family::History, 1)));
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), 20_000);
}

#[test]
fn a_damaged_snapshot_is_found_out_wherever_it_is_damaged() {
    let dir = TempDir::new().unwrap();
    let file = write_snapshot(dir.path());
    let bytes = std::fs::read(file.path()).unwrap();
    let bad = dir.path().join("bad.snap");
    let refused = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        SnapshotFile::open(&bad)
            .and_then(|file| file.read(|_| Ok(())))
            .is_err()
    };
    assert!(!refused(&bytes));
    for at in (0..bytes.len()).step_by(9_973).chain([bytes.len() - 1]) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        assert!(refused(&bytes), "byte {at}");
    }
    for length in [0, 5, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(refused(&bytes[..length]), "cut to {length}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(refused(&longer));
}

#[test]
fn a_snapshot_given_up_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let temporary = dir.path().join("1.tmp");
    // Every write to it fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let header = pb::SnapshotHeader::default();
    let (target, temporary) = (dir.path().join("1.snap"), Temporary::new(temporary));
    let writer = SnapshotWriter::create(&target, temporary, &header).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_came_in_stays_for_as_long_as_somebody_holds_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("in.tmp");
    std::fs::copy(write_snapshot(dir.path()).path(), &path).unwrap();
    let first = SnapshotFile::open_temporary(Temporary::new(path.clone())).unwrap();
    let second = first.clone();
    drop(first);
    assert!(path.exists());
    second.read(|_| Ok(())).unwrap();
    drop(second);
    assert!(!path.exists());
}
