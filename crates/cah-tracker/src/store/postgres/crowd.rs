//! How many calls of one worker wait at the same time: one that calls and calls keeps the others
//! waiting no longer than any worker does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::StoreError;

/// Calls of one worker that may wait. A worker makes one at a time, and perhaps another one where
/// it got no answer.
const CALLS: usize = 8;

#[derive(Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<HashMap<i64, usize>>>);

/// The place that a call takes until it is dropped.
pub(super) struct Place {
    crowd: Crowd,
    worker: i64,
}

impl Crowd {
    /// A place for a call of the worker, where it has not too many.
    pub(super) fn enter(&self, worker: i64) -> Result<Place, StoreError> {
        let mut calls = self.calls();
        let calls = calls.entry(worker).or_default();
        if *calls == CALLS {
            return Err(StoreError::unavailable(
                "the worker has too many calls under way",
            ));
        }
        *calls += 1;
        Ok(Place {
            crowd: self.clone(),
            worker,
        })
    }

    fn leave(&self, worker: i64) {
        let mut calls = self.calls();
        if let Some(count) = calls.get_mut(&worker) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&worker);
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.leave(self.worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_its_places_and_they_become_free() {
        let crowd = Crowd::default();
        let mut places: Vec<Place> = (0..CALLS).map(|_| crowd.enter(1).unwrap()).collect();
        assert!(crowd.enter(1).is_err());
        let other = crowd.enter(2).unwrap();
        places.pop();
        places.push(crowd.enter(1).unwrap());
        assert!(crowd.enter(1).is_err());
        drop((places, other));
        assert!(crowd.calls().is_empty());
    }
}
