//! Slows down workers that take job after job and finish none.
//!
//! A worker that asks for jobs and brings nothing (its disk is full, its script is broken) would
//! make every job of the project fail, and have them all parked. After a few jobs in a row it
//! waits before it gets another one, each time longer. So does a machine whose workers bring
//! nothing, however often they join anew; one of them that finishes a job frees them all. What is
//! known here is in memory only: a tracker that starts knows nothing bad of anybody.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::{clock::Timestamp, token::TokenHash};

/// Jobs in a row that may come to nothing before a worker waits.
const FREE: u32 = 5;

/// The same for all workers of a machine together: what cuts off one worker there cuts off all.
const FREE_OF_MACHINE: u32 = 50;

/// The longest pause, in seconds: short of what makes a worker seem dead.
const LONGEST: i64 = 300;

/// A worker, and its machine where that is to be slowed down too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) worker: TokenHash,
    pub(crate) machine: Option<IpNet>,
}

/// What is known of the workers that hold a job or finished none of the last ones, and of their
/// machines.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    workers: HashMap<TokenHash, Worker>,
    machines: HashMap<IpNet, Misses>,
}

#[derive(Debug, Default)]
struct Worker {
    /// Whether it has a job of which nothing has come yet.
    holds: bool,
    misses: Misses,
}

/// Jobs in a row of which nothing came.
#[derive(Clone, Copy, Debug, Default)]
struct Misses {
    count: u32,
    /// When the last thing was noted.
    at: Timestamp,
}

impl Misses {
    /// How many seconds are left to wait before the next job may be had.
    fn pause(self, free: u32, now: Timestamp) -> Option<i64> {
        let more = self.count.checked_sub(free)?;
        // More bits than the longest pause has are of no use.
        let until = self.at + LONGEST.min(1 << more.min(16));
        // A clock that was set back makes nobody wait longer.
        (until > now).then(|| (until - now).min(LONGEST))
    }

    fn add(&mut self, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.at = now;
    }
}

impl Records {
    fn miss(&mut self, who: Who, now: Timestamp) {
        self.workers.entry(who.worker).or_default().misses.add(now);
        self.miss_of_machine(who, now);
    }

    fn miss_of_machine(&mut self, who: Who, now: Timestamp) {
        if let Some(machine) = who.machine {
            self.machines.entry(machine).or_default().add(now);
        }
    }
}

impl Brake {
    /// How many seconds a worker still has to wait before it may ask for a job.
    pub(crate) fn pause(&self, who: Who, now: Timestamp) -> Option<i64> {
        let records = self.records();
        let worker = records.workers.get(&who.worker);
        let worker = worker.and_then(|worker| worker.misses.pause(FREE, now));
        let machine = who.machine.and_then(|ip| records.machines.get(&ip));
        let machine = machine.and_then(|misses| misses.pause(FREE_OF_MACHINE, now));
        worker.max(machine)
    }

    /// A worker got a job. Where it still had one, nothing has come of that.
    pub(crate) fn took(&self, who: Who, now: Timestamp) {
        let mut records = self.records();
        let worker = records.workers.entry(who.worker).or_default();
        worker.misses.at = now;
        if std::mem::replace(&mut worker.holds, true) {
            records.miss(who, now);
        }
    }

    /// A worker gave its job back.
    pub(crate) fn gave_back(&self, who: Who, now: Timestamp) {
        let mut records = self.records();
        let worker = records.workers.get_mut(&who.worker);
        // Only once for each job: the call may be repeated.
        if worker.is_some_and(|worker| std::mem::take(&mut worker.holds)) {
            records.miss(who, now);
        }
    }

    /// A worker finished its job.
    pub(crate) fn finished(&self, who: Who) {
        let mut records = self.records();
        records.workers.remove(&who.worker);
        if let Some(machine) = who.machine {
            records.machines.remove(&machine);
        }
    }

    /// A worker left, perhaps with a job.
    pub(crate) fn left(&self, who: Who, now: Timestamp) {
        let mut records = self.records();
        if records.workers.remove(&who.worker).is_some_and(|w| w.holds) {
            records.miss_of_machine(who, now);
        }
    }

    /// Forgets those of whom nothing was noted since `before`.
    pub(crate) fn forget_older(&self, before: Timestamp) {
        let mut records = self.records();
        records.workers.retain(|_, w| w.misses.at >= before);
        records.machines.retain(|_, misses| misses.at >= before);
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(worker: &str) -> Who {
        Who {
            worker: TokenHash::of(worker),
            machine: Some("192.0.2.1/32".parse().unwrap()),
        }
    }

    #[test]
    fn who_finishes_nothing_waits_longer_and_longer() {
        let (brake, who) = (Brake::default(), who("t"));
        for _ in 0..FREE {
            assert_eq!(brake.pause(who, 0), None);
            brake.took(who, 0);
            brake.gave_back(who, 0);
            brake.gave_back(who, 0);
        }
        assert_eq!(brake.pause(who, 0), Some(1));
        assert_eq!(brake.pause(who, 1), None);
        brake.took(who, 1);
        brake.took(who, 1);
        assert_eq!(brake.pause(who, 1), Some(2));
        for _ in 0..10 {
            brake.took(who, 1);
        }
        for _ in 0..100 {
            brake.took(who, 1);
            assert_eq!(brake.pause(who, 1), Some(LONGEST));
        }
        assert_eq!(brake.pause(who, -9_999), Some(LONGEST));
        brake.finished(who);
        assert_eq!(brake.pause(who, 1), None);
    }

    #[test]
    fn who_joins_anew_is_known_by_its_machine() {
        let brake = Brake::default();
        let elsewhere = Who {
            machine: Some("192.0.2.2/32".parse().unwrap()),
            ..who("other")
        };
        let here = Who {
            machine: None,
            ..who("operator")
        };
        for i in 0..FREE_OF_MACHINE {
            let who = who(&i.to_string());
            assert_eq!(brake.pause(who, 0), None);
            brake.took(who, 0);
            match i % 2 {
                0 => brake.left(who, 0),
                _ => brake.gave_back(who, 0),
            }
        }
        assert_eq!(brake.pause(who("new"), 0), Some(1));
        assert_eq!(brake.pause(elsewhere, 0), None);
        assert_eq!(brake.pause(here, 0), None);
        // Nothing was held any more: nothing was missed.
        brake.left(who("1"), 0);
        assert_eq!(brake.pause(who("new"), 0), Some(1));
        brake.finished(who("0"));
        assert_eq!(brake.pause(who("new"), 0), None);
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let (brake, who) = (Brake::default(), who("t"));
        for _ in 0..=FREE {
            brake.took(who, 50);
        }
        brake.forget_older(50);
        assert!(brake.pause(who, 50).is_some());
        brake.forget_older(51);
        assert_eq!(brake.pause(who, 50), None);
    }
}
