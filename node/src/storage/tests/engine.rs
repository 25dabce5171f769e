//! Either engine keeps what is written, and the one in memory loses what a crash would.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{identity, put_vote, term};
use crate::storage::keys::{self, LOG, META, STATE};
use crate::storage::{Batch, Db, Engine, Memory, Records, Rocks, Storage, StorageError};

/// What a test does to a storage and a directory of it.
fn on_both(test: impl Fn(&dyn Storage, &Path)) {
    for storage in [&Rocks as &dyn Storage, &Memory::new()] {
        let dir = TempDir::new().unwrap();
        test(storage, dir.path());
    }
}

fn put(engine: &dyn Engine, entries: &[(&'static str, &str, &str)]) {
    let mut batch = Batch::default();
    for (family, key, value) in entries {
        batch.put(family, *key, *value);
    }
    engine.write(batch).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn list(records: Records<'_>) -> String {
    let records = records.map(|record| {
        let (key, value) = record.unwrap();
        format!("{}={}", text(&key), text(&value))
    });
    records.collect::<Vec<_>>().join(" ")
}

fn all(engine: &dyn Engine, family: &str) -> String {
    list(engine.range(family, b"", b"~"))
}

#[test]
fn what_is_written_is_read_in_order_and_apart_by_family() {
    on_both(|storage, dir| {
        let engine = storage.open(dir, true).unwrap();
        put(
            &*engine,
            &[(STATE, "b", "2"), (STATE, "a", "1"), (LOG, "c", "3")],
        );
        assert_eq!(engine.get(STATE, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(engine.get(LOG, b"a").unwrap(), None);
        assert_eq!(all(&*engine, STATE), "a=1 b=2");
        assert_eq!(list(engine.range(STATE, b"a", b"b")), "a=1");
        assert_eq!(list(engine.range(STATE, b"aa", b"c")), "b=2");
        assert_eq!(list(engine.range(STATE, b"b", b"b")), "");
        assert_eq!(list(engine.range(STATE, b"c", b"a")), "");
        let last = |from: &[u8], to: &[u8]| {
            let found = engine.last(STATE, from, to).unwrap();
            found.map(|(key, _)| text(&key))
        };
        assert_eq!(last(b"", b"~").as_deref(), Some("b"));
        assert_eq!(last(b"", b"b").as_deref(), Some("a"));
        assert_eq!(last(b"", b"a"), None);
        assert_eq!(last(b"b", b"a"), None);
    });
}

#[test]
fn the_parts_of_a_batch_count_and_take_effect_in_their_order() {
    on_both(|storage, dir| {
        let engine = storage.open(dir, true).unwrap();
        let before = engine.sequence();
        put(
            &*engine,
            &[
                (STATE, "a", "1"),
                (STATE, "b", "1"),
                (STATE, "c", "1"),
                (STATE, "d", "1"),
            ],
        );
        let mut batch = Batch::default();
        batch.put(STATE, *b"bb", *b"2");
        batch.delete_range(STATE, *b"b", *b"d");
        batch.put(STATE, *b"c", *b"3");
        batch.delete(STATE, *b"a");
        batch.delete(STATE, *b"never there");
        batch.delete_range(STATE, *b"d", *b"d");
        engine.write(batch).unwrap();
        assert_eq!(all(&*engine, STATE), "c=3 d=1");
        assert_eq!(engine.sequence(), before + 10);
        engine.write(Batch::default()).unwrap();
        assert_eq!(engine.sequence(), before + 10);
        let mut batch = Batch::default();
        batch.delete_range(STATE, *b"d", *b"b");
        engine.write(batch).unwrap_err();
    });
}

#[test]
fn a_view_and_an_iterator_show_their_moment() {
    on_both(|storage, dir| {
        let engine = storage.open(dir, true).unwrap();
        put(&*engine, &[(STATE, "a", "1"), (STATE, "b", "1")]);
        let view = engine.view();
        let mut records = engine.range(STATE, b"", b"~");
        let first = records.next().unwrap().unwrap();
        assert_eq!(text(&first.0), "a");
        put(&*engine, &[(STATE, "aa", "2"), (STATE, "b", "2")]);
        assert_eq!(list(records), "b=1");
        assert_eq!(view.get(STATE, b"b").unwrap(), Some(b"1".to_vec()));
        assert_eq!(view.get(STATE, b"aa").unwrap(), None);
        assert_eq!(list(view.range(STATE, b"", b"~")), "a=1 b=1");
        assert_eq!(list(view.range(STATE, b"aa", b"~")), "b=1");
        assert_eq!(all(&*engine, STATE), "a=1 aa=2 b=2");
    });
}

#[test]
fn a_database_is_held_once_and_opens_again_as_it_was_left() {
    on_both(|storage, dir| {
        assert!(!storage.filled(dir));
        assert_eq!(storage.families(dir), None);
        let error = storage.open(dir, false).err().unwrap();
        assert!(matches!(error, StorageError::Database { .. }), "{error}");

        let engine = storage.open(dir, true).unwrap();
        put(&*engine, &[(STATE, "a", "1")]);
        engine.push().unwrap();
        let sequence = engine.sequence();
        let error = storage.open(dir, true).err().unwrap();
        assert!(matches!(error, StorageError::Held { .. }), "{error}");
        drop(engine);

        assert!(storage.filled(dir));
        assert_eq!(storage.missing(dir), None);
        assert!(!storage.logs(dir).unwrap().is_empty());
        let families = storage.families(dir).unwrap();
        assert_eq!(families, keys::FAMILIES.map(str::to_owned).into());
        let engine = storage.open(dir, false).unwrap();
        assert_eq!(all(&*engine, STATE), "a=1");
        assert_eq!(engine.sequence(), sequence);
    });
}

#[test]
fn a_crash_leaves_what_was_synced_and_a_kill_what_was_pushed() {
    let dir = Path::new("anywhere");
    let found = |end: fn(&Memory) -> Memory| {
        let memory = Memory::new();
        let engine = memory.open(dir, true).unwrap();
        put(&*engine, &[(STATE, "a", "1"), (META, "m", "1")]);
        engine.sync().unwrap();
        put(&*engine, &[(STATE, "a", "2")]);
        engine.push().unwrap();
        let mut batch = Batch::default();
        batch.delete_range(STATE, *b"a", *b"b");
        engine.write(batch).unwrap();
        assert_eq!(all(&*engine, STATE), "");

        let after = end(&memory);
        // What still runs reaches nothing any more.
        engine.sync().unwrap_err();
        engine.push().unwrap_err();
        engine.write(Batch::default()).unwrap_err();
        drop(engine);
        let engine = after.open(dir, false).unwrap();
        assert_eq!(all(&*engine, META), "m=1");
        (all(&*engine, STATE), engine.sequence())
    };
    assert_eq!(found(Memory::crash), ("a=1".to_owned(), 2));
    assert_eq!(found(Memory::kill), ("a=2".to_owned(), 3));
}

#[test]
fn a_database_in_memory_passes_the_checks_of_its_directory() {
    let dir = TempDir::new().unwrap();
    let memory = Memory::new();
    let open = |memory: &Memory| {
        let db = Db::open(memory, dir.path())?;
        db.claim(&identity("blue", 1))?;
        Ok::<Arc<Db>, StorageError>(db)
    };
    let db = open(&memory).unwrap();
    put_vote(&db, 1);
    db.sync_blocking().unwrap();
    put_vote(&db, 2);
    let after = memory.crash();
    let error = db.sync_blocking().unwrap_err();
    assert!(matches!(error, StorageError::SyncFailed { .. }), "{error}");
    drop(db);

    let db = open(&after).unwrap();
    assert_eq!(term(&db), Some(1));
    put_vote(&db, 3);
    drop(db);
    let db = open(&after).unwrap();
    assert_eq!(term(&db), Some(3), "closing syncs");
    let error = db.claim(&identity("blue", 2)).unwrap_err();
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    drop(db);

    // A disk that came back without what it had acknowledged, and one that came back empty.
    let error = open(&memory.crash()).err().unwrap();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("in memory"), "{error}");
    let error = open(&Memory::new()).err().unwrap();
    assert!(matches!(error, StorageError::Lost { .. }), "{error}");
}
