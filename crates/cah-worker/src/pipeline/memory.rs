//! How many bytes of images are on their way from the fetch, or from what was handed over, to the
//! files.
//!
//! Between the steps wait a fixed number of images, a hundred and more for a batch of 32. Usually
//! they are short; but somebody may see to it that each is as long as an image may be. So each takes
//! its bytes of a supply that all shards share, in the order of the candidates, and gives them back
//! when it is written or left out. Whoever has some never waits for more, and no batch waits to be
//! full: there is always one that goes on.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes for each image of a batch: several times what one has on average.
const SHARE: usize = 2 << 20;

/// Bytes that there are however small the batches.
const LEAST: usize = 256 << 20;

/// What the supply is counted in, so that even the largest one can be counted.
const UNIT: usize = 1 << 10;

/// The supply of bytes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    all: u32,
}

/// An image's share, which it gives back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _taken: OwnedSemaphorePermit,
}

impl Memory {
    /// The supply for batches of so many images.
    pub(super) fn new(batch: usize) -> Self {
        Self::of(LEAST.max(batch.saturating_mul(SHARE)))
    }

    pub(crate) fn of(bytes: usize) -> Self {
        let all = units(bytes).min(u32::MAX >> 3);
        Self {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    /// Waits until there is room for an image of so many bytes; one that is larger than the supply
    /// takes all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let units = units(bytes).min(self.all);
        let taken = self.free.clone().acquire_many_owned(units).await;
        Share {
            _taken: taken.expect("nobody closes the supply"),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_taken_is_waited_for() {
        let memory = Memory::of(10 * UNIT);
        let first = memory.take(7 * UNIT + 1).now_or_never().unwrap();
        let second = memory.take(2 * UNIT).now_or_never().unwrap();
        assert!(memory.take(1).now_or_never().is_none());
        drop(first);
        assert!(memory.take(8 * UNIT).now_or_never().is_some());
        // One that is larger than everything goes alone.
        assert!(memory.take(100 * UNIT).now_or_never().is_none());
        drop(second);
        let all = memory.take(100 * UNIT).now_or_never().unwrap();
        assert!(memory.take(1).now_or_never().is_none());
        drop(all);
    }

    #[test]
    fn batches_of_any_size_have_a_supply() {
        assert_eq!(Memory::new(1).all as usize * UNIT, LEAST);
        assert!(Memory::new(1024).all as usize * UNIT >= 1024 * SHARE);
        Memory::new(usize::MAX);
    }
}
