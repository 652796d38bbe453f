//! Whole WAT files, and results that come without a lease.

use cah_protocol::Shard;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{jobs, leases};
use crate::{
    clock::Timestamp,
    store::{
        HandIn, HandInBy, HandedOver, Order, State, StoreError, keys,
        rules::{Place, signed},
    },
};

/// The first job from a number on, among equals, whose other half is open as well.
const PAIR_FROM: &str = "SELECT number FROM jobs
     WHERE state = 0 AND stage = 0 AND priority = ?1 AND setbacks = ?2 AND number >= ?3
       AND number % 2 = 1
       AND EXISTS (SELECT 1 FROM jobs other
                   WHERE other.number = jobs.number + 1 AND other.state = 0 AND other.stage = 0)
     ORDER BY number LIMIT 1";

/// The same among all jobs, in the order of claims.
const FIRST_PAIR: &str = "SELECT number FROM jobs
     WHERE state = 0 AND stage = 0 AND number % 2 = 1
       AND EXISTS (SELECT 1 FROM jobs other
                   WHERE other.number = jobs.number + 1 AND other.state = 0 AND other.stage = 0)
     ORDER BY priority DESC, setbacks, number LIMIT 1";

pub(super) fn open_chunk(db: &Connection, whole: bool) -> rusqlite::Result<Option<String>> {
    let number = match whole {
        true => open_pair(db)?,
        false => leases::first_open(db, 0, Order::Random)?,
    };
    number
        .map(|number| jobs::shard(db, number).map(|shard| shard.url))
        .transpose()
}

/// From a drawn number on, so that clients that ask at the same time get different files.
fn open_pair(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let Some((first, from)) = leases::draw(db, 0)? else {
        return Ok(None);
    };
    let drawn = db
        .prepare_cached(PAIR_FROM)?
        .query_row([first.priority, first.setbacks, from], |row| row.get(0))
        .optional()?;
    match drawn {
        Some(number) => Ok(Some(number)),
        None => db
            .prepare_cached(FIRST_PAIR)?
            .query_row([], |row| row.get(0))
            .optional(),
    }
}

pub(super) fn open_shards(db: &Connection, url: &str) -> rusqlite::Result<Vec<Shard>> {
    let numbers: Vec<i64> = db
        .prepare_cached(
            "SELECT number FROM jobs JOIN chunks ON number IN (2 * chunk - 1, 2 * chunk)
             WHERE url_key = ?1 AND url = ?2 AND state = 0 AND stage = 0 ORDER BY number",
        )?
        .query_map(params![keys::of_url(url), url], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let shards = numbers.into_iter().map(|number| jobs::shard(db, number));
    shards.collect()
}

pub(super) fn hand_in(
    db: &Connection,
    results: &[HandIn],
    by: &HandInBy,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let last: i64 = db
        .prepare_cached("SELECT max(stage) FROM stages")?
        .query_row([], |row| row.get(0))?;
    let mut standing = 0;
    for result in results {
        standing += u64::from(take(db, result, by, last, now)?);
    }
    Ok(standing)
}

/// Whether the result stands by now.
fn take(
    db: &Connection,
    result: &HandIn,
    by: &HandInBy,
    last: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let number = signed(result.number);
    let Some(there) = place(db, number)? else {
        return Ok(false);
    };
    if !there.takes_results(by) {
        return stands(db, number, result.completion.output.as_deref());
    }
    leave_place(db, number, &there)?;
    let stage = if by.operator { last } else { 0 };
    let closes = result.completion.closes || stage == last;
    let next = Place::after(stage, closes);
    let attempt = db
        .prepare_cached(
            "UPDATE jobs SET state = ?2, stage = ?3, attempts = attempts + 1 WHERE number = ?1
             RETURNING attempts",
        )?
        .query_row([number, next.state.code(), next.stage], |row| row.get(0))?;
    jobs::enter(db, next.state, next.stage)?;
    let done = leases::Done {
        number,
        attempt,
        stage,
        closes,
    };
    leases::record(db, &by.nickname, done, &result.completion, now)?;
    Ok(true)
}

/// Whether this very result was accepted before.
fn stands(db: &Connection, number: i64, output: Option<&str>) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM completions WHERE number = ?1 AND revoked = 0 AND output IS ?2",
        )?
        .exists(params![number, output])?)
}

/// Where a job is.
pub(super) fn place(db: &Connection, number: i64) -> rusqlite::Result<Option<Place>> {
    db.prepare_cached("SELECT state, stage FROM jobs WHERE number = ?1")?
        .query_row([number], |row| {
            Ok(Place {
                // The schema knows no other states.
                state: State::from_code(row.get(0)?).unwrap_or(State::Banned),
                stage: row.get(1)?,
            })
        })
        .optional()
}

/// Takes a job from where it is, out of a worker's hands too.
pub(super) fn leave_place(db: &Connection, number: i64, there: &Place) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM leases WHERE number = ?1")?
        .execute([number])?;
    jobs::leave(db, there.state, there.stage)
}

pub(super) fn handed_over(
    db: &Connection,
    addresses: &[String],
) -> rusqlite::Result<Vec<HandedOver>> {
    let mut asked = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM completions WHERE output_key = ?1 AND output = ?2),
                EXISTS (SELECT 1 FROM completions c JOIN jobs USING (number)
                        WHERE output_key = ?1 AND output = ?2 AND state NOT IN (2, 3)
                          AND jobs.stage = c.stage + 1
                          AND c.attempt = (SELECT max(attempt) FROM completions latest
                                           WHERE latest.number = c.number
                                             AND latest.stage = c.stage
                                             AND latest.revoked = 0))",
    )?;
    let told = |row: &Row<'_>| Ok(HandedOver::of(row.get(0)?, row.get(1)?));
    let mut answer =
        |address: &String| asked.query_row(params![keys::of_text(address), address], told);
    addresses.iter().map(&mut answer).collect()
}
