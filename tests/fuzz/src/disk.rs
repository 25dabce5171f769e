//! What is read from the disk: sealed records, the log, and files of snapshots and backups.

use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;
use meridian_node::backup::{Sound, must_be_empty};
use meridian_node::convert::entity;
use meridian_node::machine;
use meridian_node::raft::backup::RestoreError;
use meridian_node::raft::convert;
use meridian_node::raft::log_store::LogStore;
use meridian_node::storage::keys::{self, Meta};
use meridian_node::storage::snapshot::{SnapshotFile, SnapshotWriter, Temporary};
use meridian_node::storage::{Batch, Db, Memory, StorageError, record};
use meridian_proto::log::v1 as pb;
use openraft::RaftLogReader as _;
use openraft::storage::RaftLogStorage as _;
use prost::Message as _;
use tempfile::TempDir;

use crate::names;
use crate::source::Source;

const GROUP: u32 = 1;

/// Seals a payload, and takes the envelope back as it is and with a byte changed.
fn sealed(key: &[u8], payload: &[u8], source: &mut Source<'_>) {
    let place = || "here".to_owned();
    let whole = record::seal(key, payload);
    assert_eq!(record::open(key, &whole, place).ok(), Some(payload));
    let mut damaged = whole.clone();
    let at = source.below(whole.len());
    damaged[at] ^= 1 << source.below(8);
    match record::open(key, &damaged, place) {
        Ok(_) => panic!("a changed byte at {at} goes unnoticed"),
        Err(error) => assert!(error.to_string().contains("here"), "{error}"),
    }
    let cut = &whole[..source.below(whole.len())];
    assert!(record::open(key, cut, place).is_err());
    // What never was an envelope.
    let _ = record::open(key, payload, place);
}

/// One database in memory for all inputs of a thread: a directory for each would cost more than all the rest.
fn database() -> (Arc<Db>, TempDir) {
    let dir = TempDir::new().expect("a directory");
    let db = Db::open(&Memory::new(), dir.path()).expect("a database");
    (db, dir)
}

thread_local! {
    static DATABASE: (Arc<Db>, TempDir) = database();
}

/// Sealed records, and a log in which entries are missing, damaged, out of order, or none.
pub fn log(data: &[u8]) {
    let mut source = Source::new(data);
    let key = source.bytes(16);
    let payload = source.bytes(64);
    sealed(key, payload, &mut source);
    DATABASE.with(|(db, _)| {
        read_log(db, &mut source);
        // Memory keeps what a crash would take until it is synced.
        db.sync_blocking().expect("memory syncs");
    });
}

fn index(source: &mut Source<'_>) -> u64 {
    match source.below(8) {
        7 => u64::MAX - source.below(3) as u64,
        6 => source.u64(),
        _ => source.below(12) as u64,
    }
}

