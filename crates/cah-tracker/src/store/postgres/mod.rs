//! The shared store: a PostgreSQL database, for any number of trackers at the same time.
//!
//! What workers ask for all the time is made by one task a tracker, many changes a transaction
//! ([`committer`], [`batch`]); the rest in transactions of its own on a few more connections
//! ([`pool`]). Counters are changed once a transaction ([`deltas`]). What was heard from workers is
//! kept in memory as in the embedded store, but only as a cache: a worker may call one tracker now
//! and another one next. One of the trackers at a time removes the silent ones ([`leader`]).

mod address;
mod admin;
mod analysis;
mod archive;
mod batch;
mod chunks;
mod claims;
mod committer;
mod connection;
mod connector;
mod contributors;
mod crowd;
mod deltas;
mod flags;
mod headcount;
mod imports;
mod jobs;
mod leader;
mod leases;
mod parking;
#[cfg(test)]
mod plans;
mod pool;
mod schema;
mod series;
mod workers;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use cah_protocol::{OutcomeCounts, Shard};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Absent, Accepted, Added, Admin, Archive, ArchiveError, BoardRow, Caller, Chunks, Claim,
    Claimed, Completion, ContributorView, Contributors, Counts, Excluded, Exclusion, Failure, Flag,
    HandIn, HandInBy, HandedOver, JobRecord, Jobs, Moment, NewWorker, ParkedJob, Point, Reaped,
    Role, Rows, Series, State, Store, StoreError, Telling, WorkerList, WorkerQuery, WorkerView,
    Workers, presence::Presence, rules,
};
use crate::{clock::Timestamp, token::TokenHash};
use analysis::Analysis;
use batch::Change;
use claims::ClaimAsk;
use committer::Committer;
use connection::{check_storable, storable};
use connector::Connector;
use headcount::Headcount;
use leader::Leader;
use leases::{CompleteAsk, FailAsk};
use pool::{Pool, atomically};
use workers::JoinAsk;

/// Connections for reads, and for changes that are not frequent.
const READS: usize = 6;

/// Heartbeats that are stored in one statement.
const BEATS: usize = 1_000;

/// How long to wait for a tracker that has just ended to be gone, and how often to look.
const PARTING: (u32, Duration) = (20, Duration::from_millis(50));

/// A project in a PostgreSQL database.
pub struct PostgresStore {
    committer: Committer,
    pool: Pool,
    /// For what keeps workers and trackers alive: no page and no operator is in its way.
    lifeline: Pool,
    presence: Arc<Presence>,
    headcount: Arc<Headcount>,
    analysis: Analysis,
    leader: Arc<Leader>,
    listening: AbortOnDropHandle<()>,
}

impl PostgresStore {
    /// Opens the database that the address names, as in `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// [`StoreError::Open`]: the server cannot be reached, refuses or loses what it acknowledges,
    /// or the database is another program's or was made by a newer version.
    /// [`StoreError::NoStore`] where the database has no tables.
    pub async fn open(address: &str, absent: Absent) -> Result<Self, StoreError> {
        let mut connector = Connector::new(address).map_err(|reason| StoreError::Open {
            name: "of this PostgreSQL address".into(),
            reason,
        })?;
        let name = connector.name();
        let refused = |reason| StoreError::Open {
            name: name.clone(),
            reason,
        };
        let first = connector.connect_first().await;
        let first = first.map_err(|error| refused(error.plain()))?;
        if absent == Absent::Refuse && !schema::is_there(&first).await.map_err(refused)? {
            return Err(StoreError::NoStore(name));
        }
        schema::open(&first).await.map_err(refused)?;
        let connector = Arc::new(connector);
        let presence = Arc::new(Presence::default());
        let leader = Leader::new(Arc::clone(&connector), Arc::clone(&presence));
        let leader = Arc::new(leader);
        let listening = Arc::clone(&leader);
        let listening = tokio::spawn(async move { listening.keep_listening().await });
        let headcount = Arc::new(Headcount::default());
        Ok(Self {
            committer: Committer::start(
                Arc::clone(&connector),
                Arc::clone(&presence),
                Arc::clone(&headcount),
            ),
            pool: Pool::new(Arc::clone(&connector), READS, Some(first)),
            lifeline: Pool::new(connector, 1, None),
            presence,
            headcount,
            analysis: Analysis::default(),
            leader,
            listening: AbortOnDropHandle::new(listening),
        })
    }

