//! Claims: those of many workers are one statement, wherever the jobs come in order.

use std::collections::{HashMap, HashSet};

use cah_protocol::Shard;
use tokio_postgres::Row;

use super::{
    connection::{Connection, small},
    deltas::Deltas,
};
use crate::store::{Claim, Claimed, Moment, Order, Role, State, StoreError, Task, rules::unsigned};

/// A claim of one worker.
pub(super) struct ClaimAsk {
    pub(super) worker: i64,
    pub(super) role: Role,
    pub(super) claim: Claim,
    pub(super) moment: Moment,
}

/// The callers of a claim; those that hold nothing get the jobs that `next` finds.
macro_rules! claim_with {
    ($next:expr) => {
        concat!(
            "WITH caller AS MATERIALIZED (
                 SELECT w.id, w.first_stage, a.at, a.turn
                 FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS a (worker, at, turn)
                 JOIN workers w ON w.id = a.worker
                 -- Crawlers, whose role has a name and no letter, know shards only.
                 WHERE length(w.role) = 1
                    OR (SELECT kind FROM project) IS DISTINCT FROM 'data'
                 ORDER BY w.id FOR UPDATE OF w
             ), idle AS MATERIALIZED (
                 SELECT id, first_stage AS stage, at,
                        row_number() OVER (PARTITION BY first_stage ORDER BY turn) AS place
                 FROM caller
                 WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.worker = caller.id)
             ), ",
            $next,
            ", taken AS (
                 UPDATE jobs SET state = 1, attempts = attempts + 1
                 FROM next JOIN idle USING (stage, place)
                 WHERE jobs.number = next.number
                 RETURNING jobs.number, jobs.attempts, jobs.stage, idle.id AS worker, idle.at
             ), lease AS (
                 INSERT INTO leases (number, worker, attempt, since)
                 SELECT number, worker, attempts, at FROM taken
             ), forget AS (
                 UPDATE workers SET settled = NULL, settled_as = NULL
                 FROM taken WHERE workers.id = taken.worker AND settled IS NOT NULL
             )
             SELECT caller.id, idle.id IS NULL, taken.number, taken.attempts, taken.stage,
                    (SELECT data FROM payloads WHERE payloads.number = taken.number),
                    (SELECT url FROM chunks WHERE chunk = (taken.number + 1) / 2),
                    (SELECT output FROM completions c
                     WHERE c.number = taken.number AND c.stage = taken.stage - 1 AND revoked = 0
                     ORDER BY attempt DESC LIMIT 1)
             FROM caller LEFT JOIN idle ON idle.id = caller.id
                         LEFT JOIN taken ON taken.worker = caller.id"
        )
    };
}

/// `state = 0` is spelled out so that the partial index applies.
macro_rules! claim_oldest_with {
    ($locked:literal) => {
        claim_with!(concat!(
            "next AS MATERIALIZED (
                 SELECT w.stage, j.number,
                        row_number() OVER (PARTITION BY w.stage
                                           ORDER BY priority DESC, setbacks, number) AS place
                 FROM (SELECT stage, count(*) AS jobs FROM idle GROUP BY stage) w
                 CROSS JOIN LATERAL (
                     SELECT number, priority, setbacks FROM jobs
                     WHERE state = 0 AND stage = w.stage
                     ORDER BY priority DESC, setbacks, number LIMIT w.jobs FOR UPDATE ",
            $locked,
            "
                 ) j
             )"
        ))
    };
}

/// Jobs that another tracker is about to lease are passed over.
pub(super) const CLAIM_OLDEST: &str = claim_oldest_with!("SKIP LOCKED");

/// Jobs that others hold are waited for, whichever of them are open then.
const CLAIM_WAITING: &str = claim_oldest_with!("");

/// The same for one caller: the first job from a drawn number on, among the first ones' equals.
pub(super) const CLAIM_RANDOM: &str = claim_with!(
    "first AS MATERIALIZED (
         SELECT i.stage, j.* FROM idle i CROSS JOIN LATERAL (
             SELECT number, priority, setbacks FROM jobs WHERE state = 0 AND stage = i.stage
             ORDER BY priority DESC, setbacks, number LIMIT 1
         ) j
     ), bound AS MATERIALIZED (
         SELECT first.*, number + floor($3::float8 * (greatest((SELECT jobs FROM totals), number)
                                                      - number + 1))::bigint AS drawn
         FROM first
     ), drawn AS MATERIALIZED (
         SELECT b.stage, j.number FROM bound b CROSS JOIN LATERAL (
             SELECT number FROM jobs
             WHERE state = 0 AND stage = b.stage AND priority = b.priority
               AND setbacks = b.setbacks AND number >= b.drawn
             ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
         ) j
     ), otherwise AS MATERIALIZED (
         SELECT i.stage, j.number
         FROM (SELECT stage FROM idle WHERE NOT EXISTS (SELECT 1 FROM drawn)) i
         CROSS JOIN LATERAL (
             SELECT number FROM jobs WHERE state = 0 AND stage = i.stage
             ORDER BY priority DESC, setbacks, number LIMIT 1 FOR UPDATE SKIP LOCKED
         ) j
     ), next AS MATERIALIZED (
         SELECT stage, number, 1::bigint AS place FROM drawn
         UNION ALL SELECT stage, number, 1::bigint FROM otherwise
     )"
);

