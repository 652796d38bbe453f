//! Whole WAT files, and results that come without a lease.

use cah_protocol::Shard;

use super::{
    connection::{Connection, check_storable},
    contributors,
    deltas::Credit,
    pool::Transaction,
};
use crate::{
    clock::Timestamp,
    store::{
        HandIn, HandInBy, HandedOver, State, StoreError, keys,
        rules::{self, Place, signed, unsigned},
    },
};

/// The first open job, and a number from which on to look among its equals, so that clients that
/// ask at the same time get different files.
const DRAWN: &str = "
    WITH first AS MATERIALIZED (
        SELECT number, priority, setbacks FROM jobs WHERE state = 0 AND stage = 0
        ORDER BY priority DESC, setbacks, number LIMIT 1
    )
    SELECT number, priority, setbacks,
           number + floor($1::float8 * (greatest((SELECT jobs FROM totals), number)
                                        - number + 1))::bigint
    FROM first";

/// The first job from a number on, among equals.
const OPEN_FROM: &str = "
    SELECT number FROM jobs
    WHERE state = 0 AND stage = 0 AND priority = $1 AND setbacks = $2 AND number >= $3
    ORDER BY number LIMIT 1";

/// The same of those whose other half is open as well.
const PAIR_FROM: &str = "
    SELECT number FROM jobs
    WHERE state = 0 AND stage = 0 AND priority = $1 AND setbacks = $2 AND number >= $3
      AND number % 2 = 1
      AND EXISTS (SELECT 1 FROM jobs other
                  WHERE other.number = jobs.number + 1 AND other.state = 0 AND other.stage = 0)
    ORDER BY number LIMIT 1";

/// The first of these of all, in the order of claims.
const FIRST_PAIR: &str = "
    SELECT number FROM jobs
    WHERE state = 0 AND stage = 0 AND number % 2 = 1
      AND EXISTS (SELECT 1 FROM jobs other
                  WHERE other.number = jobs.number + 1 AND other.state = 0 AND other.stage = 0)
    ORDER BY priority DESC, setbacks, number LIMIT 1";

pub(super) async fn open_chunk(db: &Connection, whole: bool) -> Result<Option<String>, StoreError> {
    let Some(number) = open_job(db, whole).await? else {
        return Ok(None);
    };
    let chunk = signed(Shard::chunk_of(unsigned(number)));
    let row = db
        .query_opt("SELECT url FROM chunks WHERE chunk = $1", &[&chunk])
        .await?;
    Ok(row.map(|row| row.get(0)))
}

async fn open_job(db: &Connection, whole: bool) -> Result<Option<i64>, StoreError> {
    let draw: f64 = rand::random();
    let Some(first) = db.query_opt(DRAWN, &[&draw]).await? else {
        return Ok(None);
    };
    let [number, priority, setbacks, from]: [i64; 4] = std::array::from_fn(|i| first.get(i));
    let search = if whole { PAIR_FROM } else { OPEN_FROM };
    let drawn = db.query_opt(search, &[&priority, &setbacks, &from]).await?;
    Ok(match (drawn, whole) {
        (Some(row), _) => Some(row.get(0)),
        (None, true) => db.query_opt(FIRST_PAIR, &[]).await?.map(|row| row.get(0)),
        (None, false) => Some(number),
    })
}

pub(super) async fn open_shards(db: &Connection, url: &str) -> Result<Vec<Shard>, StoreError> {
    if check_storable(url).is_err() {
        return Ok(Vec::new());
    }
    let rows = db
        .query(
            "SELECT j.number FROM chunks c
             JOIN jobs j ON j.number = ANY (ARRAY[2 * c.chunk - 1, 2 * c.chunk])
             WHERE c.url_key = $1 AND c.url = $2 AND j.state = 0 AND j.stage = 0
             ORDER BY j.number",
            &[&keys::of_url(url), &url],
        )
        .await?;
    let shards = rows
        .iter()
        .map(|row| Shard::numbered(unsigned(row.get(0)), url));
    Ok(shards.collect())
}

pub(super) async fn hand_in(
    tx: &mut Transaction,
    results: &[HandIn],
    by: &HandInBy,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let row = tx.query_one("SELECT max(stage) FROM stages", &[]).await?;
    let last: i64 = row.get(0);
    let mut standing = 0;
    for result in results {
        if let Some(output) = &result.completion.output {
            check_storable(output)?;
        }
        standing += u64::from(take(tx, result, by, last, now).await?);
    }
    Ok(standing)
}

