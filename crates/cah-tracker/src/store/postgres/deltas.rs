//! What changes do to the counters. The rows that hold these are wanted by everybody: they are
//! changed once a transaction, right before it commits, and always in the same order, so that no
//! two trackers wait for each other.

use std::collections::BTreeMap;

use cah_protocol::OutcomeCounts;

use super::connection::{Connection, code, is_passing};
use crate::{
    clock::Timestamp,
    store::{
        State, StoreError,
        rules::{DAY, signed},
    },
};

/// The channel on which trackers tell each other of workers that are gone.
pub(super) const CHANNEL: &str = "cah_workers";

/// The message that no worker is known any longer.
pub(super) const EVERYBODY: &str = "*";

/// The longest message that is sent as a list; PostgreSQL allows 7,999 bytes.
const MESSAGE: usize = 7_000;

const STAGES: &str = "
    WITH delta AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (stage, open, leased)
    ), locked AS MATERIALIZED (
        SELECT stage FROM stages WHERE stage = ANY ($1) ORDER BY stage FOR UPDATE
    )
    UPDATE stages s SET open = s.open + d.open, leased = s.leased + d.leased
    FROM locked JOIN delta d USING (stage) WHERE s.stage = locked.stage";

const TOTALS: &str = "
    UPDATE totals SET jobs = jobs + $1, closed = closed + $2, banned = banned + $3,
                      parked = parked + $4, pairs = pairs + $5 WHERE id = 1";

const BOARDS: &str = "
    INSERT INTO boards AS b (stage, contributor, jobs, closed, pairs)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                  AS d (stage, contributor, jobs, closed, pairs)
    ORDER BY stage, contributor
    ON CONFLICT (stage, contributor) DO UPDATE
    SET jobs = b.jobs + excluded.jobs, closed = b.closed + excluded.closed,
        pairs = b.pairs + excluded.pairs";

const DAYS: &str = "
    INSERT INTO days AS d (contributor, stage, day, jobs, pairs)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                  AS n (contributor, stage, day, jobs, pairs)
    ORDER BY contributor, stage, day
    ON CONFLICT (contributor, stage, day) DO UPDATE
    SET jobs = d.jobs + excluded.jobs, pairs = d.pairs + excluded.pairs";

const OUTCOMES: &str = "
    INSERT INTO outcomes AS o (outcome, candidates)
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS n (outcome, candidates) ORDER BY outcome
    ON CONFLICT (outcome) DO UPDATE SET candidates = o.candidates + excluded.candidates";

const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// Added up over the changes of one transaction.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    stages: BTreeMap<i64, Stage>,
    boards: BTreeMap<(i64, i64), Board>,
    /// By contributor, stage and day: jobs and pairs.
    days: BTreeMap<[i64; 3], [i64; 2]>,
    outcomes: BTreeMap<&'static str, i64>,
    jobs: i64,
    closed: i64,
    banned: i64,
    parked: i64,
    pairs: i64,
    /// Whether the disk must be reached, whatever there is to write.
    probe: bool,
    gone: Vec<i64>,
    everybody_gone: bool,
}

#[derive(Debug, Default)]
struct Stage {
    open: i64,
    leased: i64,
}

#[derive(Debug, Default)]
struct Board {
    jobs: i64,
    closed: i64,
    pairs: i64,
}

/// A completion that counts, or with `by` -1 one that counts no longer.
pub(super) struct Credit {
    pub(super) stage: i64,
    pub(super) contributor: i64,
    pub(super) closed: bool,
    pub(super) pairs: i64,
    pub(super) at: Timestamp,
    pub(super) by: i64,
}

/// How a transaction failed.
pub(super) enum Failure {
    /// Nothing happened.
    Undone(StoreError),
    /// Nobody knows whether it was committed.
    Unknown(StoreError),
}

impl Failure {
    /// Of a statement after which the commit had been sent already. A transaction in which the
    /// server refused something is not committed.
    fn before_commit(error: StoreError) -> Self {
        match code(&error) {
            Some(_) => Self::Undone(error),
            None => Self::Unknown(error),
        }
    }

