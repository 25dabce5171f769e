//! What was synced is there or is missed; what was not may be torn, and costs nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{newest, put_vote, term};
use crate::storage::synced::Synced;
use crate::storage::{Batch, Db, Rocks, StorageError, keys};

/// The directory in which this very test binary is to play the process that is killed.
const ROLE: &str = "MERIDIAN_TEST_KILLED_IN";
const MARK: &[u8] = b"the last thing this process wrote";

fn votes(dir: &Path, terms: std::ops::RangeInclusive<u64>) {
    let db = Db::open(&Rocks, dir).unwrap();
    for term in terms {
        put_vote(&db, term);
        db.sync_blocking().unwrap();
    }
}

/// Runs the calling test once more, in a process of its own that works in `dir`.
fn again(dir: &Path, stdout: Stdio) -> Child {
    let name = std::thread::current().name().unwrap().to_owned();
    Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(ROLE, dir)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .spawn()
        .unwrap()
}

fn log_of(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let log = newest(&dir.join("db"), "log");
    let bytes = std::fs::read(&log).unwrap();
    (log, bytes)
}

#[test]
fn damage_to_what_was_synced_is_refused() {
    let damaged = |damage: &dyn Fn(&mut Vec<u8>)| {
        let dir = TempDir::new().unwrap();
        votes(dir.path(), 1..=20);
        let (log, mut bytes) = log_of(dir.path());
        damage(&mut bytes);
        std::fs::write(&log, bytes).unwrap();
        // The first attempt recovers what it can; that must not convince the second one.
        for attempt in 0..2 {
            let error = Db::open(&Rocks, dir.path()).err().unwrap();
            assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
            assert!(text.contains("remove this node"), "{text}");
            let name = log.file_name().unwrap().to_str().unwrap();
            assert!(attempt > 0 || text.contains(name), "{text}");
        }
    };
    damaged(&|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    damaged(&|bytes| bytes[10] ^= 1);
    damaged(&|bytes| bytes.truncate(bytes.len() - 3));
    damaged(&|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..].fill(0);
    });
    damaged(&Vec::clear);
}

#[test]
fn a_torn_end_that_was_never_synced_is_cut_off() {
    let image = |damage: &dyn Fn(&mut Vec<u8>, usize)| {
        let dir = TempDir::new().unwrap();
        votes(dir.path(), 1..=3);
        let db = Db::open(&Rocks, dir.path()).unwrap();
        put_vote(&db, 4);
        db.sync_blocking().unwrap();
        // As after a power loss: the end of the log reached the disk only in part, and the number
        // beside it is that of the last sync.
        let number = std::fs::read(dir.path().join("synced")).unwrap();
        let synced = log_of(dir.path()).1.len();
        put_vote(&db, 5);
        put_vote(&db, 6);
        drop(db);
        std::fs::write(dir.path().join("synced"), number).unwrap();
        let (log, mut bytes) = log_of(dir.path());
        assert!(bytes.len() > synced + 20);
        damage(&mut bytes, synced);
        std::fs::write(log, bytes).unwrap();
        let found = term(&Db::open(&Rocks, dir.path()).unwrap()).unwrap();
        // And nothing is held against it later.
        assert_eq!(term(&Db::open(&Rocks, dir.path()).unwrap()), Some(found));
        found
    };
    assert_eq!(image(&|_, _| {}), 6);
    assert_eq!(image(&|bytes, _| bytes.truncate(bytes.len() - 3)), 5);
    assert_eq!(image(&|bytes, synced| bytes.truncate(synced + 9)), 4);
    assert_eq!(image(&|bytes, synced| bytes.truncate(synced)), 4);
    assert_eq!(image(&|bytes, synced| bytes[synced..].fill(0)), 4);
    assert_eq!(image(&|bytes, synced| bytes[synced..].fill(0xa5)), 4);
    assert_eq!(image(&|bytes, synced| bytes[synced + 12] ^= 1), 4);
}

#[test]
fn an_older_number_beside_the_log_is_no_damage() {
    let dir = TempDir::new().unwrap();
    votes(dir.path(), 1..=3);
    let older = std::fs::read(dir.path().join("synced")).unwrap();
    votes(dir.path(), 4..=6);
    std::fs::write(dir.path().join("synced"), older).unwrap();
    assert_eq!(term(&Db::open(&Rocks, dir.path()).unwrap()), Some(6));
}

#[test]
fn what_was_written_out_of_the_log_is_not_missed() {
    let dir = TempDir::new().unwrap();
    for round in 0..3 {
        let db = Db::open(&Rocks, dir.path()).unwrap();
        put_vote(&db, round);
        let mut batch = Batch::default();
        batch.delete(keys::LOG, b"never there");
        batch.delete_range(keys::HISTORY, b"a".as_slice(), b"b".as_slice());
        db.write(batch).unwrap();
        db.sync_blocking().unwrap();
        db.write_out().unwrap();
        drop(db);
        // Nothing new in the log: all of it stands in files.
        assert_eq!(term(&Db::open(&Rocks, dir.path()).unwrap()), Some(round));
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    if let Some(dir) = std::env::var_os(ROLE) {
        let db = Db::open(&Rocks, Path::new(&dir)).unwrap();
        for next in term(&db).unwrap_or(0) + 1.. {
            put_vote(&db, next);
            db.sync_blocking().unwrap();
            // Past the test's own capture of what is printed.
            writeln!(std::io::stdout().lock(), "\nacknowledged {next}").unwrap();
            if next % 40 == 0 {
                db.write_out().unwrap();
            }
        }
    }
    let dir = TempDir::new().unwrap();
    for lines in [1, 30, 45, 90, 160] {
        let mut process = again(dir.path(), Stdio::piped());
        let out = BufReader::new(process.stdout.take().unwrap());
        let acknowledged = out.lines().filter_map(|line| {
            let number = line.unwrap().strip_prefix("acknowledged ")?.parse::<u64>();
            Some(number.unwrap())
        });
        let last = acknowledged.take(lines).last().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let found = term(&Db::open(&Rocks, dir.path()).unwrap()).unwrap();
        assert!(found >= last, "{found} < {last}");
    }
}

#[test]
fn what_was_pushed_survives_the_process() {
    if let Some(dir) = std::env::var_os(ROLE) {
        let db = Db::open(&Rocks, Path::new(&dir)).unwrap();
        put_vote(&db, 7);
        let mut batch = Batch::default();
        batch.put(keys::HISTORY, b"mark", MARK);
        db.write(batch).unwrap();
        db.push();
        // Until it is killed; nothing is dropped and nothing synced.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        panic!("the other process has given up");
    }
    let dir = TempDir::new().unwrap();
    let mut process = again(dir.path(), Stdio::null());
    let started = Instant::now();
    let pushed = || {
        let files = std::fs::read_dir(dir.path().join("db"))
            .into_iter()
            .flatten();
        let mut logs = files.filter_map(|file| std::fs::read(file.ok()?.path()).ok());
        logs.any(|bytes| bytes.windows(MARK.len()).any(|window| window == MARK))
    };
    while !pushed() {
        assert!(started.elapsed() < Duration::from_secs(60), "never pushed");
        std::thread::yield_now();
    }
    // SIGKILL.
    process.kill().unwrap();
    process.wait().unwrap();
    let synced = Synced::open(dir.path()).unwrap().unwrap();
    assert_eq!(synced.number(), 0, "it was pushed, not synced");
    assert_eq!(term(&Db::open(&Rocks, dir.path()).unwrap()), Some(7));
}