    /// Finds the caller and moves its deadline. Who is not known here may be known to others.
    async fn touch(
        &self,
        caller: Caller,
        moment: Moment,
        progress: Option<&str>,
    ) -> Result<(i64, Role), StoreError> {
        self.committer.check()?;
        if let Ok(known) = self.presence.touch(caller, moment, progress) {
            return Ok(known);
        }
        let db = self.pool.get().await?;
        let known = workers::find_by_token(&db, caller, moment.now).await?;
        self.presence.meet(known.ok_or(StoreError::UnknownWorker)?);
        self.presence.touch(caller, moment, progress)
    }

    /// Stores what was heard from workers, and tells the other trackers that this one lives.
    async fn store_and_appear(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store_beats().await?;
        self.presence.forget_late(now);
        let db = self.lifeline.get().await?;
        self.leader.appear(&db, now).await
    }

    /// Says in the worker's place what it is doing, once that stands.
    fn note<T>(
        &self,
        worker: i64,
        doing: &str,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &done {
            Ok(_) => self.presence.note(worker, doing),
            Err(StoreError::UnknownWorker) => self.presence.remove(worker),
            Err(_) => {}
        }
        done
    }

    /// Takes note of workers that were removed here.
    fn forget(&self, gone: &[i64]) {
        gone.iter().for_each(|worker| self.presence.remove(*worker));
        self.headcount
            .change(-i64::try_from(gone.len()).unwrap_or(i64::MAX));
    }

    /// Stores what was heard from workers.
    async fn store_beats(&self) -> Result<(), StoreError> {
        let (mut beats, underway) = self.presence.take_unsaved();
        beats.sort_by_key(|beat| beat.worker);
        for some in beats.chunks(BEATS) {
            let db = self.lifeline.get().await?;
            let stored = workers::store_beats(&db, some).await?;
            underway.arrived(&stored.saved);
            for worker in stored.gone {
                self.presence.remove(worker);
            }
        }
        Ok(())
    }

    /// Whether other trackers serve the project. One that has just ended may still seem to: it is
    /// given a moment.
    async fn has_lasting_others(&self, now: Timestamp) -> Result<bool, StoreError> {
        let db = self.lifeline.get().await?;
        let (looks, pause) = PARTING;
        for _ in 0..looks {
            if !self.leader.has_others(&db, now).await? {
                return Ok(false);
            }
            sleep(pause).await;
        }
        Ok(true)
    }
}

#[async_trait]
impl Jobs for PostgresStore {
    async fn claim(
        &self,
        caller: Caller,
        claim: Claim,
        moment: Moment,
    ) -> Result<Claimed, StoreError> {
        let (worker, role) = self.touch(caller, moment, None).await?;
        let ask = ClaimAsk {
            worker,
            role,
            claim,
            moment,
        };
        self.committer.call(Change::Claim, ask).await
    }

    async fn complete(
        &self,
        caller: Caller,
        completion: Completion,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        let (worker, _) = self.touch(caller, moment, None).await?;
        if let Some(output) = &completion.output {
            check_storable(output)?;
        }
        let ask = CompleteAsk {
            worker,
            completion,
            now: moment.now,
        };
        self.committer.call(Change::Complete, ask).await
    }

    async fn flag(
        &self,
        caller: Caller,
        flag: Flag,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        let (worker, role) = self.touch(caller, moment, None).await?;
        let flag = flag.by(role);
        let _place = self.committer.place(worker)?;
        let flagged = atomically!(self.pool, |tx| flags::flag(tx, worker, flag, moment.now));
        self.note(worker, "Flagged a job", flagged)
    }

    async fn fail(
        &self,
        caller: Caller,
        failure: Failure,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        let (worker, _) = self.touch(caller, moment, None).await?;
        let message = storable(&failure.message).into_owned();
        let ask = FailAsk {
            worker,
            failure: Failure { message, ..failure },
            now: moment.now,
        };
        self.committer.call(Change::Fail, ask).await
    }

    async fn give_back(
        &self,
        caller: Caller,
        number: Option<u64>,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        let (worker, _) = self.touch(caller, moment, None).await?;
        let _place = self.committer.place(worker)?;
        let given = atomically!(self.pool, |tx| flags::give_back(tx, worker, number));
        self.note(worker, rules::GAVE_BACK, given)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let known = self.headcount.known();
        let counts = jobs::counts(&*self.pool.get().await?, known.count).await?;
        self.headcount.keep(&known, counts.workers);
        Ok(counts)
    }