    /// A server that goes down while it commits says so with a code, too.
    fn at_commit(error: StoreError) -> Self {
        match is_passing(&error) {
            true => Self::Undone(error),
            false => Self::Unknown(error),
        }
    }

    pub(super) fn error(&self) -> &StoreError {
        match self {
            Self::Undone(error) | Self::Unknown(error) => error,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Undone(error) | Failure::Unknown(error) => error,
        }
    }
}

impl Deltas {
    /// Counts a job where it has come to be.
    pub(super) fn enter(&mut self, state: State, stage: i64) {
        self.enter_many(state, stage, 1);
    }

    /// Counts it no longer where it was.
    pub(super) fn leave(&mut self, state: State, stage: i64) {
        self.enter_many(state, stage, -1);
    }

    pub(super) fn enter_many(&mut self, state: State, stage: i64, jobs: i64) {
        match state {
            State::Open => self.stages.entry(stage).or_default().open += jobs,
            State::Leased => self.stages.entry(stage).or_default().leased += jobs,
            State::Closed => self.closed += jobs,
            State::Banned => self.banned += jobs,
            State::Parked => self.parked += jobs,
        }
    }

    /// Counts jobs that are new, and wait at the first stage.
    pub(super) fn add_jobs(&mut self, jobs: i64) {
        self.jobs += jobs;
        self.enter_many(State::Open, 0, jobs);
    }

    pub(super) fn credit(&mut self, credit: &Credit) {
        let by = credit.by;
        let board = self.boards.entry((credit.stage, credit.contributor));
        let board = board.or_default();
        board.jobs += by;
        board.closed += by * i64::from(credit.closed);
        board.pairs += by * credit.pairs;
        let day = [credit.contributor, credit.stage, credit.at.div_euclid(DAY)];
        let [jobs, pairs] = self.days.entry(day).or_default();
        *jobs += by;
        *pairs += by * credit.pairs;
        if credit.closed {
            self.pairs += by * credit.pairs;
        }
    }

    /// Counts where candidates ended, or with `by` -1 no longer.
    pub(super) fn count_outcomes(&mut self, outcomes: &OutcomeCounts, by: i64) {
        for (outcome, candidates) in outcomes.iter() {
            *self.outcomes.entry(outcome.name()).or_default() += by * signed(candidates);
        }
    }