/// Whether the result stands by now.
async fn take(
    tx: &mut Transaction,
    result: &HandIn,
    by: &HandInBy,
    last: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let number = signed(result.number);
    let Some(there) = place(tx, number).await? else {
        return Ok(false);
    };
    if !there.takes_results(by) {
        return stands(tx, number, result.completion.output.as_deref()).await;
    }
    leave_place(tx, number, &there).await?;
    let stage = if by.operator { last } else { 0 };
    let closes = result.completion.closes || stage == last;
    let next = Place::after(stage, closes);
    let attempt: i64 = tx
        .query_one(
            "UPDATE jobs SET state = $2, stage = $3, attempts = attempts + 1 WHERE number = $1
             RETURNING attempts",
            &[&number, &next.state.code(), &next.stage],
        )
        .await?
        .get(0);
    tx.deltas.enter(next.state, next.stage);
    record(tx, result, &by.nickname, [stage, attempt], closes, now).await?;
    Ok(true)
}

/// Keeps what was accepted, and counts it for the contributor.
async fn record(
    tx: &mut Transaction,
    result: &HandIn,
    nickname: &str,
    [stage, attempt]: [i64; 2],
    closed: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let contributor = contributors::find_or_add(tx, nickname).await?;
    let pairs = signed(result.completion.pairs);
    let output = result.completion.output.as_deref();
    tx.execute(
        "INSERT INTO completions (number, stage, attempt, contributor, pairs, output, output_key,
                                  at, outcomes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &signed(result.number),
            &stage,
            &attempt,
            &contributor,
            &pairs,
            &output,
            &output.map(keys::of_text),
            &now,
            &rules::outcomes_text(&result.completion.outcomes)?,
        ],
    )
    .await?;
    tx.deltas.count_outcomes(&result.completion.outcomes, 1);
    tx.deltas.credit(&Credit {
        stage,
        contributor,
        closed,
        pairs,
        at: now,
        by: 1,
    });
    Ok(())
}

/// Whether this very result was accepted before.
async fn stands(tx: &Transaction, number: i64, output: Option<&str>) -> Result<bool, StoreError> {
    let row = tx
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM completions WHERE number = $1 AND revoked = 0
                            AND output IS NOT DISTINCT FROM $2)",
            &[&number, &output],
        )
        .await?;
    Ok(row.get(0))
}

/// Where a job is. Nobody moves it until the transaction ends. The lease is locked first, as by its
/// worker's calls.
pub(super) async fn place(tx: &Transaction, number: i64) -> Result<Option<Place>, StoreError> {
    tx.query_opt(
        "SELECT 1 FROM leases WHERE number = $1 FOR UPDATE",
        &[&number],
    )
    .await?;
    let row = tx
        .query_opt(
            "SELECT state, stage FROM jobs WHERE number = $1 FOR UPDATE",
            &[&number],
        )
        .await?;
    Ok(row.map(|row| Place {
        // The schema knows no other states.
        state: State::from_code(row.get(0)).unwrap_or(State::Banned),
        stage: row.get(1),
    }))
}

/// Takes a job from where it is, out of a worker's hands too.
pub(super) async fn leave_place(
    tx: &mut Transaction,
    number: i64,
    there: &Place,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM leases WHERE number = $1", &[&number])
        .await?;
    tx.deltas.leave(there.state, there.stage);
    Ok(())
}

pub(super) async fn handed_over(
    db: &Connection,
    addresses: &[String],
) -> Result<Vec<HandedOver>, StoreError> {
    // What cannot be stored was never handed over.
    let key = |address: &String| {
        check_storable(address)
            .ok()
            .map(|()| keys::of_text(address))
    };
    let keys: Vec<Option<i64>> = addresses.iter().map(key).collect();
    let asked = addresses.iter().zip(&keys);
    let asked: Vec<&str> = asked
        .map(|(address, key)| key.map_or("", |_| address))
        .collect();
    let rows = db
        .query(
            "SELECT EXISTS (SELECT 1 FROM completions
                            WHERE output_key = a.key AND output = a.address),
                    EXISTS (SELECT 1 FROM completions c JOIN jobs USING (number)
                            WHERE c.output_key = a.key AND c.output = a.address
                              AND jobs.state NOT IN (2, 3) AND jobs.stage = c.stage + 1
                              AND c.attempt = (SELECT max(attempt) FROM completions latest
                                               WHERE latest.number = c.number
                                                 AND latest.stage = c.stage
                                                 AND latest.revoked = 0))
             FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS a (address, key, turn)
             ORDER BY a.turn",
            &[&asked, &keys],
        )
        .await?;
    let told = rows
        .iter()
        .map(|row| HandedOver::of(row.get(0), row.get(1)));
    Ok(told.collect())
}
