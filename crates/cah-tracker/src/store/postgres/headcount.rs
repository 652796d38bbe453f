//! How many workers are connected. They are counted now and then; in between it is known what
//! changed here, and what changed elsewhere may be missing for a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::store::rules::signed;

/// How long a count holds.
const HOLDS: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Headcount(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How often the number has changed here.
    changes: u64,
    counted: Option<Counted>,
}

struct Counted {
    at: Instant,
    workers: i64,
}

/// What is known at one moment.
pub(super) struct Known {
    changes: u64,
    /// How many there are; `None` where they should be counted.
    pub(super) count: Option<i64>,
}

impl Headcount {
    /// Takes note of workers that came (or went, with a negative number) here.
    pub(super) fn change(&self, by: i64) {
        let mut inner = self.inner();
        inner.changes += 1;
        if let Some(counted) = &mut inner.counted {
            counted.workers += by;
        }
    }

    /// Has them counted the next time.
    pub(super) fn forget(&self) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.counted = None;
    }

    pub(super) fn known(&self) -> Known {
        let inner = self.inner();
        let counted = inner.counted.as_ref();
        let holds = counted.filter(|counted| counted.at.elapsed() < HOLDS);
        Known {
            changes: inner.changes,
            count: holds.map(|counted| counted.workers),
        }
    }

    /// Keeps a count, unless it was known before, or something changed since.
    pub(super) fn keep(&self, before: &Known, workers: u64) {
        let mut inner = self.inner();
        if before.count.is_none() && before.changes == inner.changes {
            inner.counted = Some(Counted {
                at: Instant::now(),
                workers: signed(workers),
            });
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_kept_up_with_what_happens_here() {
        let headcount = Headcount::default();
        let before = headcount.known();
        assert_eq!(before.count, None);
        headcount.keep(&before, 7);
        headcount.change(2);
        headcount.change(-1);
        assert_eq!(headcount.known().count, Some(8));
        headcount.forget();
        assert_eq!(headcount.known().count, None);
    }

    #[test]
    fn a_count_that_was_overtaken_is_not_kept() {
        let headcount = Headcount::default();
        let before = headcount.known();
        headcount.change(1);
        headcount.keep(&before, 7);
        assert_eq!(headcount.known().count, None);
    }

    #[test]
    fn a_count_holds_for_a_moment_only() {
        let headcount = Headcount::default();
        headcount.keep(&headcount.known(), 7);
        let long_ago = Instant::now().checked_sub(HOLDS).unwrap();
        headcount.inner().counted.as_mut().unwrap().at = long_ago;
        assert_eq!(headcount.known().count, None);
    }
}
