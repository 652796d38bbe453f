//! When a call is tried again.

use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// How long a client keeps trying to reach its tracker.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The pause before the second attempt; doubled for each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long after its first failure a call is tried again; `None` tries for ever.
    pub give_up_after: Option<Duration>,
}

impl Default for RetryPolicy {
    /// From half a second to 30 seconds, for two hours: a tracker that is down for a while costs
    /// its workers nothing but that while.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            give_up_after: Some(Duration::from_secs(2 * 3600)),
        }
    }
}

impl RetryPolicy {
    /// One attempt, no retries.
    pub const fn once() -> Self {
        Self {
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            give_up_after: Some(Duration::ZERO),
        }
    }

    /// Tries again what failed and can pass, until it does or it is time to give up.
    pub(crate) async fn run<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        attempt: impl Fn() -> F,
        can_pass: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        // Counted from the first failure: a long upload that breaks off near its end has not used
        // its time up.
        let mut pauses = None;
        loop {
            let failure = match attempt().await {
                Err(failure) if can_pass(&failure) => failure,
                done => return done,
            };
            let pauses = pauses.get_or_insert_with(|| self.start());
            let Some(pause) = pauses.next() else {
                return Err(failure);
            };
            let pause = jittered(pause);
            tracing::warn!("{failure}; trying again in {pause:.1?}");
            tokio::time::sleep(pause).await;
        }
    }

    pub(crate) fn start(&self) -> Pauses {
        Pauses {
            next: self.first_pause,
            longest: self.longest_pause,
            deadline: self.give_up_after.map(|limit| Instant::now() + limit),
        }
    }
}

/// Half to the whole of a pause, so that the workers of a tracker that comes back do not all come
/// in the same moment.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

/// The pauses of one call.
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
    deadline: Option<Instant>,
}

impl Pauses {
    /// How long to wait before the next attempt; `None` when it is time to give up.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() + pause >= deadline)
        {
            return None;
        }
        self.next = (pause * 2).min(self.longest);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(4),
            give_up_after: Some(Duration::from_secs(12)),
        };
        let mut pauses = policy.start();
        let mut taken = Vec::new();
        while let Some(pause) = pauses.next() {
            taken.push(pause.as_secs());
            tokio::time::sleep(pause).await;
        }
        assert_eq!(taken, [1, 2, 4, 4]);
        assert!(RetryPolicy::once().start().next().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_attempt_uses_no_time_up() {
        let attempts = std::cell::Cell::new(0);
        let attempt = || async {
            attempts.set(attempts.get() + 1);
            tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
            Err::<(), _>("broken off")
        };
        let policy = RetryPolicy::default();
        assert!(policy.run(attempt, |_| attempts.get() < 2).await.is_err());
        assert_eq!(attempts.get(), 2);
    }
}
