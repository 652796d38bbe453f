//! Where decoding, resizing and embedding happen: never on the threads of the async runtime.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use tokio::sync::oneshot;

/// A pool of threads for work that computes. Clones share the threads.
#[derive(Clone, Debug)]
pub(crate) struct CpuPool {
    threads: Arc<rayon::ThreadPool>,
}

impl CpuPool {
    /// A pool of `threads` threads, at least one.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|index| format!("cah-cpu-{index}"))
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self {
            threads: Arc::new(threads),
        })
    }

    /// How many pieces of work run at the same time.
    pub(crate) fn width(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs `work` on the pool. A panic in it continues in the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (answer, result) = oneshot::channel();
        self.threads.spawn(move || {
            // Nobody waits for the answer of a shard that was given up.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        });
        match result
            .await
            .expect("the pool runs every piece of work it takes, and outlives it")
        {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = CpuPool::new(1).unwrap();
        let failing = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| panic!("broken image")).await }
        });
        assert!(failing.await.unwrap_err().is_panic());
        assert_eq!(pool.run(|| 2 + 2).await, 4);
    }
}
