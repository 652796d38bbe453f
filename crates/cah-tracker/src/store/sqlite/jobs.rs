//! Jobs: what they are about, how many there are, and where new ones come from.

use cah_protocol::Shard;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{
    Added, CompletionRecord, Counts, FailedAttempt, JobRecord, Kind, StageCounts, State,
    StoreError, Task, Telling, keys,
    rules::{MUCH_TEXT, signed, unsigned},
};

/// Counts a job where it has come to be.
pub(super) fn enter(db: &Connection, state: State, stage: i64) -> Result<(), StoreError> {
    move_counter(db, state, stage, 1)
}

/// Counts it no longer where it was.
pub(super) fn leave(db: &Connection, state: State, stage: i64) -> Result<(), StoreError> {
    move_counter(db, state, stage, -1)
}

fn move_counter(db: &Connection, state: State, stage: i64, by: i64) -> Result<(), StoreError> {
    match state {
        State::Open => shift(db, stage, by, 0),
        State::Leased => shift(db, stage, 0, by),
        State::Closed => count(db, "UPDATE totals SET closed = closed + ?1", by),
        State::Banned => count(db, "UPDATE totals SET banned = banned + ?1", by),
        State::Parked => count(db, "UPDATE totals SET parked = parked + ?1", by),
    }
}

/// Moves a stage's counters.
pub(super) fn shift(db: &Connection, stage: i64, open: i64, leased: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE stages SET open = open + ?2, leased = leased + ?3 WHERE stage = ?1")?
        .execute([stage, open, leased])?;
    Ok(())
}

/// Moves one of the project's counters.
pub(super) fn count(db: &Connection, sql: &str, by: i64) -> Result<(), StoreError> {
    db.prepare_cached(sql)?.execute([by])?;
    Ok(())
}

/// The shard with this number.
pub(super) fn shard(db: &Connection, number: i64) -> rusqlite::Result<Shard> {
    let number = unsigned(number);
    let url: String = db
        .prepare_cached("SELECT url FROM chunks WHERE chunk = ?1")?
        .query_row([signed(Shard::chunk_of(number))], |row| row.get(0))?;
    Ok(Shard::numbered(number, url))
}

/// What the job with this number is about.
pub(super) fn task(db: &Connection, number: i64) -> rusqlite::Result<Task> {
    let data = db
        .prepare_cached("SELECT data FROM payloads WHERE number = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    match data {
        Some(data) => Ok(Task::Data(data)),
        None => shard(db, number).map(Task::Shard),
    }
}

/// What the stage before handed over last.
pub(super) fn input(
    db: &Connection,
    number: i64,
    stage: i64,
) -> Result<Option<String>, StoreError> {
    if stage == 0 {
        return Ok(None);
    }
    let output = db
        .prepare_cached(
            "SELECT output FROM completions WHERE number = ?1 AND stage = ?2 AND revoked = 0
             ORDER BY attempt DESC LIMIT 1",
        )?
        .query_row([number, stage - 1], |row| row.get(0))
        .optional()?;
    Ok(output.flatten())
}

pub(super) fn add_chunks(
    db: &Connection,
    urls: &[String],
    priority: i64,
) -> Result<Added, StoreError> {
    if urls.is_empty() {
        return Ok(Added::default());
    }
    take_kind(db, Kind::Shards)?;
    let mut find = db.prepare_cached("SELECT 1 FROM chunks WHERE url_key = ?1 AND url = ?2")?;
    let mut add_chunk =
        db.prepare_cached("INSERT INTO chunks (chunk, url, url_key) VALUES (?1, ?2, ?3)")?;
    let mut add_jobs =
        db.prepare_cached("INSERT INTO jobs (number, priority) VALUES (?1, ?3), (?2, ?3)")?;
    let mut chunk: i64 = db
        .prepare_cached("SELECT coalesce(max(chunk), 0) FROM chunks")?
        .query_row([], |row| row.get(0))?;
    let mut result = Added::default();
    for url in urls {
        let key = keys::of_url(url);
        if find.exists(params![key, url])? {
            result.known += 1;
            continue;
        }
        chunk += 1;
        add_chunk.execute(params![chunk, url, key])?;
        add_jobs.execute([2 * chunk - 1, 2 * chunk, priority])?;
        result.added += 1;
    }
    count_new(db, 2 * signed(result.added))?;
    Ok(result)
}

pub(super) fn add_payloads(
    db: &Connection,
    texts: &[String],
    priority: i64,
) -> Result<Added, StoreError> {
    if texts.is_empty() {
        return Ok(Added::default());
    }
    take_kind(db, Kind::Data)?;
    let mut find = db.prepare_cached("SELECT 1 FROM payloads WHERE data_key = ?1 AND data = ?2")?;
    let mut add_job = db.prepare_cached("INSERT INTO jobs (number, priority) VALUES (?1, ?2)")?;
    let mut add_data =
        db.prepare_cached("INSERT INTO payloads (number, data, data_key) VALUES (?1, ?2, ?3)")?;
    let mut number: i64 = db
        .prepare_cached("SELECT coalesce(max(number), 0) FROM jobs")?
        .query_row([], |row| row.get(0))?;
    let mut result = Added::default();
    for text in texts {
        let key = keys::of_text(text);
        if find.exists(params![key, text])? {
            result.known += 1;
            continue;
        }
        number += 1;
        add_job.execute([number, priority])?;
        add_data.execute(params![number, text, key])?;
        result.added += 1;
    }
    count_new(db, signed(result.added))?;
    Ok(result)
}

