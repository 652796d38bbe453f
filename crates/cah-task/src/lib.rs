//! Work that blocks, and the results of tasks that nobody aborts.
//!
//! Such a task gives its value or panics, and a panic belongs to whoever waits for the value. There
//! is a third way out: a runtime that shuts down cancels every task, in no order, so that a task may
//! see another one cancelled before its own turn comes. It must not take that for a panic; it waits,
//! and is cancelled as well.

use std::{
    future::{Future, pending},
    panic::resume_unwind,
};

use tokio::task::{JoinError, spawn_blocking};

/// Starts `work` away from the async threads, at once, and waits for it where it is awaited.
///
/// Work that has begun goes on where the future is dropped. A panic in it continues in whoever
/// awaits it.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let task = spawn_blocking(work);
    async { finished(task.await).await }
}

/// The value of a task that nobody aborts. A panic in the task continues here; that the runtime
/// cancelled it means that this future is not polled again, or soon dropped.
pub async fn finished<T>(task: Result<T, JoinError>) -> T {
    match task.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_cancelled)) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[tokio::test]
    async fn work_starts_before_it_is_awaited() {
        let (say, said) = mpsc::channel();
        let work = blocking(move || say.send("begun").unwrap());
        assert_eq!(blocking(move || said.recv().unwrap()).await, "begun");
        work.await;
    }

    #[tokio::test]
    async fn a_panic_reaches_whoever_waits() {
        let waiting = tokio::spawn(blocking(|| panic!("broken image")));
        assert!(waiting.await.unwrap_err().is_panic());
    }

    /// Tells how it went when the task that holds it ends.
    struct Witness(mpsc::Sender<bool>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send(thread::panicking());
        }
    }

    /// Work that is started, in a task that goes on for a moment, when the runtime takes no more.
    #[test]
    fn a_runtime_that_shuts_down_makes_nobody_panic() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (begin, begun) = mpsc::channel();
        let (shut, is_shut) = mpsc::channel();
        let (witness, panicked) = mpsc::channel();
        runtime.spawn(async move {
            let _witness = Witness(witness);
            begin.send(()).unwrap();
            is_shut.recv().unwrap();
            blocking(|| ()).await;
        });
        begun.recv().unwrap();
        runtime.shutdown_background();
        shut.send(()).unwrap();
        assert!(!panicked.recv().unwrap());
    }
}
