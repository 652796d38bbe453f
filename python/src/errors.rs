//! What goes wrong, as exceptions of `crawlingathome.errors`.

use crawlingathome::ClientError;
use pyo3::{PyErr, Python, exceptions::PyRuntimeError, prelude::*, types::PyAny};

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client library says why.
    Client(ClientError),
    /// A job is needed, and none is held.
    NoJob,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Failure {
    /// Whether the job is not this worker's any more, or never was.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoJob | Self::Client(ClientError::ZeroJobs(_) | ClientError::WorkerTimedOut)
        )
    }

    fn class(&self) -> &'static str {
        match self {
            Self::NoJob => "ZeroJobError",
            Self::Client(error) => class_of(error),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NoJob => "this worker holds no job; ask for one with newJob() first".into(),
            Self::Client(error) => error.to_string(),
        }
    }
}

fn class_of(error: &ClientError) -> &'static str {
    match error {
        ClientError::InvalidUrl { .. } | ClientError::Text(_) | ClientError::Refused(_) => {
            "RequestError"
        }
        ClientError::ZeroJobs(_) => "ZeroJobError",
        ClientError::WorkerTimedOut => "WorkerTimedOutError",
        ClientError::Dump(_) => "DumpError",
        _ => "ServerError",
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            exception(py, failure.class(), failure.text()).unwrap_or_else(|missing| {
                PyRuntimeError::new_err(format!("{failure:?}: {missing}"))
            })
        })
    }
}

fn exception(py: Python<'_>, class: &str, text: String) -> PyResult<PyErr> {
    let errors = py.import("crawlingathome.errors")?;
    let value: Bound<'_, PyAny> = errors.getattr(class)?.call1((text,))?;
    Ok(PyErr::from_value(value))
}