    async fn parked(&self, after: u64, limit: u32) -> Result<Vec<ParkedJob>, StoreError> {
        parking::list(&*self.pool.get().await?, after, limit).await
    }

    async fn records(&self, after: u64, limit: u32) -> Result<Vec<JobRecord>, StoreError> {
        jobs::records(&*self.pool.get().await?, after, limit, Telling::ALL).await
    }

    async fn record(&self, number: u64, telling: Telling) -> Result<Option<JobRecord>, StoreError> {
        let before = number.saturating_sub(1);
        let records = jobs::records(&*self.pool.get().await?, before, 1, telling).await?;
        Ok(rules::only(records, number))
    }

    async fn handed_over(&self, addresses: Vec<String>) -> Result<Vec<HandedOver>, StoreError> {
        chunks::handed_over(&*self.pool.get().await?, &addresses).await
    }
}

#[async_trait]
impl Chunks for PostgresStore {
    async fn open_chunk(&self, whole: bool) -> Result<Option<String>, StoreError> {
        chunks::open_chunk(&*self.pool.get().await?, whole).await
    }

    async fn open_shards(&self, url: String) -> Result<Vec<Shard>, StoreError> {
        chunks::open_shards(&*self.pool.get().await?, &url).await
    }

    async fn hand_in(
        &self,
        results: Vec<HandIn>,
        by: HandInBy,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        atomically!(self.pool, |tx| chunks::hand_in(tx, &results, &by, now))
    }
}

#[async_trait]
impl Admin for PostgresStore {
    async fn init(&self, stages: Vec<String>) -> Result<(), StoreError> {
        atomically!(self.pool, |tx| admin::init(tx, &stages))
    }

    async fn add_chunks(&self, urls: Vec<String>, priority: i64) -> Result<Added, StoreError> {
        let added = atomically!(self.pool, |tx| imports::add_chunks(tx, &urls, priority))?;
        self.analysis.after_import(&self.pool).await;
        Ok(added)
    }

    async fn add_payloads(&self, texts: Vec<String>, priority: i64) -> Result<Added, StoreError> {
        let added = atomically!(self.pool, |tx| imports::add_payloads(tx, &texts, priority))?;
        self.analysis.after_import(&self.pool).await;
        Ok(added)
    }

    async fn requeue(&self, number: Option<u64>) -> Result<u64, StoreError> {
        atomically!(self.pool, |tx| parking::requeue(tx, number))
    }

    async fn reset(&self, number: u64) -> Result<(), StoreError> {
        atomically!(self.pool, |tx| admin::renew(tx, number, State::Open))
    }

    async fn ban(&self, number: u64) -> Result<(), StoreError> {
        atomically!(self.pool, |tx| admin::renew(tx, number, State::Banned))
    }

    async fn banner(&self) -> Result<String, StoreError> {
        admin::banner(&*self.pool.get().await?).await
    }

    async fn set_banner(&self, text: String) -> Result<(), StoreError> {
        atomically!(self.pool, |tx| admin::set_banner(tx, &text))
    }

    async fn exclusions(&self) -> Result<Vec<Exclusion>, StoreError> {
        admin::exclusions(&*self.pool.get().await?).await
    }

    async fn exclude(&self, exclusion: Exclusion) -> Result<u64, StoreError> {
        let gone = atomically!(self.pool, |tx| admin::exclude(tx, &exclusion))?;
        self.forget(&gone);
        Ok(gone.len() as u64)
    }

    async fn readmit(&self, whom: Excluded) -> Result<bool, StoreError> {
        atomically!(self.pool, |tx| admin::readmit(tx, &whom))
    }

    async fn address_of(&self, display_name: String) -> Result<Option<IpAddr>, StoreError> {
        workers::address(&*self.pool.get().await?, &display_name).await
    }
}

#[async_trait]
impl Workers for PostgresStore {
    async fn register(&self, worker: NewWorker, moment: Moment) -> Result<(), StoreError> {
        let worker = Box::new(worker);
        let ask = JoinAsk { worker, moment };
        self.committer.call(Change::Join, ask).await.map(drop)
    }

    async fn beat(
        &self,
        caller: Caller,
        progress: Option<String>,
        moment: Moment,
    ) -> Result<Role, StoreError> {
        let (_, role) = self.touch(caller, moment, progress.as_deref()).await?;
        Ok(role)
    }

    async fn held_by(&self, secret: TokenHash) -> Result<u64, StoreError> {
        workers::held_by(&*self.pool.get().await?, secret).await
    }

