//! Places where files are put: folders and buckets, behind one writer.
//!
//! A file goes through three steps, whatever the place: its bytes are written, it is sealed
//! (everything is at the place, size and digest are known) and it is published (it appears under
//! its name, whole). Until then nothing is there under that name.

mod location;
mod object;
mod store;

pub(crate) use location::split_file;
pub(crate) use object::{ObjectWriter, Sealed};
pub use store::Store;

/// Runs work that blocks or computes away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // Blocking tasks are only cancelled by a runtime that shuts down, and that never polls
        // this future again: what arrives here is a panic of `work`.
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
