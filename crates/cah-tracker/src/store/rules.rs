//! What every store decides alike, whatever it keeps things in.

use cah_protocol::OutcomeCounts;

use super::{Accepted, BoardRow, HandInBy, JobRecord, State, StoreError, WorkerSort};

/// How a worker's last accepted call settled its job.
pub(super) const COMPLETED: i64 = 1;
pub(super) const FLAGGED: i64 = 2;
pub(super) const FAILED: i64 = 3;
pub(super) const GIVEN_BACK: i64 = 4;

/// What a worker is doing that gave its job back.
pub(super) const GAVE_BACK: &str = "Gave a job back";

/// Why attempts failed of which no worker says so itself.
pub(super) const ASKED_ANEW: &str = "its worker asked for another job";
pub(super) const FELL_SILENT: &str = "its worker fell silent";
pub(super) const INVALID_INPUT: &str = "its input was flagged as invalid";

/// Where a job is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) state: State,
    pub(super) stage: i64,
}

impl Place {
    /// Where a job comes to be when a stage of it is done.
    pub(super) fn after(stage: i64, closes: bool) -> Self {
        match closes {
            true => Self {
                state: State::Closed,
                stage,
            },
            false => Self {
                state: State::Open,
                stage: stage + 1,
            },
        }
    }

    /// Whether a result that comes without a lease is taken for a job there.
    pub(super) fn takes_results(&self, by: &HandInBy) -> bool {
        match self.state {
            State::Open => by.operator || self.stage == 0,
            State::Leased | State::Parked => by.operator,
            State::Closed | State::Banned => false,
        }
    }
}

/// What becomes of a job that has failed so often.
pub(super) fn after_failures(failures: i64, max_failures: u32) -> State {
    match failures >= i64::from(max_failures) {
        true => State::Parked,
        false => State::Open,
    }
}

/// Whether a call means this job: any, where it names none.
pub(super) fn is_named(number: Option<u64>, job: i64) -> bool {
    number.is_none_or(|number| signed(number) == job)
}

/// Whether a call repeats the last one that was accepted, no job claimed since.
pub(super) fn repeats(
    number: Option<u64>,
    how: i64,
    held: Option<i64>,
    settled: Option<(i64, i64)>,
) -> Result<Accepted, StoreError> {
    match (held, settled) {
        (None, Some((job, as_what))) if as_what == how && is_named(number, job) => {
            Ok(Accepted::Repeated)
        }
        _ => Err(StoreError::NoLease),
    }
}

/// The refusal of other stages for a project that is in use.
pub(super) fn has_stages(names: &[impl AsRef<str>]) -> StoreError {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    StoreError::Conflict(format!(
        "the project has jobs or workers already, and its stages are {}; name these, or start \
         another project",
        names.join(", ")
    ))
}

/// The refusal of a worker for a stage that the project has not.
pub(super) fn no_such_stage() -> StoreError {
    StoreError::Conflict("the project has no such stage".into())
}

/// The refusal to open a job again that has not been parked.
pub(super) fn not_parked(number: u64, there: Option<Place>) -> StoreError {
    match there {
        None => StoreError::NoSuchJob(number),
        Some(place) => {
            let state = place.state.as_str();
            StoreError::Conflict(format!("job {number} is not parked: it is {state}"))
        }
    }
}

/// Numbers the lines of a leaderboard, the first ones of which these are: those that are equal
/// share a place, and as many places after it stay free.
pub(super) fn ranked(mut rows: Vec<BoardRow>) -> Vec<BoardRow> {
    let mut before: Option<(u64, u64, u64)> = None;
    for (place, row) in (1..).zip(&mut rows) {
        row.rank = match before {
            Some((rank, jobs, pairs)) if (jobs, pairs) == (row.jobs, row.pairs) => rank,
            _ => place,
        };
        before = Some((row.rank, row.jobs, row.pairs));
    }
    rows
}

/// Text after which no more jobs are told at once, in bytes.
pub(super) const MUCH_TEXT: usize = 16 << 20;

/// The job of this number, where it is among those that were found.
pub(super) fn only(records: Vec<JobRecord>, number: u64) -> Option<JobRecord> {
    records.into_iter().find(|record| record.number == number)
}

/// The refusal of an archive for a store that has jobs.
pub(super) fn has_jobs(jobs: i64) -> StoreError {
    StoreError::Conflict(format!(
        "the store has {jobs} jobs already; restore into an empty one, or replace them"
    ))
}

/// The refusal of a call that came before all that it is about was replaced.
pub(super) fn was_replaced() -> StoreError {
    StoreError::unavailable("the project was replaced by a backup meanwhile")
}

/// The refusal of rows that no store has written.
pub(super) fn does_not_fit(table: &str, why: &str) -> StoreError {
    StoreError::Conflict(format!("the archive's table {table} does not fit: {why}"))
}

/// The refusal of an archive that is not the whole of a project.
pub(super) fn is_not_whole() -> StoreError {
    StoreError::Conflict("the archive's counters do not match its rows; it is not whole".into())
}

