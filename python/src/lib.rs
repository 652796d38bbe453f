//! The extension module `crawlingathome._native`: the Rust client library, call by call, for the
//! Python package around it, which has the names that people use.
//!
//! Every call takes `loop`: without it the call blocks, with the interpreter free for other threads
//! and Ctrl-C heard; with an event loop of asyncio's it answers an awaitable at once. Whatever can go
//! wrong becomes one of the exceptions of `crawlingathome.errors`.

mod call;
mod errors;
mod log;
mod of;
mod protocol;
mod runtime;
mod worker;

use pyo3::pymodule;

#[pymodule]
mod _native {
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::worker::Worker;

    use pyo3::{Bound, PyResult, types::PyModule};

    #[pymodule_init]
    fn init(_: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::log::listen();
        Ok(())
    }
}
