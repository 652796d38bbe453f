//! Who is connected, and when each was heard from: in memory, stored in batches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Caller, Moment, Role, StoreError, WorkerView};
use crate::{clock::Timestamp, token::TokenHash};

/// The connected workers by token. They are added and removed after their rows were committed;
/// calls move the deadlines.
#[derive(Default)]
pub(super) struct Presence(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How often everybody was forgotten.
    generation: u64,
    /// How often beats were taken to be stored.
    departures: u64,
    by_token: HashMap<TokenHash, i64>,
    live: HashMap<i64, Live>,
}

struct Live {
    token: TokenHash,
    role: Role,
    last_seen: Timestamp,
    deadline: Timestamp,
    progress: Arc<str>,
    kept: Kept,
}

/// How much of what is known of a worker the database knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// All, if what is under way with this number arrives.
    Underway(u64),
    NotAll,
}

/// A worker as it enters.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) worker: i64,
    pub(super) token: TokenHash,
    pub(super) role: Role,
    pub(super) last_seen: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) progress: Arc<str>,
}

/// What is to be stored of one worker.
pub(super) struct Beat {
    pub(super) worker: i64,
    pub(super) token: TokenHash,
    pub(super) last_seen: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) progress: Arc<str>,
}

/// Beats that are on their way to the database.
pub(super) struct Underway<'a> {
    presence: &'a Presence,
    number: u64,
    workers: Vec<i64>,
}

impl Underway<'_> {
    /// Takes note of what has arrived.
    pub(super) fn arrived(&self, workers: &[i64]) {
        self.mark(workers, Kept::All);
    }

    /// Marks those of the workers whose beats are under way with these. What was heard meanwhile is
    /// still to be stored.
    fn mark(&self, workers: &[i64], kept: Kept) {
        let mut inner = self.presence.inner();
        for worker in workers {
            let live = inner.live.get_mut(worker);
            if let Some(live) = live.filter(|live| live.kept == Kept::Underway(self.number)) {
                live.kept = kept;
            }
        }
    }
}

impl Drop for Underway<'_> {
    // Also where whoever stores them was cut off half way.
    fn drop(&mut self) {
        self.mark(&self.workers, Kept::NotAll);
    }
}

impl Inner {
    fn enter(&mut self, known: Known) {
        let live = Live {
            token: known.token,
            role: known.role,
            last_seen: known.last_seen,
            deadline: known.deadline,
            progress: known.progress,
            kept: Kept::All,
        };
        if let Some(before) = self.live.insert(known.worker, live) {
            self.by_token.remove(&before.token);
        }
        self.by_token.insert(known.token, known.worker);
    }

    fn retain(&mut self, is_wanted: impl Fn(&Live) -> bool) {
        let Self { by_token, live, .. } = self;
        live.retain(|_, live| is_wanted(live));
        by_token.retain(|_, worker| live.contains_key(worker));
    }
}

impl Presence {
    pub(super) fn enter(&self, known: Known) {
        self.inner().enter(known);
    }

    /// Takes note of what the database says of a worker; what was heard since stays.
    pub(super) fn meet(&self, known: Known) {
        let mut inner = self.inner();
        let live = inner.live.get(&known.worker);
        let as_new =
            live.is_some_and(|live| live.token == known.token && live.deadline >= known.deadline);
        if !as_new {
            inner.enter(known);
        }
    }

    /// Whether the worker is known here and expected to call after `now`.
    pub(super) fn hears(&self, worker: i64, now: Timestamp) -> bool {
        let inner = self.inner();
        let live = inner.live.get(&worker);
        live.is_some_and(|live| live.deadline > now)
    }

    /// Forgets those of whom the database knows as much.
    pub(super) fn forget_saved(&self) {
        self.inner().retain(|live| live.kept != Kept::All);
    }

    /// Forgets those of whom the database knows as much and whose deadline has passed: they count
    /// as unknown already.
    pub(super) fn forget_late(&self, now: Timestamp) {
        let is_wanted = |live: &Live| live.kept != Kept::All || live.deadline > now;
        self.inner().retain(is_wanted);
    }

