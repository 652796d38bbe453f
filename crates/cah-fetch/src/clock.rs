//! The two budgets of time of one fetch: what it may queue and what it may work.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout};

use crate::error::{FetchError, Stage};

#[derive(Debug)]
pub(crate) struct Clock {
    queue: Budget,
    work: Budget,
}

impl Clock {
    pub(crate) fn new(queue_limit: Duration, deadline: Duration) -> Self {
        Self {
            queue: Budget::new(queue_limit),
            work: Budget::new(deadline),
        }
    }

    /// Waits for a turn; charged to the queue.
    pub(crate) async fn queue<T>(
        &mut self,
        turn: impl Future<Output = T>,
    ) -> Result<T, FetchError> {
        let done = self.queue.spend(turn).await;
        done.ok_or(FetchError::TimedOut(Stage::Queueing))
    }

    /// Does what has to be done before the deadline; charged to it.
    pub(crate) async fn work<T>(&mut self, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let done = self.work.spend(work).await;
        done.ok_or(FetchError::TimedOut(Stage::Fetching))
    }

    /// What is left until the deadline.
    pub(crate) fn work_left(&self) -> Duration {
        self.work.left()
    }

    pub(crate) fn queued(&self) -> Duration {
        self.queue.spent
    }

    pub(crate) fn worked(&self) -> Duration {
        self.work.spent
    }
}

#[derive(Debug)]
struct Budget {
    limit: Duration,
    spent: Duration,
}

impl Budget {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            spent: Duration::ZERO,
        }
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.spent)
    }

    async fn spend<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        let done = timeout(self.left(), future).await;
        self.spent += start.elapsed();
        done.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn queueing_does_not_eat_the_deadline() {
        let mut clock = Clock::new(60 * SECOND, 10 * SECOND);
        clock.queue(sleep(59 * SECOND)).await.unwrap();
        clock.work(sleep(9 * SECOND)).await.unwrap();
        assert_eq!(clock.work_left(), SECOND);
        assert_eq!(clock.queued(), 59 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn each_budget_is_one_for_all_its_steps() {
        let mut clock = Clock::new(3 * SECOND, 3 * SECOND);
        clock.work(sleep(2 * SECOND)).await.unwrap();
        let error = clock.work(sleep(2 * SECOND)).await.unwrap_err();
        assert_eq!(error, FetchError::TimedOut(Stage::Fetching));
        clock.queue(sleep(2 * SECOND)).await.unwrap();
        let error = clock.queue(pending::<()>()).await.unwrap_err();
        assert_eq!(error, FetchError::TimedOut(Stage::Queueing));
        assert_eq!(clock.queued(), 3 * SECOND);
    }
}
