//! Where the tracker takes the time from.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in time, in Unix seconds.
pub type Timestamp = i64;

/// Tells the time; injected, so that leases run out in tests without anyone waiting.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, but never in a jump: where that is set, or goes on after the machine was
/// suspended, this one runs faster or slower until they agree. So no lease runs out at once because
/// of it, and time never runs backward.
#[derive(Debug)]
pub struct SystemClock(Mutex<Reading>);

/// What time it was at some instant.
#[derive(Debug)]
struct Reading {
    time: Duration,
    at: Instant,
}

/// How much faster than time passes the clock runs to make up for what it is behind; where it is
/// ahead it runs as much slower.
const HASTE: u32 = 2;

impl Reading {
    /// The time at a later instant, at which the machine's clock says `machine`.
    fn later(&mut self, at: Instant, machine: Duration) -> Duration {
        let passed = at.saturating_duration_since(self.at);
        let (slow, fast) = (self.time + passed / HASTE, self.time + passed * HASTE);
        *self = Self {
            time: machine.clamp(slow, fast),
            at,
        };
        self.time
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self(Mutex::new(Reading {
            time: machine_time(),
            at: Instant::now(),
        }))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // No step under the lock leaves it half changed.
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seconds(reading.later(Instant::now(), machine_time()))
    }
}

/// A clock before 1970 counts as 1970: leases need differences only.
fn machine_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
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
    fn the_machine_is_followed_without_a_jump() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let time = Duration::from_secs;
        let mut reading = Reading {
            time: time(1_000),
            at: start,
        };
        assert_eq!(reading.later(after(5), time(1_005)), time(1_005));
        // Set back: time goes on, slower.
        assert_eq!(reading.later(after(15), time(400)), time(1_010));
        assert_eq!(reading.later(after(17), time(1_011)), time(1_011));
        // Suspended for an hour, of which the instants know nothing.
        assert_eq!(reading.later(after(18), time(4_612)), time(1_013));
        assert_eq!(reading.later(after(3_618), time(8_212)), time(8_212));
        assert_eq!(reading.later(after(3_619), time(8_213)), time(8_213));
    }

    #[test]
    fn the_system_clock_is_past_2020_and_the_manual_one_moves() {
        assert!(SystemClock::default().now() > 1_577_836_800);
        let clock = ManualClock::new(100);
        clock.advance(-30);
        assert_eq!(clock.now(), 70);
    }
}
