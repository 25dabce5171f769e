//! A disk that fails or fills up, and work that takes long.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::cluster::{Cluster, soon};
use super::store::{apply, entry, open};
use super::{Counter, add, number};
use crate::raft::state_machine::StateMachine;
use crate::raft::{Applied, Machine, Role};
use crate::storage::{Db, Rocks};

#[tokio::test]
async fn a_full_disk_only_puts_a_snapshot_off() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine) = open(dir.path());
    apply(&db, &mut machine, 0..20, "a").await;
    let files = || {
        std::fs::read_dir(dir.path().join("snapshots"))
            .unwrap()
            .count()
    };
    let fill = |attempt| {
        let name = dir
            .path()
            .join(format!("snapshots/1-incoming-{attempt}.tmp"));
        std::os::unix::fs::symlink("/dev/full", name).unwrap();
    };

    fill(0);
    let mut builder = machine.try_create_snapshot_builder(false).await.unwrap();
    let nothing = builder.build_snapshot().await.unwrap();
    assert_eq!(nothing.meta.last_log_id, None);
    assert_eq!(files(), 0, "nothing is left of it");
    assert!(machine.get_current_snapshot().await.unwrap().is_none());

    // One that must be there is an error.
    fill(1);
    let mut builder = machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.unwrap_err();

    let mut builder = machine.try_create_snapshot_builder(false).await.unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();
    assert_eq!(snapshot.meta.last_log_id.unwrap().index, 19);
    assert_eq!(files(), 1);
}

#[tokio::test]
async fn a_node_goes_on_with_a_disk_too_full_for_a_snapshot() {
    let cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let dir = cluster.config(1).data_dir.join("snapshots");
    let full = dir.join("1-incoming-0.tmp");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    // A snapshot is due every hundred entries: the first fails, the next ones do not.
    for sum in 2..=350 {
        let (_, reply) = cluster.propose(&add("a", 1)).await;
        assert_eq!(number(&reply), sum);
    }
    cluster
        .until(1, "a later snapshot is written", |s| s.snapshot > 150)
        .await;
    assert!(
        full.symlink_metadata().is_err(),
        "nothing is left of the first"
    );
    cluster.end().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_written_ends_for_good() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine) = open(dir.path());
    apply(&db, &mut machine, 0..20, "a").await;
    let reader = machine.reader();
    let before = reader.hash();
    break_disk(&db, dir.path());

    let mut next = async |index| {
        let entries = futures::stream::iter([Ok((entry(1, index, "a"), None))]);
        machine.apply(entries).await.unwrap_err().to_string()
    };
    let first = next(20).await;
    assert!(first.contains("/db"), "{first}");
    assert_eq!(reader.failure(), Some(&*first));
    let second = next(21).await;
    assert!(second.contains(&first), "{second}");
    assert_eq!(reader.hash(), before, "only what is on disk is shown");
}

#[tokio::test]
async fn a_node_whose_disk_fails_is_seen_as_stopped() {
    let mut cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let dir = cluster.config(1).data_dir;
    std::fs::remove_dir_all(dir.join("db")).unwrap();
    // Until RocksDB wants a new file.
    let big = add(&"n".repeat(4 << 20), 1);
    soon("the node stops", async {
        while cluster.group(1).propose(big.clone()).await.is_ok() {}
    })
    .await;
    cluster
        .until(1, "the failure is told", |s| {
            s.role == Role::Stopped && s.failure.is_some()
        })
        .await;
    cluster.kill(1).await;
}

/// Makes RocksDB fail for good: it cannot make the file it must write.
fn break_disk(db: &Db, dir: &std::path::Path) {
    std::fs::remove_dir_all(dir.join("db")).unwrap();
    db.write_out().unwrap_err();
}

/// A machine whose state says how far it has seen, as `says` has it.
struct Knowing {
    counter: Counter,
    says: u64,
}

impl Machine for Knowing {
    fn apply(&mut self, index: u64, command: &[u8]) -> Applied {
        self.counter.apply(index, command)
    }

    fn restore(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        self.counter.restore(entries)
    }

    fn index(&self) -> Option<u64> {
        Some(self.says)
    }

    fn hash(&self) -> u64 {
        self.counter.hash()
    }
}

#[tokio::test]
async fn a_state_that_does_not_stand_where_it_is_said_to_is_refused() {
    let dir = TempDir::new().unwrap();
    let (db, mut machine) = open(dir.path());
    apply(&db, &mut machine, 0..20, "a").await;
    drop(machine);
    let open_saying = |says| {
        let counter = Counter::default();
        let machine = Box::new(Knowing { counter, says });
        StateMachine::open(db.clone(), 1, dir.path().join("snapshots"), machine)
    };
    for says in [0, 18, 20] {
        let error = open_saying(says).err().unwrap().to_string();
        assert!(error.contains("stand at 19"), "{error}");
    }
    open_saying(19).unwrap();
}

/// Says that it is at work, and then is until it is told to end.
struct Slow {
    counter: Counter,
    begun: Arc<Notify>,
    end: Receiver<()>,
}

impl Machine for Slow {
    fn apply(&mut self, index: u64, command: &[u8]) -> Applied {
        self.begun.notify_one();
        let _ = self.end.recv();
        self.counter.apply(index, command)
    }

    fn restore(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        self.counter.restore(entries)
    }

    fn hash(&self) -> u64 {
        self.counter.hash()
    }
}

fn slow(dir: &std::path::Path) -> (StateMachine, Arc<Notify>, Sender<()>) {
    let (end_it, end) = channel();
    let begun = Arc::new(Notify::new());
    let machine = Slow {
        counter: Counter::default(),
        begun: begun.clone(),
        end,
    };
    let db = Db::open(&Rocks, dir).unwrap();
    let machine = StateMachine::open(db, 1, dir.join("snapshots"), Box::new(machine)).unwrap();
    (machine, begun, end_it)
}

#[test]
fn a_long_apply_keeps_nobody_waiting() {
    let dir = TempDir::new().unwrap();
    let (mut machine, begun, end_it) = slow(dir.path());
    let reader = machine.reader();
    let empty = reader.hash();
    // One thread for everything: it must be given up while the machine works.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let applied = runtime.spawn(async move {
        let entries = (0..3).map(|index| Ok((entry(1, index, "a"), None)));
        let entries = futures::stream::iter(entries.collect::<Vec<_>>());
        machine.apply(entries).await.unwrap();
        machine
    });
    let seen = runtime.spawn(async move {
        begun.notified().await;
        (reader.hash(), reader.durable().await, reader)
    });
    let seen = runtime.block_on(async { soon("somebody else gets a turn", seen).await });
    let (hash, durable, reader) = seen.unwrap();
    assert_eq!((hash, durable), (empty, None));
    drop(end_it);
    let machine = runtime.block_on(applied).unwrap();
    assert_eq!(reader.hash().0, 2);
    assert_ne!(reader.hash().1, empty.1);
    drop(machine);
}
