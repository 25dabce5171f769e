//! The one thread that syncs the write-ahead log: group commit.
//!
//! Writers put their batch into the engine (memory only, the log is flushed by hand) and then queue
//! what is to happen once it is on disk. The thread takes everything that is queued, syncs once,
//! and reports in the order of the queue. Since a batch is written before it is queued, one sync
//! covers all of them; since there is one thread and one queue, a vote and log entries can never
//! be reported out of order, which Raft relies on.
//!
//! A store that plays a disk has no thread: a task waits as long as a sync takes on the runtime's clock.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use meridian_routing::mutants::{self, Mutant};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::engine::Engine;
use super::error::StorageError;
use super::memory::SyncTakes;
use super::synced::Synced;

/// What to do once everything written so far is on disk, or is known not to be.
pub type OnSynced = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

pub(super) enum Job {
    /// Sync, then report.
    Sync(OnSynced),
    /// Hand the log to the operating system soon: survives the process, not the machine.
    Push,
}

/// The queue and what works it off. Dropping it works off the queue and syncs once more.
pub(super) enum Flusher {
    /// A thread of its own.
    Thread {
        queue: Option<Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    /// A task, for a disk that is played: a sync takes as long as that disk says.
    Task {
        disk: Arc<Mutex<Played>>,
        wake: Arc<Notify>,
        task: tokio::task::JoinHandle<()>,
    },
}

impl Flusher {
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        synced: Synced,
        sync_takes: Option<SyncTakes>,
    ) -> std::io::Result<Self> {
        let work = Work::new(engine, synced);
        let Some(takes) = sync_takes else {
            let (queue, jobs) = channel();
            let thread = std::thread::Builder::new()
                .name("meridian-flush".to_owned())
                .spawn(move || run(work, &jobs))?;
            return Ok(Self::Thread {
                queue: Some(queue),
                thread: Some(thread),
            });
        };
        let disk = Arc::new(Mutex::new(Played {
            work,
            queue: Vec::new(),
        }));
        let wake = Arc::new(Notify::new());
        let (played, woken) = (disk.clone(), wake.clone());
        let task = tokio::spawn(async move {
            loop {
                woken.notified().await;
                tokio::time::sleep(takes.now()).await;
                flush(&played);
            }
        });
        Ok(Self::Task { disk, wake, task })
    }

    pub(super) fn sync(&self, on_synced: OnSynced) {
        match self {
            Self::Thread { queue, .. } => {
                if let Some(Err(refused)) = queue.as_ref().map(|q| q.send(Job::Sync(on_synced)))
                    && let Job::Sync(on_synced) = refused.0
                {
                    on_synced(Err(failed("the flush thread has ended")));
                }
            }
            Self::Task { disk, wake, .. } => {
                disk.lock().queue.push(on_synced);
                wake.notify_one();
            }
        }
    }

    /// Has what is queued done before anything else; for threads that may wait for it.
    pub(super) fn hurry(&self) {
        if let Self::Task { disk, .. } = self {
            // Nothing else can turn while this thread waits.
            flush(disk);
        }
    }

    pub(super) fn push(&self) {
        match self {
            Self::Thread { queue, .. } => {
                if let Some(queue) = queue {
                    // The thread outlives the sender unless it panicked, and then the next sync says so.
                    let _ = queue.send(Job::Push);
                }
            }
            Self::Task { disk, .. } => disk.lock().work.push(),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        match self {
            Self::Thread { queue, thread } => {
                *queue = None;
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
            Self::Task { disk, task, .. } => {
                task.abort();
                flush(disk);
                disk.lock().work.last();
            }
        }
    }
}

/// A queue for a disk that is played.
pub(super) struct Played {
    work: Work,
    queue: Vec<OnSynced>,
}

/// Syncs what is queued, then reports; whoever is told may queue more.
fn flush(disk: &Mutex<Played>) {
    let mut played = disk.lock();
    let waiting = std::mem::take(&mut played.queue);
    if waiting.is_empty() {
        return;
    }
    played.work.attempt(sync);
    let failure = played.work.failure.clone();
    drop(played);
    report(waiting, failure.as_deref());
}

fn report(waiting: Vec<OnSynced>, failure: Option<&str>) {
    let failure = failure.filter(|_| !mutants::is(Mutant::SyncFailureIgnored));
    for on_synced in waiting {
        on_synced(failure.map_or(Ok(()), |what| Err(failed(what))));
    }
}

/// What syncs, and whether it still may.
struct Work {
    engine: Arc<dyn Engine>,
    synced: Synced,
    /// After a failed sync the kernel may have dropped the pages: a later success would prove
    /// nothing about them, so the first failure is final.
    failure: Option<String>,
}

fn failed(what: &str) -> StorageError {
    StorageError::SyncFailed {
        what: what.to_owned(),
    }
}

impl Work {
    fn new(engine: Arc<dyn Engine>, synced: Synced) -> Self {
        Self {
            engine,
            synced,
            failure: None,
        }
    }

    fn sync(&mut self, waiting: Vec<OnSynced>) {
        self.attempt(sync);
        report(waiting, self.failure.as_deref());
    }

    fn push(&mut self) {
        self.attempt(|engine, _| engine.push().map_err(|error| error.to_string()));
    }

    fn attempt(&mut self, flush: impl FnOnce(&dyn Engine, &mut Synced) -> Result<(), String>) {
        if self.failure.is_none() {
            self.failure = flush(&*self.engine, &mut self.synced)
                .inspect_err(|error| tracing::error!(%error, "the log cannot be written"))
                .err();
        }
    }

    /// Once more, before the database is closed.
    fn last(&mut self) {
        if self.failure.is_none()
            && let Err(error) = sync(&*self.engine, &mut self.synced)
        {
            tracing::error!(%error, "the last sync failed");
        }
    }
}

fn run(mut work: Work, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut waiting = Vec::new();
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            if let Job::Sync(on_synced) = job {
                waiting.push(on_synced);
            }
        }
        if waiting.is_empty() {
            work.push();
        } else {
            work.sync(waiting);
        }
    }
    work.last();
}

/// Syncs the log, then writes down how far: nothing is acknowledged that recovery would not miss.
fn sync(engine: &dyn Engine, synced: &mut Synced) -> Result<(), String> {
    // Read first: what is written meanwhile may be left out of the sync.
    let number = engine.sequence();
    engine.sync().map_err(|error| error.to_string())?;
    synced.reached(number).map_err(|error| error.to_string())
}