    async fn leave(&self, caller: Caller, moment: Moment) -> Result<Role, StoreError> {
        let (worker, role) = self.touch(caller, moment, None).await?;
        self.committer.call(Change::Leave, worker).await?;
        Ok(role)
    }

    async fn reap(&self, now: Timestamp, max_failures: u32) -> Result<Reaped, StoreError> {
        self.committer.check()?;
        let mut all = Reaped::default();
        if !self.leader.leads().await? {
            return Ok(all);
        }
        self.flush(now).await?;
        let Some(late) = self.leader.late_at(now) else {
            return Ok(all);
        };
        let presence = &self.presence;
        let mut next = Some(i64::MIN);
        while let Some(after) = next {
            let page = atomically!(self.lifeline, |tx| workers::reap(
                tx,
                presence,
                after,
                late,
                max_failures,
                now
            ))?;
            self.forget(&page.silent);
            all.workers += page.reaped.workers;
            all.jobs += page.reaped.jobs;
            next = page.next;
        }
        Ok(all)
    }

    async fn grant_grace(&self, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        if !self.has_lasting_others(now).await? {
            self.presence.grant_grace(until);
            let db = self.lifeline.get().await?;
            // Also where it is earlier: a deadline that lies further ahead was set by a clock that
            // was wrong.
            db.execute("UPDATE workers SET deadline = $1", &[&until])
                .await?;
        }
        self.flush(now).await
    }

    async fn flush(&self, now: Timestamp) -> Result<(), StoreError> {
        let flushed = self.store_and_appear(now).await;
        if flushed.is_err() {
            self.leader.interrupted();
        }
        flushed
    }

    async fn workers(&self, query: WorkerQuery) -> Result<WorkerList, StoreError> {
        workers::list(&*self.pool.get().await?, &self.presence, &query).await
    }

    async fn worker(
        &self,
        role: Role,
        display_name: String,
    ) -> Result<Option<WorkerView>, StoreError> {
        let db = self.pool.get().await?;
        workers::find(&db, &self.presence, role, &display_name).await
    }
}

#[async_trait]
impl Contributors for PostgresStore {
    async fn leaderboard(&self, stage: u8, limit: u32) -> Result<Vec<BoardRow>, StoreError> {
        contributors::leaderboard(&*self.pool.get().await?, stage, limit).await
    }

    async fn contributor(
        &self,
        nickname: String,
        days: u32,
    ) -> Result<Option<ContributorView>, StoreError> {
        contributors::view(&*self.pool.get().await?, &nickname, days).await
    }

    async fn outcomes(&self) -> Result<OutcomeCounts, StoreError> {
        contributors::outcomes(&*self.pool.get().await?).await
    }
}

#[async_trait]
impl Series for PostgresStore {
    async fn record_point(&self, now: Timestamp) -> Result<(), StoreError> {
        self.committer.check()?;
        match self.leader.leads().await? {
            true => atomically!(self.pool, |tx| series::record(tx, now)),
            // The one that leads does.
            false => Ok(()),
        }
    }

    async fn points(&self, limit: u32) -> Result<Vec<Point>, StoreError> {
        series::last(&*self.pool.get().await?, limit).await
    }
}

#[async_trait]
impl Archive for PostgresStore {
    async fn dump(&self, rows: mpsc::Sender<Rows>) -> Result<(), StoreError> {
        archive::dump(&mut self.pool.get().await?, &rows).await
    }

    async fn load(
        &self,
        mut rows: mpsc::Receiver<Result<Rows, ArchiveError>>,
        replace: bool,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // Not again where another transaction was in its way: the rows have been read.
        let mut tx = self.pool.begin().await?;
        let loaded = archive::load(&mut tx, &mut rows, replace, until).await;
        tx.end(loaded).await?;
        self.presence.clear();
        self.headcount.forget();
        self.analysis.after_load(&self.pool).await;
        Ok(())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.committer.call(Change::Probe, ()).await
    }

    async fn close(&self) {
        self.listening.abort();
        if let Err(error) = self.part().await {
            tracing::warn!(%error, "the last heartbeats could not be stored");
        }
        self.committer.stop().await;
        self.pool.close();
        self.lifeline.close();
    }
}

impl PostgresStore {
    /// Stores what is in memory and says goodbye to the other trackers.
    async fn part(&self) -> Result<(), StoreError> {
        self.store_beats().await?;
        self.leader.disappear(&*self.lifeline.get().await?).await
    }
}
