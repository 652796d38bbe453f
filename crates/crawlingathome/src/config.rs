use std::time::Duration;

use crate::RetryPolicy;

/// How to reach a tracker, and as whom.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The tracker's address, http or https. Where the tracker asks for a join key, it is part of
    /// the address: `https://tracker.example.org/k/KEY/`.
    pub url: String,
    /// The name on the leaderboard, at most 128 characters.
    pub nickname: String,
    /// When the first call is tried again: nobody knows yet whether there is a tracker at all.
    pub introduction: RetryPolicy,
    /// When all further calls are tried again.
    pub retry: RetryPolicy,
    /// The longest pause between two heartbeats of a lease; a tracker may ask for a shorter one.
    pub heartbeat: Duration,
}

impl ClientConfig {
    /// The usual settings: two minutes for the introduction, retries for two hours, a heartbeat a
    /// minute.
    pub fn new(url: impl Into<String>, nickname: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            nickname: nickname.into(),
            introduction: RetryPolicy {
                give_up_after: Some(Duration::from_secs(120)),
                ..RetryPolicy::default()
            },
            retry: RetryPolicy::default(),
            heartbeat: Duration::from_secs(60),
        }
    }

    /// The pause between two heartbeats where the tracker asks for one of so many seconds.
    pub(crate) fn heartbeat(&self, wanted: Option<u64>) -> Duration {
        let wanted = wanted.map(Duration::from_secs);
        wanted.map_or(self.heartbeat, |wanted| wanted.min(self.heartbeat))
    }
}
