//! What goes wrong, as exceptions of `crawlingathome.errors`.

use std::{io, path::Path};

use cah_archive::ArchiveError;
use crawlingathome::{ClientError, DownloadError, UploadError};
use pyo3::{
    PyErr, Python,
    exceptions::{PyOSError, PyRuntimeError},
    prelude::*,
    types::PyAny,
};

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client library says why.
    Client(ClientError),
    /// A WAT file was not downloaded.
    Download(DownloadError),
    /// What was handed over was not downloaded.
    HandedOver(DownloadError),
    /// A file was not uploaded.
    Upload(UploadError),
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

    /// The trouble with a file of this machine, which Python has an exception of its own for.
    fn of_a_file(&self) -> Option<(&io::Error, &Path)> {
        match self {
            Self::Download(DownloadError::Write { path, source })
            | Self::HandedOver(
                DownloadError::Write { path, source }
                | DownloadError::Archive {
                    error: ArchiveError::Write { path, source },
                    ..
                },
            )
            | Self::Upload(
                UploadError::Read { path, source } | UploadError::Write { path, source },
            ) => Some((source, path)),
            _ => None,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::NoJob => "ZeroJobError",
            Self::Client(error) | Self::Upload(UploadError::Tracker(error)) => class_of(error),
            Self::HandedOver(error) if error.is_of_the_url() => "InvalidURLError",
            Self::Download(_) | Self::HandedOver(_) => "DownloadError",
            Self::Upload(_) => "UploadError",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NoJob => {
                "this worker holds no job; ask for one first, by newJob() or new_job()".into()
            }
            Self::Client(error) => error.to_string(),
            Self::Download(error) | Self::HandedOver(error) => error.to_string(),
            Self::Upload(error) => error.to_string(),
        }
    }
}

fn class_of(error: &ClientError) -> &'static str {
    match error {
        ClientError::InvalidUrl { .. }
        | ClientError::NotOfTheWat(_)
        | ClientError::Text(_)
        | ClientError::Refused(_) => "RequestError",
        ClientError::ZeroJobs(_) => "ZeroJobError",
        ClientError::WorkerTimedOut => "WorkerTimedOutError",
        ClientError::Dump(_) => "DumpError",
        _ => "ServerError",
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        if let Some((error, path)) = failure.of_a_file() {
            return os_error(error, path);
        }
        Python::attach(|py| {
            exception(py, failure.class(), failure.text()).unwrap_or_else(|missing| {
                PyRuntimeError::new_err(format!("{failure:?}: {missing}"))
            })
        })
    }
}

/// As Python words it; the number decides which of its classes it is.
fn os_error(error: &io::Error, path: &Path) -> PyErr {
    let text = error.to_string();
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned();
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, text, path.as_os_str().to_owned())),
        None => PyOSError::new_err(format!("{}: {text}", path.display())),
    }
}

fn exception(py: Python<'_>, class: &str, text: String) -> PyResult<PyErr> {
    let errors = py.import("crawlingathome.errors")?;
    let value: Bound<'_, PyAny> = errors.getattr(class)?.call1((text,))?;
    Ok(PyErr::from_value(value))
}
