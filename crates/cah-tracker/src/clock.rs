//! Where the tracker takes the time from.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in time, in Unix seconds.
pub type Timestamp = i64;

/// Tells the time; injected, so that leases run out in tests without anyone waiting.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, read once; from then on time only moves forward, whatever is done to the
/// machine's clock, so that no lease runs out because somebody corrected it.
#[derive(Debug)]
pub struct SystemClock {
    started: Duration,
    since: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            // A clock before 1970 counts as 1970: leases need differences only.
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            since: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        seconds(self.started + self.since.elapsed())
    }
}

/// A clock that is moved by hand.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `now` and stays there.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Moves the time by some seconds; a negative number sets the clock back.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whole seconds of a duration, as differences of [`Timestamp`]s are counted.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_past_2020_and_the_manual_one_moves() {
        assert!(SystemClock::default().now() > 1_577_836_800);
        let clock = ManualClock::new(100);
        clock.advance(-30);
        assert_eq!(clock.now(), 70);
    }
}