fn read_log(db: &Arc<Db>, source: &mut Source<'_>) {
    let mut batch = Batch::default();
    batch.delete_range(keys::LOG, keys::log(GROUP, 0), keys::log_end(GROUP));
    for meta in [Meta::Purged, Meta::Trimmed, Meta::Vote] {
        match source.below(6) {
            5 => {
                let key = meta.key(GROUP);
                let sealed = record::seal(&key, source.bytes(16));
                batch.put(keys::META, key, sealed);
            }
            1 if meta != Meta::Vote => {
                let term = source.below(3) as u64;
                let id = pb::LogId {
                    term,
                    index: index(source),
                };
                db.put_meta(&mut batch, GROUP, meta, &id);
            }
            _ => batch.delete(keys::META, meta.key(GROUP)),
        }
    }
    let from = index(source);
    for n in 0..source.below(12) as u64 {
        // Mostly one after the other.
        let at = match source.once_in(8) {
            true => index(source),
            false => from.wrapping_add(n),
        };
        let key = keys::log(GROUP, at);
        let payload = match source.below(8) {
            7 => source.bytes(48).to_vec(),
            kind => entry(at, kind, source).encode_to_vec(),
        };
        let mut value = record::seal(&key, &payload);
        if source.once_in(16) {
            let place = source.below(value.len());
            value[place] ^= 0x10;
        }
        batch.put(keys::LOG, key, value);
    }
    db.write(batch).expect("memory takes it");

    let applied = source.once_in(2).then(|| {
        let term = source.below(3) as u64;
        let index = index(source);
        convert::log_id_in(&pb::LogId { term, index })
    });
    let mut log = LogStore::new(db.clone(), GROUP);
    let checked = log.check(applied);
    if let Err(error) = &checked {
        placed(error);
    }
    let (from, to) = (index(source), index(source));
    let mut seen = None;
    let visited = log.visit(from, to, &mut |entry, bytes| {
        let at = entry.log_id.index;
        assert!((from..=to).contains(&at), "{at} was not asked for");
        assert!(seen.is_none_or(|seen| seen < at) && bytes > 0);
        seen = Some(at);
        true
    });
    // A log found whole at start reads back later, but for what is kept for the past alone.
    if let (Ok(_), Err(error)) = (&checked, &visited) {
        let state = block_on(log.get_log_state()).expect("a checked log has an end");
        let purged = state.last_purged_log_id;
        assert!(purged.is_some_and(|id| from <= id.index), "{error}");
    }
    let read = block_on(log.limited_get_log_entries(from, to));
    if let Ok(entries) = read {
        let within = |at: u64| (from..to).contains(&at);
        assert!(entries.iter().all(|e| within(e.log_id.index)));
    }
    let _ = (block_on(log.get_log_state()), log.trimmed());
    let _ = block_on(log.read_vote());
    let _ = block_on(log.read_committed());
    let _ = log.keep_after(index(source));
    let purged = pb::LogId {
        term: 1,
        index: index(source),
    };
    let _ = block_on(log.purge(convert::log_id_in(&purged)));
}

fn entry(at: u64, kind: usize, source: &mut Source<'_>) -> pb::Entry {
    use pb::entry::Payload;
    let payload = match kind {
        0 => Payload::Blank(pb::Blank {}),
        1 => Payload::Membership(pb::Membership {
            voters: source.some(2, |s| pb::VoterSet {
                ids: s.some(3, |s| s.below(4) as u64),
            }),
            nodes: source
                .some(4, |s| (s.below(4) as u64, pb::Node::default()))
                .into_iter()
                .collect(),
        }),
        _ => Payload::Command(source.bytes(24).to_vec()),
    };
    pb::Entry {
        log_id: Some(pb::LogId {
            term: 1 + source.once_in(16) as u64,
            index: at,
        }),
        payload: Some(payload),
    }
}

/// An error of the store says where.
fn placed(error: &StorageError) {
    match error {
        StorageError::Corrupt { place, .. } | StorageError::NewerFormat { place, .. } => {
            names(place, error);
        }
        StorageError::CorruptSnapshot { what, .. } => names(what, error),
        _ => {}
    }
}

thread_local! {
    static FILES: TempDir = TempDir::new().expect("a directory");
}

/// Snapshot files and backups: any bytes; frames that are sound one by one; and files as the program writes them.
pub fn snapshot(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    FILES.with(|dir| match kind % 3 {
        0 => {
            let path = dir.path().join("any");
            std::fs::write(&path, data).expect("a file");
            read(&path);
        }
        1 => {
            let path = dir.path().join("framed");
            std::fs::write(&path, framed(&mut Source::new(data))).expect("a file");
            read(&path);
        }
        _ => written(dir.path(), &mut Source::new(data)),
    });
}

/// Whatever the file is, it is read to its end or refused; its length bounds what is kept of it.
fn read(path: &Path) -> Option<Vec<(i32, pb::KeyValue)>> {
    let file = match SnapshotFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            placed(&error);
            assert!(Sound::open(path).is_err());
            return None;
        }
    };
    let _ = convert::snapshot_in(file.header().clone());
    let mut records = Vec::new();
    let whole = file.read(|frame| {
        let family = frame.family;
        records.extend(frame.records.into_iter().map(|r| (family, r)));
        Ok(())
    });
    match Sound::open(path) {
        Ok(sound) => {
            assert!(whole.is_ok() && sound.header().backup.is_some());
            let (_, state): (Vec<_>, Vec<_>) = parted(&records);
            assert!(state.iter().all(|(_, value)| entity::decode(value).is_ok()));
        }
        Err(RestoreError::Storage(error)) => placed(&error),
        Err(error) => assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        ),
    }
    if let Err(error) = whole {
        placed(&error);
        return None;
    }
    Some(records)
}

