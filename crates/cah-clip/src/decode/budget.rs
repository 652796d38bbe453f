//! How much is decoded at once, in the whole process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many pixels may be in decoders at once. The dearest are those of progressive JPEGs, at some 12 bytes each, so
/// that all decoders together hold about 1.6 GB at most, however many threads there are.
const MAX_PIXELS: u64 = 1 << 27;

static PROCESS: Budget = Budget::new(MAX_PIXELS);

/// Waits until so many pixels may be decoded.
pub(super) fn take(pixels: u64) -> Permit<'static> {
    PROCESS.take(pixels)
}

/// Pixels for whoever comes first: a large image waits for those before it, and small ones don't overtake it for ever.
///
/// Nobody waits for ever either: who holds a permit decodes one image and waits for nothing, and an image larger than
/// the whole budget goes through when it is alone.
struct Budget {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    taken: u64,
    next_ticket: u64,
    serving: u64,
}

impl Budget {
    const fn new(limit: u64) -> Self {
        let state = State {
            taken: 0,
            next_ticket: 0,
            serving: 0,
        };
        Self {
            limit,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn take(&self, pixels: u64) -> Permit<'_> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.serving != ticket || !self.has_room(&state, pixels) {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        state.taken += pixels;
        // There may be room for the next one, too.
        self.changed.notify_all();
        Permit {
            budget: self,
            pixels,
        }
    }

    fn has_room(&self, state: &State, pixels: u64) -> bool {
        state.taken == 0 || state.taken.saturating_add(pixels) <= self.limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is whole, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to decode some pixels; dropping it gives them back.
pub(super) struct Permit<'a> {
    budget: &'a Budget,
    pixels: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.budget.lock().taken -= self.pixels;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    use super::*;

    #[test]
    fn no_more_than_the_budget_is_held_and_everyone_gets_through() {
        let budget = Budget::new(100);
        let (held, most, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, held, most, done) = (&budget, &held, &most, &done);
                scope.spawn(move || {
                    for turn in 0..500 {
                        let pixels = (thread * 37 + turn * 11) % 100 + 1;
                        let permit = budget.take(pixels);
                        let now = held.fetch_add(pixels, Ordering::SeqCst) + pixels;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(pixels, Ordering::SeqCst);
                        drop(permit);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 4_000);
        assert!(most.into_inner() <= 100);
        assert_eq!(budget.lock().taken, 0);
    }

    #[test]
    fn an_image_larger_than_the_budget_goes_through_alone_and_is_not_overtaken() {
        let budget = Budget::new(100);
        let first = budget.take(60);
        let (order, arrivals) = mpsc::channel();
        std::thread::scope(|scope| {
            for (place, pixels) in [("giant", 1_000), ("small", 1)] {
                let (budget, order) = (&budget, order.clone());
                scope.spawn(move || {
                    let permit = budget.take(pixels);
                    order.send(place).unwrap();
                    drop(permit);
                });
                // It queues before the next one comes.
                while budget.lock().next_ticket < 2 + u64::from(place == "small") {
                    std::thread::yield_now();
                }
            }
            assert!(arrivals.try_recv().is_err(), "nobody came through");
            drop(first);
        });
        assert_eq!(arrivals.try_iter().collect::<Vec<_>>(), ["giant", "small"]);
    }
}
