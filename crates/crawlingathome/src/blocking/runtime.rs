//! The thread that blocking clients share.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::ClientError;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime of all blocking clients, made by the first one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared(&'static Runtime);

impl Shared {
    pub(super) fn get() -> Result<Self, ClientError> {
        refuse_within_a_runtime();
        if let Some(runtime) = RUNTIME.get() {
            return Ok(Self(runtime));
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("crawlingathome")
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        Ok(Self(RUNTIME.get_or_init(|| runtime)))
    }

    /// Waits for a call.
    pub(super) fn wait<F: Future>(self, call: F) -> F::Output {
        refuse_within_a_runtime();
        self.0.block_on(call)
    }

    /// Does what starts background work without waiting for it.
    pub(super) fn within<T>(self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        work()
    }
}

fn refuse_within_a_runtime() {
    assert!(
        Handle::try_current().is_err(),
        "a blocking call of crawlingathome within an async runtime: use the async client there"
    );
}

/// What starts background work when it is dropped.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    /// There until this is dropped.
    inner: Option<T>,
    shared: Shared,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, shared: Shared) -> Self {
        Self {
            inner: Some(inner),
            shared,
        }
    }

    pub(super) fn get(&self) -> &T {
        let inner = self.inner.as_ref();
        inner.expect("only the drop takes it")
    }

    /// Waits for a call.
    pub(super) fn wait<F: Future>(&self, call: F) -> F::Output {
        self.shared.wait(call)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let inner = self.inner.take();
        self.shared.within(|| drop(inner));
    }
}