type Record = (Vec<u8>, Vec<u8>);

/// The history's records, and the state's.
fn parted(records: &[(i32, pb::KeyValue)]) -> (Vec<Record>, Vec<Record>) {
    let of = |wanted: bool| {
        let of = records.iter();
        let of = of.filter(|(family, _)| (*family == pb::Family::State as i32) == wanted);
        of.map(|(_, r)| (r.key.clone(), r.value.clone())).collect()
    };
    (of(false), of(true))
}

/// Frames whose checksums hold, in an order of the fuzzer's.
fn framed(source: &mut Source<'_>) -> Vec<u8> {
    let mut file = b"MRDNSNAP\x01".to_vec();
    let mut count = 0;
    for n in 0..1 + source.below(6) {
        // A header first and then records, as a rule.
        let kind = match (source.below(8), n) {
            (7, _) => source.below(256) as u8,
            (6, _) => 3,
            (_, 0) => 1,
            _ => 2,
        };
        let payload = match kind {
            2 if source.once_in(2) => {
                let records = pb::SnapshotRecords {
                    family: source.below(4) as i32,
                    records: source.some(4, |s| pb::KeyValue {
                        key: s.bytes(8).to_vec(),
                        value: s.bytes(32).to_vec(),
                    }),
                };
                count += records.records.len() as u64;
                records.encode_to_vec()
            }
            3 => pb::SnapshotFooter {
                records: count,
                crc32c: crc32c::crc32c(&file),
            }
            .encode_to_vec(),
            _ => source.bytes(64).to_vec(),
        };
        file.push(kind);
        let length = match source.once_in(16) {
            true => source.u64() as u32,
            false => payload.len() as u32,
        };
        file.extend(length.to_be_bytes());
        file.extend(crc32c::crc32c(&payload).to_be_bytes());
        file.extend(payload);
    }
    file
}

/// What the program writes reads back as the same; a backup is whole exactly when every part of its state is one.
fn written(dir: &Path, source: &mut Source<'_>) {
    let mut records = source.some(8, |s| {
        let family = s.of(&[pb::Family::State, pb::Family::History]);
        (family, s.bytes(8).to_vec(), s.bytes(64).to_vec())
    });
    records.sort_by_key(|(family, ..)| *family as i32);
    let state: Vec<Record> = records
        .iter()
        .filter(|(family, ..)| *family == pb::Family::State)
        .map(|(_, key, value)| (key.clone(), value.clone()))
        .collect();
    let header = pb::SnapshotHeader {
        group: GROUP,
        backup: Some(pb::Backup {
            state_hash: machine::hash_of(&state),
            ..Default::default()
        }),
        ..Default::default()
    };
    let (target, temporary) = (dir.join("written"), Temporary::new(dir.join("written.tmp")));
    let mut writer = SnapshotWriter::create(&target, temporary, &header).expect("a file");
    for (family, key, value) in &records {
        writer.add(*family, key, value).expect("room for it");
    }
    let file = writer.finish().expect("a whole file");
    assert_eq!(file.header(), &header);
    let back = read(&target).expect("what is written is read");
    let back: Vec<_> = back.into_iter().map(|(f, r)| (f, r.key, r.value)).collect();
    let same = records.into_iter().map(|(f, k, v)| (f as i32, k, v));
    assert_eq!(back, same.collect::<Vec<_>>());
    let good = state.iter().all(|(_, value)| entity::decode(value).is_ok());
    assert_eq!(Sound::open(&target).is_ok(), good);
    // A file cut short or changed anywhere is no whole file.
    let mut bytes = std::fs::read(&target).expect("the file");
    let at = source.below(bytes.len());
    match source.once_in(2) {
        true => bytes.truncate(at),
        false => bytes[at] ^= 1 << source.below(8),
    }
    let damaged = dir.join("damaged");
    std::fs::write(&damaged, bytes).expect("a file");
    assert!(read(&damaged).is_none(), "damage at {at} goes unnoticed");
    assert!(must_be_empty(dir).is_err());
}
