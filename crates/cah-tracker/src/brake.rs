//! Slows down workers that take job after job and finish none.
//!
//! A worker that asks for jobs and brings nothing (its disk is full, its script is broken) would
//! make every job of the project fail, and have them all parked. After a few jobs in a row it
//! waits before it gets another one, each time longer. What is known here is in memory only: a
//! tracker that starts knows nothing bad of anybody.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{clock::Timestamp, token::TokenHash};

/// Jobs in a row that may come to nothing before a worker waits.
const FREE: u32 = 5;

/// The longest pause, in seconds: short of what makes a worker seem dead.
const LONGEST: i64 = 300;

/// What is known of the workers that hold a job, or gave back the last one.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<HashMap<TokenHash, Record>>);

#[derive(Debug)]
struct Record {
    /// Whether it has a job of which nothing has come yet.
    holds: bool,
    /// Jobs in a row of which nothing came.
    misses: u32,
    /// When the last thing was noted.
    at: Timestamp,
}

impl Record {
    /// When the next job may be had.
    fn until(&self) -> Timestamp {
        match self.misses.checked_sub(FREE) {
            None => self.at,
            // More bits than the longest pause has are of no use.
            Some(more) => self.at + LONGEST.min(1 << more.min(16)),
        }
    }
}

impl Brake {
    /// How many seconds a worker still has to wait before it may ask for a job.
    pub(crate) fn pause(&self, token: TokenHash, now: Timestamp) -> Option<i64> {
        let records = self.records();
        let until = records.get(&token)?.until();
        // A clock that was set back makes nobody wait longer.
        (until > now).then(|| (until - now).min(LONGEST))
    }

    /// A worker got a job. Where it still had one, nothing has come of that.
    pub(crate) fn took(&self, token: TokenHash, now: Timestamp) {
        let mut records = self.records();
        let record = records.entry(token).or_insert(Record {
            holds: false,
            misses: 0,
            at: now,
        });
        record.misses = record.misses.saturating_add(u32::from(record.holds));
        record.holds = true;
        record.at = now;
    }

    /// A worker gave its job back.
    pub(crate) fn gave_back(&self, token: TokenHash, now: Timestamp) {
        // Only once for each job: the call may be repeated.
        if let Some(record) = self.records().get_mut(&token)
            && record.holds
        {
            record.misses = record.misses.saturating_add(1);
            record.holds = false;
            record.at = now;
        }
    }

    /// A worker finished its job, or left.
    pub(crate) fn forget(&self, token: TokenHash) {
        self.records().remove(&token);
    }

    /// Forgets those of whom nothing was noted since `before`.
    pub(crate) fn forget_older(&self, before: Timestamp) {
        self.records().retain(|_, record| record.at >= before);
    }

    fn records(&self) -> MutexGuard<'_, HashMap<TokenHash, Record>> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finishes_nothing_waits_longer_and_longer() {
        let (brake, token) = (Brake::default(), TokenHash::of("t"));
        for _ in 0..FREE {
            assert_eq!(brake.pause(token, 0), None);
            brake.took(token, 0);
            brake.gave_back(token, 0);
            brake.gave_back(token, 0);
        }
        assert_eq!(brake.pause(token, 0), Some(1));
        assert_eq!(brake.pause(token, 1), None);
        brake.took(token, 1);
        brake.took(token, 1);
        assert_eq!(brake.pause(token, 1), Some(2));
        for _ in 0..10 {
            brake.took(token, 1);
        }
        for _ in 0..100 {
            brake.took(token, 1);
            assert_eq!(brake.pause(token, 1), Some(LONGEST));
        }
        assert_eq!(brake.pause(token, -9_999), Some(LONGEST));
        brake.forget(token);
        assert_eq!(brake.pause(token, 1), None);
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let (brake, token) = (Brake::default(), TokenHash::of("t"));
        for _ in 0..=FREE {
            brake.took(token, 50);
        }
        brake.forget_older(50);
        assert!(brake.pause(token, 50).is_some());
        brake.forget_older(51);
        assert_eq!(brake.pause(token, 50), None);
    }
}