/// Makes sure that all jobs of a project are of one kind: their numbers say what they are.
fn take_kind(db: &Connection, kind: Kind) -> Result<(), StoreError> {
    match kind_of(db)? {
        None => {
            db.prepare_cached("UPDATE project SET kind = ?1")?
                .execute([kind.as_str()])?;
            Ok(())
        }
        Some(known) if known == kind => Ok(()),
        Some(known) => Err(known.refusal()),
    }
}

fn kind_of(db: &Connection) -> rusqlite::Result<Option<Kind>> {
    let kind: Option<String> = db
        .prepare_cached("SELECT kind FROM project")?
        .query_row([], |row| row.get(0))?;
    Ok(kind.as_deref().and_then(Kind::from_text))
}

fn count_new(db: &Connection, jobs: i64) -> Result<(), StoreError> {
    shift(db, 0, jobs, 0)?;
    count(db, "UPDATE totals SET jobs = jobs + ?1", jobs)
}

pub(super) fn records(
    db: &Connection,
    after: u64,
    limit: u32,
    telling: Telling,
) -> rusqlite::Result<Vec<JobRecord>> {
    let mut rows = db.prepare_cached(
        "SELECT number, state, stage, priority, attempts, failures FROM jobs WHERE number > ?1
         ORDER BY number LIMIT ?2",
    )?;
    let (mut records, mut text) = (Vec::new(), 0);
    let record = |row: &Row<'_>| job_record(db, row, telling);
    for record in rows.query_map(params![signed(after), limit], record)? {
        let record = record?;
        text += text_of(&record);
        records.push(record);
        if text >= MUCH_TEXT {
            break;
        }
    }
    Ok(records)
}

/// How much of a record has no bound of its own.
fn text_of(record: &JobRecord) -> usize {
    let data = match &record.task {
        Task::Data(data) => data.len(),
        Task::Shard(_) => 0,
    };
    let outputs = record.completions.iter();
    let outputs = outputs.filter_map(|done| done.output.as_ref());
    data + outputs.map(String::len).sum::<usize>()
}

fn job_record(db: &Connection, row: &Row<'_>, telling: Telling) -> rusqlite::Result<JobRecord> {
    let (number, state, attempts) = (row.get(0)?, row.get(1)?, row.get(4)?);
    let after = telling.after(attempts);
    Ok(JobRecord {
        number: unsigned(number),
        task: task(db, number)?,
        // The schema knows no other states.
        state: State::from_code(state).unwrap_or(State::Banned),
        stage: row.get(2)?,
        priority: row.get(3)?,
        attempts,
        failures: row.get(5)?,
        completions: completions(db, number, after, telling.outputs)?,
        failed: failed(db, number, after)?,
    })
}

fn failed(db: &Connection, number: i64, after: i64) -> rusqlite::Result<Vec<FailedAttempt>> {
    db.prepare_cached(
        "SELECT attempt, message, at FROM failures WHERE number = ?1 AND attempt > ?2
         ORDER BY attempt",
    )?
    .query_map([number, after], |row| {
        Ok(FailedAttempt {
            attempt: row.get(0)?,
            message: row.get(1)?,
            at: row.get(2)?,
        })
    })?
    .collect()
}

fn completions(
    db: &Connection,
    number: i64,
    after: i64,
    outputs: bool,
) -> rusqlite::Result<Vec<CompletionRecord>> {
    db.prepare_cached(
        "SELECT c.stage, c.attempt, n.nickname, c.pairs, CASE WHEN ?3 THEN c.output END, c.at,
                c.revoked, octet_length(c.output)
         FROM completions c JOIN contributors n ON n.id = c.contributor
         WHERE c.number = ?1 AND c.attempt > ?2 ORDER BY c.attempt, c.stage",
    )?
    .query_map(params![number, after, outputs], |row| {
        Ok(CompletionRecord {
            stage: row.get(0)?,
            attempt: row.get(1)?,
            nickname: row.get(2)?,
            pairs: unsigned(row.get(3)?),
            output: row.get(4)?,
            at: row.get(5)?,
            revoked: row.get(6)?,
            output_bytes: row.get::<_, Option<i64>>(7)?.map(unsigned),
        })
    })?
    .collect()
}

/// The counters, without the number of workers, which is known in memory.
pub(super) fn counts(db: &Connection) -> Result<Counts, StoreError> {
    let mut counts = db
        .prepare_cached("SELECT jobs, closed, banned, parked, pairs FROM totals")?
        .query_row([], |row| {
            Ok(Counts {
                jobs: unsigned(row.get(0)?),
                closed: unsigned(row.get(1)?),
                banned: unsigned(row.get(2)?),
                parked: unsigned(row.get(3)?),
                pairs: unsigned(row.get(4)?),
                ..Counts::default()
            })
        })?;
    counts.kind = kind_of(db)?;
    counts.stages = db
        .prepare_cached("SELECT name, open, leased FROM stages ORDER BY stage")?
        .query_map([], |row| {
            Ok(StageCounts {
                name: row.get(0)?,
                open: unsigned(row.get(1)?),
                leased: unsigned(row.get(2)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(counts)
}
