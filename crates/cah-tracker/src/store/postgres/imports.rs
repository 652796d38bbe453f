//! Where new jobs come from.

use super::{connection::check_storable, pool::Transaction};
use crate::store::{Added, Kind, StoreError, keys, rules::signed};

/// What a batch may take, and plans for a batch of it: texts are looked up one by one, however
/// many there are in the table.
const SETTINGS: &str = "
    SET LOCAL statement_timeout = '600s';
    SET LOCAL lock_timeout = '600s';
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
";

/// New ones are numbered on in the order of the list; what stands in it twice counts once.
const CHUNKS: &str = "
    WITH listed AS MATERIALIZED (
        SELECT DISTINCT ON (url_key, url) url, url_key, turn
        FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS a (url, url_key, turn)
        ORDER BY url_key, url, turn
    ), new AS MATERIALIZED (
        SELECT url, url_key, (SELECT coalesce(max(chunk), 0) FROM chunks)
                             + row_number() OVER (ORDER BY turn) AS chunk
        FROM listed l
        WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.url_key = l.url_key AND c.url = l.url)
    ), added AS (
        INSERT INTO chunks (chunk, url, url_key) SELECT chunk, url, url_key FROM new
    ), halves AS (
        INSERT INTO jobs (number, priority)
        SELECT 2 * chunk - half, $3 FROM new CROSS JOIN (VALUES (1), (0)) AS h (half)
    )
    SELECT count(*) FROM new";

const PAYLOADS: &str = "
    WITH listed AS MATERIALIZED (
        SELECT DISTINCT ON (data_key, data) data, data_key, turn
        FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS a (data, data_key, turn)
        ORDER BY data_key, data, turn
    ), new AS MATERIALIZED (
        SELECT data, data_key, (SELECT coalesce(max(number), 0) FROM jobs)
                               + row_number() OVER (ORDER BY turn) AS number
        FROM listed l
        WHERE NOT EXISTS (SELECT 1 FROM payloads p
                          WHERE p.data_key = l.data_key AND p.data = l.data)
    ), added AS (
        INSERT INTO jobs (number, priority) SELECT number, $3 FROM new
    ), texts AS (
        INSERT INTO payloads (number, data, data_key) SELECT number, data, data_key FROM new
    )
    SELECT count(*) FROM new";

pub(super) async fn add_chunks(
    tx: &mut Transaction,
    urls: &[String],
    priority: i64,
) -> Result<Added, StoreError> {
    if urls.is_empty() {
        return Ok(Added::default());
    }
    take_kind(tx, Kind::Shards).await?;
    let keys: Vec<i64> = urls.iter().map(|url| keys::of_url(url)).collect();
    let added = add(tx, CHUNKS, urls, &keys, priority).await?;
    tx.deltas.add_jobs(2 * signed(added.added));
    Ok(added)
}

pub(super) async fn add_payloads(
    tx: &mut Transaction,
    texts: &[String],
    priority: i64,
) -> Result<Added, StoreError> {
    if texts.is_empty() {
        return Ok(Added::default());
    }
    take_kind(tx, Kind::Data).await?;
    let keys: Vec<i64> = texts.iter().map(|text| keys::of_text(text)).collect();
    let added = add(tx, PAYLOADS, texts, &keys, priority).await?;
    tx.deltas.add_jobs(signed(added.added));
    Ok(added)
}

async fn add(
    tx: &mut Transaction,
    sql: &'static str,
    texts: &[String],
    keys: &[i64],
    priority: i64,
) -> Result<Added, StoreError> {
    texts.iter().try_for_each(|text| check_storable(text))?;
    let row = tx.query_one(sql, &[&texts, &keys, &priority]).await?;
    let added = row.get::<_, i64>(0).unsigned_abs();
    Ok(Added {
        added,
        known: texts.len() as u64 - added,
    })
}

/// Makes sure that all jobs of a project are of one kind: their numbers say what they are. The
/// project's row keeps other imports out until this one is done, so that numbers are given once.
async fn take_kind(tx: &Transaction, kind: Kind) -> Result<(), StoreError> {
    tx.run(SETTINGS).await?;
    let row = tx
        .query_one("SELECT kind FROM project FOR UPDATE", &[])
        .await?;
    match row.get::<_, Option<&str>>(0).and_then(Kind::from_text) {
        None => {
            tx.execute("UPDATE project SET kind = $1", &[&kind.as_str()])
                .await?;
            Ok(())
        }
        Some(known) if known == kind => Ok(()),
        Some(known) => Err(known.refusal()),
    }
}
