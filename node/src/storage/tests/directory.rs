//! What is not this node's whole database is never taken for one, nor for a new one.

use std::collections::BTreeMap;
use std::path::Path;

use meridian_proto::log::v1 as pb;
use tempfile::TempDir;

use super::{identity, put_vote, term};
use crate::storage::identity::State;
use crate::storage::keys::{self, Meta};
use crate::storage::rocks::foreign;
use crate::storage::{Batch, Db, Rocks, StorageError};

fn mine() -> pb::Identity {
    identity("blue", 1)
}

/// A claimed directory with a vote in it.
fn claimed() -> TempDir {
    let dir = TempDir::new().unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    db.claim(&mine()).unwrap();
    put_vote(&db, 3);
    dir
}

fn refused(dir: &Path) -> StorageError {
    let db = Db::open(&Rocks, dir).and_then(|db| db.claim(&mine()));
    db.expect_err("the directory is not to be trusted")
}

fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    files
        .filter(|file| file.path().is_file())
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, std::fs::read(file.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_directory_with_other_files_is_refused() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("letters.txt"), "dear").unwrap();
    let text = refused(dir.path()).to_string();
    assert!(text.contains("letters.txt"), "{text}");
    assert!(!dir.path().join("db").exists(), "nothing is changed");
}

#[test]
fn a_lost_database_is_never_made_anew() {
    let dir = claimed();
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    for _ in 0..2 {
        let error = refused(dir.path());
        assert!(matches!(error, StorageError::Lost { .. }), "{error}");
        assert!(error.to_string().contains("IDENTITY"), "{error}");
    }
}

#[test]
fn a_lost_database_is_never_made_anew_beside_its_snapshots() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir_all(dir.path().join("snapshots")).unwrap();
    std::fs::write(dir.path().join("snapshots/1-1.snap"), b"x").unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, StorageError::Lost { .. }), "{error}");
}

#[test]
fn a_database_without_one_of_its_parts_is_refused() {
    for part in ["db/CURRENT", "synced", "IDENTITY"] {
        let dir = claimed();
        std::fs::remove_file(dir.path().join(part)).unwrap();
        let error = refused(dir.path());
        assert!(matches!(error, StorageError::Incomplete { .. }), "{error}");
        let name = part.trim_start_matches("db/");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_damaged_file_beside_the_database_is_named() {
    for name in ["synced", "IDENTITY"] {
        let dir = claimed();
        let path = dir.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = refused(dir.path());
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_missing_log_is_no_empty_one() {
    let dir = claimed();
    for file in std::fs::read_dir(dir.path().join("db")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = refused(dir.path());
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("db");
    foreign(&db);
    let before = content(&db);
    let error = refused(dir.path());
    assert!(matches!(error, StorageError::Strange { .. }), "{error}");
    assert_eq!(content(&db), before);
    assert_eq!(content(dir.path()), BTreeMap::new());

    let dir = claimed();
    let db = dir.path().join("db");
    std::fs::remove_dir_all(&db).unwrap();
    foreign(&db);
    let before = content(&db);
    let error = refused(dir.path());
    assert!(matches!(error, StorageError::Strange { .. }), "{error}");
    assert_eq!(content(&db), before);
}

#[test]
fn a_database_that_does_not_say_whose_it_is_is_refused() {
    let dir = claimed();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    let mut batch = Batch::default();
    batch.delete(keys::META, Meta::Identity.key(1));
    db.write(batch).unwrap();
    drop(db);
    let error = refused(dir.path());
    assert!(matches!(error, StorageError::Incomplete { .. }), "{error}");
    assert!(error.to_string().contains("identity record"), "{error}");
}

#[test]
fn a_crash_while_a_directory_is_made_does_no_harm() {
    // Before the database was there.
    let dir = TempDir::new().unwrap();
    crate::storage::identity::write(dir.path(), None).unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    db.claim(&mine()).unwrap();
    put_vote(&db, 3);
    drop(db);
    // Between the record in the database and the file beside it.
    crate::storage::identity::write(dir.path(), None).unwrap();
    std::fs::write(dir.path().join("IDENTITY.tmp"), b"half").unwrap();
    let db = Db::open(&Rocks, dir.path()).unwrap();
    db.claim(&mine()).unwrap();
    assert_eq!(term(&db), Some(3));
    drop(db);
    let state = crate::storage::identity::read(dir.path()).unwrap();
    assert_eq!(state, State::Claimed(mine()));
}
