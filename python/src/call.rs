//! Calls from Python: blocking, or awaited by asyncio.

use std::{pin::pin, time::Duration};

use pyo3::{IntoPyObjectExt, prelude::*, types::PyAny};
use tokio::{task::AbortHandle, time::timeout};

use crate::{errors::Failure, log, runtime::runtime};

/// How often a call that blocks looks for Ctrl-C, and for what was logged meanwhile.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// What a call came to.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// The event loop of a call that is awaited; a call without one blocks.
pub(crate) type EventLoop<'py> = Option<Bound<'py, PyAny>>;

/// What Python gets of a call: what it came to, or an awaitable of that.
pub(crate) type Answer<'py> = PyResult<Bound<'py, PyAny>>;

/// Carries a call out: blocking, or with an `event_loop` as an awaitable. `then` makes the answer
/// for Python of what came out.
pub(crate) fn call<'py, T, U>(
    py: Python<'py>,
    event_loop: EventLoop<'py>,
    call: impl Future<Output = Outcome<T>> + Send + 'static,
    then: impl FnOnce(Outcome<T>) -> PyResult<U> + Send + 'static,
) -> Answer<'py>
where
    T: Send + 'static,
    U: for<'any> IntoPyObject<'any>,
{
    match event_loop {
        Some(event_loop) => awaitable(py, event_loop, call, then),
        None => {
            let came_out = blocking(py, call)?;
            // First of all: a signal must not lose what came out.
            let answer = then(came_out)?.into_bound_py_any(py);
            log::tell(py)?;
            answer
        }
    }
}

/// Waits for a call with the interpreter free for other threads. A signal whose handler raises, as
/// Ctrl-C's does, ends it at once; a handler may make calls of its own.
fn blocking<T: Send>(py: Python<'_>, call: impl Future<Output = T> + Send) -> PyResult<T> {
    let runtime = runtime(py)?;
    py.detach(|| {
        // For a call that ends early, which may have background work to leave.
        let _context = runtime.enter();
        let mut call = pin!(call);
        loop {
            let a_while = async { timeout(SIGNALS_EVERY, &mut call).await };
            if let Ok(came_out) = runtime.block_on(a_while) {
                return Ok(came_out);
            }
            Python::attach(|py| {
                log::tell(py)?;
                py.check_signals()
            })?;
        }
    })
}

/// Starts a call whose outcome a future of asyncio's gets; cancelling that one ends the call.
fn awaitable<'py, T, U>(
    py: Python<'py>,
    event_loop: Bound<'py, PyAny>,
    call: impl Future<Output = Outcome<T>> + Send + 'static,
    then: impl FnOnce(Outcome<T>) -> PyResult<U> + Send + 'static,
) -> Answer<'py>
where
    T: Send + 'static,
    U: for<'any> IntoPyObject<'any>,
{
    let promise = event_loop.call_method0("create_future")?;
    let (event_loop, waiting) = (event_loop.unbind(), promise.clone().unbind());
    let task = runtime(py)?.spawn(async move {
        let came_out = call.await;
        // An interpreter that is shutting down has nobody who waits.
        Python::try_attach(|py| {
            let answer = then(came_out).and_then(|answer| answer.into_py_any(py));
            let keep = Promise { waiting };
            let told = keep.later(event_loop.bind(py), answer).and(log::tell(py));
            if let Err(error) = told {
                tracing::debug!(%error, "the event loop is gone");
            }
        });
    });
    let cancel = Cancel(task.abort_handle());
    promise.call_method1("add_done_callback", (cancel,))?;
    Ok(promise)
}

/// A future of asyncio's, which only its event loop's thread may touch.
#[pyclass(frozen)]
struct Promise {
    waiting: Py<PyAny>,
}

impl Promise {
    /// Has the event loop's thread keep the promise.
    fn later(self, event_loop: &Bound<'_, PyAny>, answer: PyResult<Py<PyAny>>) -> PyResult<()> {
        let py = event_loop.py();
        let (answer, error) = match answer {
            Ok(answer) => (answer, py.None()),
            Err(error) => (py.None(), error.into_value(py).into_any()),
        };
        event_loop.call_method1("call_soon_threadsafe", (self, answer, error))?;
        Ok(())
    }
}

#[pymethods]
impl Promise {
    fn __call__(&self, py: Python<'_>, answer: Py<PyAny>, error: Py<PyAny>) -> PyResult<()> {
        let waiting = self.waiting.bind(py);
        if waiting.call_method0("done")?.is_truthy()? {
            return Ok(());
        }
        match error.is_none(py) {
            true => waiting.call_method1("set_result", (answer,))?,
            false => waiting.call_method1("set_exception", (error,))?,
        };
        Ok(())
    }
}

/// Ends a call whose awaitable was cancelled.
#[pyclass(frozen)]
struct Cancel(AbortHandle);

#[pymethods]
impl Cancel {
    fn __call__(&self, waiting: &Bound<'_, PyAny>) -> PyResult<()> {
        if waiting.call_method0("cancelled")?.is_truthy()? {
            self.0.abort();
        }
        Ok(())
    }
}
