//! Work that blocks, away from the threads that run everything else.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// Whether this runtime has one thread alone, as in tests and under simulation: there is no other to turn to, and a
/// helper thread would let chance decide what comes first.
fn alone() -> bool {
    let runtime = Handle::try_current();
    runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// Runs what may block for long on a thread for such work; where there is one thread alone, as a task of its own.
pub fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if alone() {
        tokio::spawn(async move { work() })
    } else {
        tokio::task::spawn_blocking(work)
    }
}

/// Runs what may take long here, after the runtime has moved everything else off this thread; where there is nowhere
/// to move it, just here.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let runtime = Handle::try_current();
    if runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread) {
        return tokio::task::block_in_place(work);
    }
    work()
}