/// The statements that batches send, to be prepared before.
pub(super) const STATEMENTS: &[&str] = &[CLAIM_OLDEST, CLAIM_RANDOM, CLAIM_WAITING];

/// Those of some workers for whom a job is open.
const HAS_OPEN: &str = "
    SELECT id FROM workers
    WHERE id = ANY ($1)
      AND EXISTS (SELECT 1 FROM jobs WHERE state = 0 AND stage = workers.first_stage)";

/// What becomes of jobs that others hold at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// They are passed over.
    #[default]
    PassingOver,
    /// They are waited for.
    Waiting,
}

/// What came of the claims in order, and where in this order are those whose worker still holds a
/// job; nothing has happened for these yet.
pub(super) struct Claims {
    pub(super) answers: Vec<Result<Claimed, StoreError>>,
    pub(super) holding: Vec<usize>,
}

/// Leases jobs to workers that hold none.
pub(super) async fn claim(
    db: &Connection,
    asks: &[&ClaimAsk],
    manner: Manner,
    deltas: &mut Deltas,
) -> Result<Claims, StoreError> {
    let mut found: HashMap<i64, Row> = HashMap::new();
    let in_order = |ask: &&&ClaimAsk| ask.claim.order == Order::Oldest || manner == Manner::Waiting;
    let (oldest, random): (Vec<&ClaimAsk>, Vec<&ClaimAsk>) = asks.iter().partition(in_order);
    let random = random.into_iter().map(|ask| claim_random(db, ask));
    let (oldest, random) = futures::join!(
        claim_oldest(db, &oldest, manner),
        futures::future::join_all(random)
    );
    let rows = random.into_iter().chain([oldest]);
    for row in rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        found.insert(row.get(0), row);
    }
    let mut claims = Claims {
        answers: Vec::with_capacity(asks.len()),
        holding: Vec::new(),
    };
    for (i, ask) in asks.iter().enumerate() {
        let row = found.get(&ask.worker);
        if row.is_some_and(|row| row.get(1)) {
            claims.holding.push(i);
        }
        claims.answers.push(claimed(ask, row, deltas));
    }
    Ok(claims)
}

async fn claim_oldest(
    db: &Connection,
    asks: &[&ClaimAsk],
    manner: Manner,
) -> Result<Vec<Row>, StoreError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let workers: Vec<i64> = asks.iter().map(|ask| ask.worker).collect();
    let at: Vec<i64> = asks.iter().map(|ask| ask.moment.now).collect();
    let sql = match manner {
        Manner::PassingOver => CLAIM_OLDEST,
        Manner::Waiting => CLAIM_WAITING,
    };
    db.query(sql, &[&workers, &at]).await
}

/// Those of the callers that got nothing although a job is open for them: somebody else holds it
/// at this moment, and may yet let it go.
pub(super) async fn passed_over(
    db: &Connection,
    asks: &[&ClaimAsk],
    answers: &[Result<Claimed, StoreError>],
) -> Result<HashSet<i64>, StoreError> {
    let vain = asks.iter().zip(answers);
    let vain = vain.filter(|(_, answer)| matches!(answer, Err(StoreError::NoOpenJob)));
    let vain: Vec<i64> = vain.map(|(ask, _)| ask.worker).collect();
    if vain.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = db.query(HAS_OPEN, &[&vain]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn claim_random(db: &Connection, ask: &ClaimAsk) -> Result<Vec<Row>, StoreError> {
    let (workers, at) = (vec![ask.worker], vec![ask.moment.now]);
    let draw: f64 = rand::random();
    db.query(CLAIM_RANDOM, &[&workers, &at, &draw]).await
}

fn claimed(ask: &ClaimAsk, row: Option<&Row>, deltas: &mut Deltas) -> Result<Claimed, StoreError> {
    let row = row.ok_or(StoreError::UnknownWorker)?;
    let number: i64 = row.get::<_, Option<i64>>(2).ok_or(StoreError::NoOpenJob)?;
    let stage = row.get(4);
    deltas.leave(State::Open, stage);
    deltas.enter(State::Leased, stage);
    Ok(Claimed {
        role: ask.role,
        number: unsigned(number),
        task: task(number, row.get(5), row.get(6))?,
        attempt: small(row.get(3)),
        until: ask.moment.until,
        input: row.get(7),
    })
}

/// What a job is about: its text, or else half of the chunk that its number is of.
pub(super) fn task(
    number: i64,
    data: Option<String>,
    url: Option<String>,
) -> Result<Task, StoreError> {
    match (data, url) {
        (Some(data), _) => Ok(Task::Data(data)),
        (None, Some(url)) => Ok(Task::Shard(Shard::numbered(unsigned(number), url))),
        (None, None) => Err(StoreError::unavailable(format!(
            "nothing is known about job {number}"
        ))),
    }
}
