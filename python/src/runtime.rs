//! The threads that calls and heartbeats run on.

use std::sync::{Mutex, PoisonError};

use pyo3::{PyResult, Python};
use tokio::runtime::{Builder, Runtime};

/// The runtime of the process that it was made in. It is locked only while the interpreter is held,
/// and so is never found locked by a process that was forked from a thread of Python's.
static RUNTIME: Mutex<Option<OfProcess>> = Mutex::new(None);

struct OfProcess {
    process: u32,
    runtime: &'static Runtime,
}

/// The runtime of this process, made when it is first asked for. A process that was forked gets one
/// of its own: threads do not survive a fork.
pub(crate) fn runtime(_: Python<'_>) -> PyResult<&'static Runtime> {
    let mut known = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some(known) = known.as_ref().filter(|known| known.process == process) {
        return Ok(known.runtime);
    }
    // It lasts as long as the process, and what a fork left behind could not be shut down.
    let runtime = Box::leak(Box::new(
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("crawlingathome")
            .enable_all()
            .build()?,
    ));
    *known = Some(OfProcess { process, runtime });
    Ok(runtime)
}
