//! Uploads under way, of which a job has only so many at the same time.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many: a worker that calls again because its line broke finds what came over it still under way,
/// for as long as an upload may be silent.
pub(super) const AT_ONCE: usize = 3;

/// How many there are, by job.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<u64, usize>>>);

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    all: UnderWay,
    number: u64,
}

impl UnderWay {
    /// Counts one more for a job; `None` where it has as many as it may.
    pub(super) fn begin(&self, number: u64) -> Option<Upload> {
        let mut counts = self.counts();
        let count = counts.entry(number).or_default();
        if *count >= AT_ONCE {
            return None;
        }
        *count += 1;
        let all = self.clone();
        Some(Upload { all, number })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.all.counts().entry(self.number) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_so_many_at_the_same_time() {
        let all = UnderWay::default();
        let mut uploads: Vec<_> = (0..AT_ONCE).map(|_| all.begin(1).unwrap()).collect();
        assert!(all.begin(1).is_none());
        drop(all.begin(2).unwrap());
        uploads.pop();
        uploads.push(all.begin(1).unwrap());
        drop(uploads);
        assert!(all.counts().is_empty());
    }
}
