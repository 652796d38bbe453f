use futures::FutureExt;

use super::runtime::{Guarded, Shared};
use crate::{ClientError, CountsPairs, Cpu, Dump, Gpu, Kind, OutcomeCounts, Shard};

/// The right to one shard, see [`crate::Lease`]: kept alive by heartbeats in the background, given
/// back there when it is dropped. A program that ends right then says
/// [bye](super::Client::bye) first, or may be too quick for it.
#[derive(Debug)]
pub struct Lease<K: Kind>(Guarded<crate::Lease<K>>);

impl<K: Kind> Lease<K> {
    pub(super) fn new(inner: crate::Lease<K>, shared: Shared) -> Self {
        Self(Guarded::new(inner, shared))
    }

    /// The leased shard.
    pub fn shard(&self) -> &Shard {
        self.0.get().shard()
    }

    /// Sets the line that the dashboard shows for this worker.
    pub fn set_progress(&self, progress: &str) {
        self.0.get().set_progress(progress);
    }

    /// Sends a line of progress now.
    ///
    /// # Errors
    /// As [`crate::Lease::log`].
    pub fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.0.wait(self.0.get().log(progress))
    }

    /// Whether the tracker said that it gave the shard to somebody else.
    pub fn is_lost(&self) -> bool {
        self.0.get().lost().now_or_never().is_some()
    }

    /// Gives the shard back because it cannot be done, and tells why.
    ///
    /// # Errors
    /// As [`crate::Lease::fail`].
    pub fn fail(&self, reason: &str) -> Result<(), ClientError> {
        self.0.wait(self.0.get().fail(reason))
    }

    /// The worker with this shard, to be loaded later.
    pub fn dump(&self) -> Dump {
        self.0.get().dump()
    }

    /// Ends the heartbeats, but leaves the shard with the worker.
    pub fn let_go(&self) {
        self.0.get().let_go();
    }

    /// Gives the shard back without a word.
    ///
    /// # Errors
    /// As [`crate::Lease::give_back`].
    pub fn give_back(&self) -> Result<(), ClientError> {
        self.0.wait(self.0.get().give_back())
    }
}

impl<K: CountsPairs> Lease<K> {
    /// Completes the shard with its number of pairs.
    ///
    /// # Errors
    /// As [`crate::Lease::complete`].
    pub fn complete(&self, pairs: u64) -> Result<(), ClientError> {
        self.0.wait(self.0.get().complete(pairs))
    }

    /// As [`complete`](Self::complete), and tells where the shard's candidates ended.
    ///
    /// # Errors
    /// As [`crate::Lease::complete`].
    pub fn complete_with(&self, pairs: u64, outcomes: OutcomeCounts) -> Result<(), ClientError> {
        self.0.wait(self.0.get().complete_with(pairs, outcomes))
    }
}

impl Lease<Cpu> {
    /// Hands the shard's images over to GPU workers, which find them at `url`.
    ///
    /// # Errors
    /// As [`crate::Lease::complete`].
    pub fn complete(&self, url: &str) -> Result<(), ClientError> {
        self.0.wait(self.0.get().complete(url))
    }
}

impl Lease<Gpu> {
    /// Says that what was handed over cannot be used.
    ///
    /// # Errors
    /// As [`crate::Lease::flag_invalid`].
    pub fn flag_invalid(&self) -> Result<(), ClientError> {
        self.0.wait(self.0.get().flag_invalid())
    }
}
