//! The one thread that syncs the write-ahead log: group commit.
//!
//! Writers put their batch into the engine (memory only, the log is flushed by hand) and then queue
//! what is to happen once it is on disk. The thread takes everything that is queued, syncs once,
//! and reports in the order of the queue. Since a batch is written before it is queued, one sync
//! covers all of them; since there is one thread and one queue, a vote and log entries can never
//! be reported out of order, which Raft relies on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::engine::Engine;
use super::error::StorageError;
use super::synced::Synced;

/// What to do once everything written so far is on disk, or is known not to be.
pub type OnSynced = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

enum Job {
    /// Sync, then report.
    Sync(OnSynced),
    /// Hand the log to the operating system soon: survives the process, not the machine.
    Push,
}

/// The queue and its thread. Dropping it works off the queue, syncs once more and ends the thread.
pub(super) struct Flusher {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(engine: Arc<dyn Engine>, synced: Synced) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let thread = std::thread::Builder::new()
            .name("meridian-flush".to_owned())
            .spawn(move || run(&*engine, synced, &jobs))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    pub(super) fn sync(&self, on_synced: OnSynced) {
        if let Some(Err(refused)) = self.queue.as_ref().map(|q| q.send(Job::Sync(on_synced)))
            && let Job::Sync(on_synced) = refused.0
        {
            on_synced(Err(failed("the flush thread has ended")));
        }
    }

    pub(super) fn push(&self) {
        if let Some(queue) = &self.queue {
            // The thread outlives the sender unless it panicked, and then the next sync says so.
            let _ = queue.send(Job::Push);
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn failed(what: &str) -> StorageError {
    StorageError::SyncFailed {
        what: what.to_owned(),
    }
}

fn run(engine: &dyn Engine, mut synced: Synced, jobs: &Receiver<Job>) {
    // After a failed sync the kernel may have dropped the pages: a later success would prove
    // nothing about them, so the first failure is final.
    let mut failure: Option<String> = None;
    let mut waiting = Vec::new();
    while let Ok(first) = jobs.recv() {
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            if let Job::Sync(on_synced) = job {
                waiting.push(on_synced);
            }
        }
        if failure.is_none() {
            let flushed = if waiting.is_empty() {
                engine.push().map_err(|error| error.to_string())
            } else {
                sync(engine, &mut synced)
            };
            failure = flushed
                .inspect_err(|error| tracing::error!(%error, "the log cannot be written"))
                .err();
        }
        for on_synced in waiting.drain(..) {
            on_synced(failure.as_deref().map_or(Ok(()), |what| Err(failed(what))));
        }
    }
    if failure.is_none()
        && let Err(error) = sync(engine, &mut synced)
    {
        tracing::error!(%error, "the last sync failed");
    }
}

/// Syncs the log, then writes down how far: nothing is acknowledged that recovery would not miss.
fn sync(engine: &dyn Engine, synced: &mut Synced) -> Result<(), String> {
    // Read first: what is written meanwhile may be left out of the sync.
    let number = engine.sequence();
    engine.sync().map_err(|error| error.to_string())?;
    synced.reached(number).map_err(|error| error.to_string())
}