    /// Adds what other changes of the same transaction do.
    pub(super) fn absorb(&mut self, other: Self) {
        for (stage, by) in other.stages {
            let stage = self.stages.entry(stage).or_default();
            stage.open += by.open;
            stage.leased += by.leased;
        }
        for (place, by) in other.boards {
            let board = self.boards.entry(place).or_default();
            board.jobs += by.jobs;
            board.closed += by.closed;
            board.pairs += by.pairs;
        }
        for (day, by) in other.days {
            let [jobs, pairs] = self.days.entry(day).or_default();
            *jobs += by[0];
            *pairs += by[1];
        }
        for (outcome, by) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += by;
        }
        self.jobs += other.jobs;
        self.closed += other.closed;
        self.banned += other.banned;
        self.parked += other.parked;
        self.pairs += other.pairs;
        self.probe |= other.probe;
        self.gone.extend(other.gone);
        self.everybody_gone |= other.everybody_gone;
    }

    /// Makes sure that something is written.
    pub(super) fn probe(&mut self) {
        self.probe = true;
    }

    /// Tells the other trackers that a worker is gone.
    pub(super) fn part(&mut self, worker: i64) {
        self.gone.push(worker);
    }

    /// Tells the other trackers that nobody whom they know is there any longer.
    pub(super) fn part_from_all(&mut self) {
        self.everybody_gone = true;
    }

    /// Writes everything and commits, in one round.
    pub(super) async fn write_and_commit(&self, db: &Connection) -> Result<(), Failure> {
        // What is prepared is sent when it is polled first, that is in this order.
        let prepared = db
            .prepare(&[STAGES, TOTALS, BOARDS, DAYS, OUTCOMES, NOTIFY])
            .await;
        prepared.map_err(Failure::Undone)?;
        let (stages, totals, boards, days, outcomes, notified, committed) = futures::join!(
            self.write_stages(db),
            self.write_totals(db),
            self.write_boards(db),
            self.write_days(db),
            self.write_outcomes(db),
            self.notify(db),
            db.run("COMMIT"),
        );
        let written = stages.and(totals).and(boards);
        let written = written.and(days).and(outcomes).and(notified);
        written.map_err(Failure::before_commit)?;
        committed.map_err(Failure::at_commit)
    }

    async fn write_stages(&self, db: &Connection) -> Result<(), StoreError> {
        let moved = self.stages.iter();
        let moved = moved.filter(|(_, stage)| stage.open != 0 || stage.leased != 0);
        let (mut stages, mut open, mut leased) = (Vec::new(), Vec::new(), Vec::new());
        for (stage, by) in moved {
            stages.push(*stage);
            open.push(by.open);
            leased.push(by.leased);
        }
        if !stages.is_empty() {
            db.execute(STAGES, &[&stages, &open, &leased]).await?;
        }
        Ok(())
    }

    async fn write_totals(&self, db: &Connection) -> Result<(), StoreError> {
        let by = [self.jobs, self.closed, self.banned, self.parked, self.pairs];
        if self.probe || by.iter().any(|by| *by != 0) {
            let [jobs, closed, banned, parked, pairs] = &by;
            db.execute(TOTALS, &[jobs, closed, banned, parked, pairs])
                .await?;
        }
        Ok(())
    }

    async fn write_boards(&self, db: &Connection) -> Result<(), StoreError> {
        if self.boards.is_empty() {
            return Ok(());
        }
        let column = |of: fn((&(i64, i64), &Board)) -> i64| -> Vec<i64> {
            self.boards.iter().map(of).collect()
        };
        let stages = column(|((stage, _), _)| *stage);
        let contributors = column(|((_, contributor), _)| *contributor);
        let jobs = column(|(_, board)| board.jobs);
        let closed = column(|(_, board)| board.closed);
        let pairs = column(|(_, board)| board.pairs);
        db.execute(BOARDS, &[&stages, &contributors, &jobs, &closed, &pairs])
            .await?;
        Ok(())
    }

    async fn write_days(&self, db: &Connection) -> Result<(), StoreError> {
        if self.days.is_empty() {
            return Ok(());
        }
        let column = |of: fn((&[i64; 3], &[i64; 2])) -> i64| -> Vec<i64> {
            self.days.iter().map(of).collect()
        };
        let contributors = column(|(day, _)| day[0]);
        let stages = column(|(day, _)| day[1]);
        let days = column(|(day, _)| day[2]);
        let jobs = column(|(_, by)| by[0]);
        let pairs = column(|(_, by)| by[1]);
        db.execute(DAYS, &[&contributors, &stages, &days, &jobs, &pairs])
            .await?;
        Ok(())
    }

    async fn write_outcomes(&self, db: &Connection) -> Result<(), StoreError> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.outcomes.keys().copied().collect();
        let candidates: Vec<i64> = self.outcomes.values().copied().collect();
        db.execute(OUTCOMES, &[&names, &candidates]).await?;
        Ok(())
    }

    async fn notify(&self, db: &Connection) -> Result<(), StoreError> {
        if self.gone.is_empty() && !self.everybody_gone {
            return Ok(());
        }
        let ids: Vec<String> = self.gone.iter().map(i64::to_string).collect();
        let mut message = ids.join(",");
        if self.everybody_gone || message.len() > MESSAGE {
            message = EVERYBODY.to_owned();
        }
        db.execute(NOTIFY, &[&CHANNEL, &message]).await?;
        Ok(())
    }
}