/// Whether the counters of an archive match its rows: SQL that every store understands.
pub(super) const IS_WHOLE: &str = "SELECT (SELECT count(*) FROM project) = 1
    AND (SELECT jobs FROM totals) = (SELECT count(*) FROM jobs)
    AND (SELECT 2 * count(*) FROM chunks) = (
        SELECT CASE kind WHEN 'shards' THEN jobs ELSE 0 END FROM project, totals)
    AND (SELECT count(*) FROM payloads) = (
        SELECT CASE kind WHEN 'data' THEN jobs ELSE 0 END FROM project, totals)
    AND NOT EXISTS (
        SELECT 1 FROM jobs LEFT JOIN chunks ON chunk = (jobs.number + 1) / 2
        LEFT JOIN payloads ON payloads.number = jobs.number WHERE url IS NULL AND data IS NULL)
    AND (SELECT closed FROM totals) = (SELECT count(*) FROM jobs WHERE state = 2)
    AND (SELECT banned FROM totals) = (SELECT count(*) FROM jobs WHERE state = 3)
    AND (SELECT parked FROM totals) = (SELECT count(*) FROM jobs WHERE state = 4)
    AND (SELECT sum(open) FROM stages) = (SELECT count(*) FROM jobs WHERE state = 0)
    AND NOT EXISTS (SELECT 1 FROM stages WHERE open <> (
        SELECT count(*) FROM jobs WHERE state = 0 AND jobs.stage = stages.stage))
    AND (SELECT count(*) FROM leases) = (SELECT count(*) FROM jobs WHERE state = 1)
    AND (SELECT count(*) FROM leases) = (
        SELECT count(*) FROM leases JOIN workers ON workers.id = leases.worker
        JOIN jobs ON jobs.number = leases.number
        WHERE state = 1 AND attempts = attempt AND stage = first_stage)
    AND (SELECT sum(leased) FROM stages) = (SELECT count(*) FROM leases)
    AND NOT EXISTS (SELECT 1 FROM stages WHERE leased <> (
        SELECT count(*) FROM leases JOIN jobs USING (number) WHERE jobs.stage = stages.stage))
    AND (SELECT closed FROM totals) = (SELECT coalesce(sum(closed), 0) FROM boards)
    AND (SELECT pairs FROM totals) = (SELECT coalesce(sum(pairs), 0) FROM boards)
    AND (SELECT pairs FROM totals) = (
        SELECT coalesce(sum(pairs), 0) FROM completions WHERE revoked = 0)
    AND (SELECT coalesce(sum(jobs), 0) FROM boards) = (
        SELECT count(*) FROM completions WHERE revoked = 0)
    AND (SELECT coalesce(sum(jobs), 0) FROM boards) = (SELECT coalesce(sum(jobs), 0) FROM days)
    AND (SELECT coalesce(sum(pairs), 0) FROM boards) = (SELECT coalesce(sum(pairs), 0) FROM days)";

/// Seconds of a day, as the history counts them.
pub(crate) const DAY: i64 = 86_400;

/// How a completion's outcomes are stored; nothing where the worker told none.
pub(super) fn outcomes_text(outcomes: &OutcomeCounts) -> Result<Option<String>, StoreError> {
    if outcomes.iter().next().is_none() {
        return Ok(None);
    }
    let text = serde_json::to_string(outcomes).map_err(StoreError::unavailable)?;
    Ok(Some(text))
}

/// Reads what [`outcomes_text`] wrote.
pub(super) fn outcomes_of(text: Option<&str>) -> OutcomeCounts {
    // Nothing else is ever stored; an outcome that was renamed since counts nowhere.
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// In which order workers are listed, in SQL: columns of `workers w`, never a text from outside.
/// `folded` makes a text one that is sorted whatever its case. The columns are those that are stored;
/// what memory knows of the last seconds beyond them moves nobody.
pub(super) fn worker_order(
    sort: WorkerSort,
    descending: bool,
    folded: fn(&str) -> String,
) -> String {
    let direction = if descending { " DESC" } else { "" };
    let columns = match sort {
        WorkerSort::Joined => return format!("w.id{direction}"),
        WorkerSort::Name => vec![folded("w.display_name")],
        WorkerSort::Contributor => vec![folded("w.nickname")],
        WorkerSort::Stage => vec!["w.first_stage".into(), "w.last_stage".into()],
        WorkerSort::Jobs => vec!["w.jobs_completed".into()],
        WorkerSort::Pairs => vec!["w.pairs".into()],
        WorkerSort::LastSeen => vec!["w.last_seen".into()],
    };
    let sorted = columns.into_iter().map(|column| column + direction + ", ");
    sorted.collect::<String>() + "w.id"
}

/// A text that is looked for as a part of others, for LIKE with `\\` as its escape.
pub(super) fn like(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// A count of the database as a number of Rust; the schema keeps it from being negative.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// A number of Rust for the database.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