    /// Forgets everybody.
    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        *inner = Inner {
            generation: inner.generation + 1,
            ..Inner::default()
        };
    }

    /// Changes when everybody is forgotten: the number of a worker that was found before means
    /// another one after it.
    pub(super) fn generation(&self) -> u64 {
        self.inner().generation
    }

    /// Finds the caller and moves its deadline. A worker whose deadline has passed is unknown,
    /// whether or not the reaper has come by yet.
    pub(super) fn touch(
        &self,
        caller: Caller,
        moment: Moment,
        progress: Option<&str>,
    ) -> Result<(i64, Role), StoreError> {
        let mut inner = self.inner();
        let worker = inner.by_token.get(&caller.token).copied();
        let worker = worker.ok_or(StoreError::UnknownWorker)?;
        let live = inner
            .live
            .get_mut(&worker)
            .filter(|live| caller.role.is_none_or(|role| role == live.role))
            .filter(|live| live.deadline > moment.now)
            .ok_or(StoreError::UnknownWorker)?;
        live.last_seen = live.last_seen.max(moment.now);
        live.deadline = live.deadline.max(moment.until);
        live.kept = Kept::NotAll;
        if let Some(progress) = progress {
            live.progress = progress.into();
        }
        Ok((worker, live.role))
    }

    /// Says in the worker's place what it is doing.
    pub(super) fn note(&self, worker: i64, progress: &str) {
        if let Some(live) = self.inner().live.get_mut(&worker) {
            live.progress = progress.into();
            live.kept = Kept::NotAll;
        }
    }

    pub(super) fn remove(&self, worker: i64) {
        let mut inner = self.inner();
        if let Some(live) = inner.live.remove(&worker) {
            inner.by_token.remove(&live.token);
        }
    }

    /// The workers whose deadline has passed.
    pub(super) fn late(&self, now: Timestamp) -> Vec<i64> {
        let inner = self.inner();
        let late = inner.live.iter().filter(|(_, live)| live.deadline <= now);
        late.map(|(worker, _)| *worker).collect()
    }

    pub(super) fn grant_grace(&self, until: Timestamp) {
        for live in self.inner().live.values_mut() {
            // Also where it is earlier: a deadline that lies further ahead was set by a clock that
            // was wrong.
            live.deadline = until;
            live.kept = Kept::NotAll;
        }
    }

    /// What changed since the last time, to be stored. What has not arrived in the database by the
    /// time that the second is dropped is there again the next time.
    pub(super) fn take_unsaved(&self) -> (Vec<Beat>, Underway<'_>) {
        let mut inner = self.inner();
        inner.departures += 1;
        let number = inner.departures;
        let unsaved = inner.live.iter_mut();
        let unsaved = unsaved.filter(|(_, live)| live.kept == Kept::NotAll);
        let beats: Vec<Beat> = unsaved
            .map(|(worker, live)| {
                live.kept = Kept::Underway(number);
                Beat {
                    worker: *worker,
                    token: live.token,
                    last_seen: live.last_seen,
                    deadline: live.deadline,
                    progress: Arc::clone(&live.progress),
                }
            })
            .collect();
        let underway = Underway {
            presence: self,
            number,
            workers: beats.iter().map(|beat| beat.worker).collect(),
        };
        (beats, underway)
    }

    /// Brings what was read from the database up to date.
    pub(super) fn refresh(&self, worker: i64, view: &mut WorkerView) {
        if let Some(live) = self.inner().live.get(&worker) {
            view.last_seen = live.last_seen;
            view.progress = live.progress.as_ref().to_owned();
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.inner().live.len() as u64
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No step under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cah_protocol::WorkerType;

    fn enter(presence: &Presence, worker: i64, token: &str, role: Role, deadline: Timestamp) {
        presence.enter(Known {
            worker,
            token: TokenHash::of(token),
            role,
            last_seen: deadline - 100,
            deadline,
            progress: "".into(),
        });
    }

    fn caller(token: &str, role: impl Into<Option<Role>>) -> Caller {
        Caller {
            token: TokenHash::of(token),
            role: role.into(),
        }
    }

    const HYBRID: Role = Role::Crawler(WorkerType::Hybrid);

    const fn at(now: Timestamp) -> Moment {
        Moment {
            now,
            until: now + 100,
        }
    }

    #[test]
    fn a_call_moves_the_deadline_and_silence_ends_it() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 100);
        let caller = caller("t", HYBRID);
        assert!(presence.touch(caller, at(99), None).is_ok());
        assert!(presence.late(198).is_empty());
        assert_eq!(presence.late(199), [1]);
        assert!(presence.touch(caller, at(199), None).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_shortens_nothing() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 1_100);
        presence.touch(caller("t", HYBRID), at(10), None).unwrap();
        assert!(presence.late(1_099).is_empty());
    }

    #[test]
    fn a_token_counts_for_its_own_role_only() {
        let presence = Presence::default();
        enter(&presence, 1, "t", WorkerType::Cpu.into(), 100);
        for other in [WorkerType::Gpu.into(), HYBRID, Role::Stage(0)] {
            assert!(presence.touch(caller("t", other), at(1), None).is_err());
        }
        assert!(presence.take_unsaved().0.is_empty());
        let known = presence.touch(caller("t", None), at(1), None).unwrap();
        assert_eq!(known, (1, WorkerType::Cpu.into()));
    }

    #[test]
    fn each_change_is_stored_once_and_again_after_a_failure() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 100);
        let caller = caller("t", HYBRID);
        presence.touch(caller, at(1), Some("1 / 2")).unwrap();
        let (beats, underway) = presence.take_unsaved();
        assert_eq!((beats.len(), &*beats[0].progress), (1, "1 / 2"));
        assert!(presence.take_unsaved().0.is_empty());
        drop(underway);
        let (beats, underway) = presence.take_unsaved();
        assert_eq!(beats.len(), 1);
        underway.arrived(&[1]);
        drop(underway);
        assert!(presence.take_unsaved().0.is_empty());
    }

    #[test]
    fn what_the_database_says_never_makes_a_worker_older() {
        let presence = Presence::default();
        let known = |token, deadline| Known {
            worker: 1,
            token: TokenHash::of(token),
            role: HYBRID,
            last_seen: deadline - 100,
            deadline,
            progress: "".into(),
        };
        presence.meet(known("t", 100));
        let touched = presence.touch(caller("t", HYBRID), at(50), Some("1 / 2"));
        assert!(touched.is_ok());
        presence.meet(known("t", 120));
        assert!(presence.hears(1, 149));
        presence.meet(known("t", 200));
        assert!(presence.hears(1, 199) && !presence.hears(1, 200));
        // Another project's worker of the same number.
        presence.meet(known("u", 150));
        assert!(presence.touch(caller("t", HYBRID), at(1), None).is_err());
        assert!(presence.touch(caller("u", HYBRID), at(1), None).is_ok());
    }

    #[test]
    fn what_is_stored_can_be_forgotten() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 100);
        enter(&presence, 2, "u", HYBRID, 100);
        presence.touch(caller("u", HYBRID), at(1), None).unwrap();
        presence.forget_saved();
        assert!(presence.touch(caller("t", HYBRID), at(1), None).is_err());
        assert!(presence.touch(caller("u", HYBRID), at(1), None).is_ok());
    }

    #[test]
    fn what_is_being_stored_is_not_forgotten_before_it_is_there() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 100);
        let caller = caller("t", HYBRID);
        presence.touch(caller, at(1), None).unwrap();
        let (_, failed) = presence.take_unsaved();
        presence.forget_saved();
        drop(failed);
        let (beats, late) = presence.take_unsaved();
        assert_eq!(beats.len(), 1);
        presence.touch(caller, at(2), None).unwrap();
        let (beats, underway) = presence.take_unsaved();
        assert_eq!(beats.len(), 1);
        // What arrives is what was heard before.
        late.arrived(&[1]);
        drop(late);
        presence.forget_saved();
        assert_eq!(presence.len(), 1);
        underway.arrived(&[1]);
        presence.forget_saved();
        assert_eq!(presence.len(), 0);
    }

    #[test]
    fn the_late_are_forgotten_once_they_are_stored() {
        let presence = Presence::default();
        enter(&presence, 1, "t", HYBRID, 200);
        enter(&presence, 2, "u", HYBRID, 100);
        enter(&presence, 3, "v", HYBRID, 100);
        presence.touch(caller("v", HYBRID), at(1), None).unwrap();
        presence.forget_late(150);
        assert!(presence.hears(1, 0) && !presence.hears(2, 0) && presence.hears(3, 0));
    }
}
