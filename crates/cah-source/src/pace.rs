//! How slowly a file may come.

use std::time::Duration;

/// The time that is waited for the bytes of a file whatever comes, retries and their pauses included.
pub const GRACE: Duration = Duration::from_secs(300);

/// Bytes a second of the slowest line that is waited for beside that.
pub const SLOWEST_PER_SECOND: u64 = 32 << 10;

/// The time that was waited for the bytes of one file, over all attempts.
///
/// A deadline for each chunk alone would begin anew with every byte, and a server that sends one a
/// minute would hold its reader for ever.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    received: u64,
    /// The end of what came of the file so far.
    reached: u64,
}

impl Pace {
    /// How long the next bytes are waited for.
    pub(crate) fn left(&self) -> Duration {
        let earned = Duration::from_secs(self.received / SLOWEST_PER_SECOND);
        (GRACE + earned).saturating_sub(self.waited)
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Bytes of the file came. What came before already, because a server without ranges begins
    /// from the start again, buys no time.
    pub(crate) fn received(&mut self, from: u64, to: u64) {
        self.received += to.saturating_sub(from.max(self.reached));
        self.reached = self.reached.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_bytes_buy_time() {
        let mut pace = Pace::default();
        let minute = 60 * SLOWEST_PER_SECOND;
        pace.received(0, minute);
        pace.received(0, minute / 2);
        assert_eq!(pace.left(), GRACE + Duration::from_secs(60));
        pace.received(minute / 2, 2 * minute);
        pace.waited(Duration::from_secs(30));
        assert_eq!(pace.left(), GRACE + Duration::from_secs(90));
        pace.waited(GRACE * 2);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
