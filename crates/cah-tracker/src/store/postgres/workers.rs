//! The rows of the connected workers.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::LazyLock,
};

use tokio_postgres::Row;

use super::{
    connection::{Connection, storable},
    deltas::Deltas,
    leases::{self, Setback},
    pool::Transaction,
};
use crate::{
    clock::Timestamp,
    machine::machine_of,
    store::{
        Caller, Excluded, Moment, NewWorker, Reaped, Role, State, StoreError, WorkerList,
        WorkerQuery, WorkerSort, WorkerView,
        presence::{Beat, Known, Presence},
        rules::{self, unsigned},
    },
    token::TokenHash,
};

/// Workers that are looked at, and perhaps removed, in one transaction.
const REAPED: usize = 1_000;

/// Whether somebody with the address `$1` and the nickname `$2`, in small letters, is kept out.
macro_rules! excluded {
    () => {
        "EXISTS (SELECT 1 FROM exclusions
                 WHERE CASE kind WHEN 'network' THEN whom::inet >>= $1::text::inet
                                 ELSE whom = $2::text END)"
    };
}

/// Whether as many workers of the machine `$3` are connected as `$4` says; where that is nothing, they
/// are not even counted.
macro_rules! crowded {
    () => {
        "CASE WHEN $4::bigint IS NULL THEN false
              ELSE (SELECT count(*) FROM (SELECT 1 FROM workers WHERE machine = $3::text
                                          LIMIT $4::bigint) AS neighbours) >= $4::bigint END"
    };
}

/// A worker that wants to join.
pub(super) struct JoinAsk {
    pub(super) worker: Box<NewWorker>,
    pub(super) moment: Moment,
}

/// Joins while the project has so many stages, for these say which ones are the worker's, and where
/// nothing keeps it out.
const JOIN: &str = concat!(
    "INSERT INTO workers (token_hash, display_name, nickname, first_stage, last_stage, progress,
                          first_seen, last_seen, deadline, role, address, machine, upload_hash)
     SELECT $5::bytea, $6::text, $7::text, $8::bigint, $9::bigint, $10::text, $11::bigint,
            $11::bigint, $12::bigint, $13::text, $1::text, $3::text, $15::bytea
     WHERE (SELECT count(*) FROM stages) = $14
           AND NOT ",
    excluded!(),
    " AND NOT ",
    crowded!(),
    " ON CONFLICT (display_name) DO NOTHING RETURNING id"
);

/// Why a worker could not join.
const EXPLAIN_JOIN: &str = concat!(
    "SELECT (SELECT count(*) FROM stages),
            EXISTS (SELECT 1 FROM workers WHERE display_name = $5), ",
    excluded!(),
    ", ",
    crowded!()
);

/// In the order of their ids, so that two who lock several never wait for each other.
const LOCK: &str = "SELECT 1 FROM workers WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

/// The leases are locked before the jobs, as everywhere.
const LEAVE: &str = "
    WITH held AS MATERIALIZED (
        SELECT l.number, l.attempt, w.first_stage
        FROM workers w JOIN leases l ON l.worker = w.id WHERE w.id = ANY ($1)
        ORDER BY w.id FOR UPDATE OF l
    ), job AS (
        UPDATE jobs j SET state = 0, stage = h.first_stage FROM held h
        WHERE j.number = h.number AND j.attempts = h.attempt AND j.state = 1
        RETURNING j.stage
    ), ended AS (
        DELETE FROM leases WHERE worker = ANY ($1)
    ), departed AS (
        DELETE FROM workers WHERE id = ANY ($1) RETURNING id
    )
    SELECT id, NULL::bigint FROM departed UNION ALL SELECT NULL, stage FROM job";

/// A beat that came late changes nothing; a row that somebody changes at this moment is left to
/// the next time, so that storing heartbeats is in nobody's way. The token says that it is the same
/// worker: after a restore another one may have its id.
const BEATS: &str = "
    WITH beat AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[])
                      AS b (id, token_hash, last_seen, deadline, progress)
    ), free AS MATERIALIZED (
        SELECT w.id, b.last_seen, b.deadline, b.progress
        FROM beat b JOIN workers w ON w.id = b.id AND w.token_hash = b.token_hash
        ORDER BY w.id FOR UPDATE OF w SKIP LOCKED
    ), stored AS (
        UPDATE workers w
        SET last_seen = greatest(w.last_seen, f.last_seen),
            deadline = greatest(w.deadline, f.deadline),
            progress = CASE WHEN f.last_seen >= w.last_seen THEN f.progress ELSE w.progress END
        FROM free f WHERE w.id = f.id RETURNING w.id
    )
    SELECT id, true FROM stored
    UNION ALL SELECT w.id, false
              FROM beat b JOIN workers w ON w.id = b.id AND w.token_hash = b.token_hash";

/// The statements that batches send, to be prepared before.
pub(super) const STATEMENTS: &[&str] = &[JOIN, LOCK, LEAVE];

/// Where a worker comes from, as statements ask for it.
struct Whence {
    address: String,
    nickname: String,
    machine: String,
    places: Option<i64>,
}

impl Whence {
    fn of(worker: &NewWorker) -> Self {
        let (_, nickname) = Excluded::Nickname(worker.nickname.clone()).as_texts();
        Self {
            address: worker.address.to_string(),
            nickname: storable(&nickname).into_owned(),
            machine: machine_of(worker.address).to_string(),
            places: worker.places.map(i64::from),
        }
    }
}

/// Takes a worker in and returns its id; `None` where that does not go, or the project has another
/// number of stages.
pub(super) async fn join(
    db: &Connection,
    ask: &JoinAsk,
    stages: i64,
) -> Result<Option<i64>, StoreError> {
    let JoinAsk { worker, moment } = ask;
    let Some(span) = worker.role.span(usize::try_from(stages).unwrap_or(0)) else {
        return Ok(None);
    };
    let Whence {
        address,
        nickname,
        machine,
        places,
    } = Whence::of(worker);
    let row = db
        .query_opt(
            JOIN,
            &[
                &address,
                &nickname,
                &machine,
                &places,
                &worker.token.as_bytes().as_slice(),
                &worker.display_name,
                &worker.nickname,
                &i64::from(span.first),
                &i64::from(span.last),
                &storable(&worker.progress),
                &moment.now,
                &moment.until,
                &worker.role.as_text(),
                &stages,
                &worker.upload_key.as_bytes().as_slice(),
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Finds out why a worker could not join, brings the number of stages up to date, and takes it in
/// after all where nothing else was wrong.
pub(super) async fn join_after_all(
    db: &Connection,
    ask: &JoinAsk,
    stages: &mut i64,
) -> Result<Result<i64, StoreError>, StoreError> {
    let Whence {
        address,
        nickname,
        machine,
        places,
    } = Whence::of(&ask.worker);
    let name = &ask.worker.display_name;
    let row = db
        .query_one(
            EXPLAIN_JOIN,
            &[&address, &nickname, &machine, &places, name],
        )
        .await?;
    *stages = row.get(0);
    if row.get(1) {
        return Ok(Err(StoreError::NameTaken));
    }
    if row.get(2) {
        return Ok(Err(StoreError::Excluded));
    }
    if row.get(3) {
        let places = ask.worker.places.unwrap_or(u32::MAX);
        return Ok(Err(StoreError::Crowded(places)));
    }
    let known = usize::try_from(*stages).unwrap_or(0);
    if ask.worker.role.span(known).is_none() {
        return Ok(Err(rules::no_such_stage()));
    }
    let joined = join(db, ask, *stages).await?;
    Ok(joined.ok_or(StoreError::NameTaken))
}

/// Keeps others from what is about these workers until the transaction ends. What is read in it
/// after this is as they left it.
pub(super) async fn lock(db: &Connection, workers: &[i64]) -> Result<(), StoreError> {
    if workers.is_empty() {
        return Ok(());
    }
    db.query(LOCK, &[&workers]).await.map(drop)
}

/// Removes workers that say goodbye, and are locked, and re-opens what they hold.
pub(super) async fn leave(
    db: &Connection,
    workers: &[i64],
    deltas: &mut Deltas,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    if workers.is_empty() {
        return Ok(Vec::new());
    }
    let mut departed = HashSet::new();
    for row in db.query(LEAVE, &[&workers]).await? {
        if let Some(worker) = row.get(0) {
            deltas.part(worker);
            departed.insert(worker);
        }
        if let Some(stage) = row.get(1) {
            deltas.leave(State::Leased, stage);
            deltas.enter(State::Open, stage);
        }
    }
    let answer = |worker| match departed.contains(worker) {
        true => Ok(()),
        false => Err(StoreError::UnknownWorker),
    };
    Ok(workers.iter().map(answer).collect())
}

/// What came of looking at some of the workers.
pub(super) struct Page {
    /// Those that were removed.
    pub(super) silent: Vec<i64>,
    pub(super) reaped: Reaped,
    /// Where to go on, if there may be more.
    pub(super) next: Option<i64>,
}

/// Removes some of the workers with later ids than `after` that were silent until after `late`, as
/// far as is known here and in the database; what they hold has failed.
pub(super) async fn reap(
    tx: &mut Transaction,
    presence: &Presence,
    after: i64,
    late: Timestamp,
    max_failures: u32,
    now: Timestamp,
) -> Result<Page, StoreError> {
    let rows = tx
        .query(
            "SELECT id FROM workers WHERE deadline <= $1 AND id > $3 ORDER BY id LIMIT $2
             FOR UPDATE SKIP LOCKED",
            &[&late, &(REAPED as i64), &after],
        )
        .await?;
    let late: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let next = late.last().copied().filter(|_| late.len() == REAPED);
    let silent = late.into_iter();
    let silent: Vec<i64> = silent.filter(|id| !presence.hears(*id, now)).collect();
    let setback = |worker: &i64| Setback {
        worker: *worker,
        number: None,
        message: rules::FELL_SILENT,
        max_failures,
        now,
    };
    let setbacks: Vec<Setback<'_>> = silent.iter().map(setback).collect();
    let mut deltas = std::mem::take(&mut tx.deltas);
    let jobs = leases::set_back(tx, &setbacks, false, &mut deltas).await?;
    tx.deltas = deltas;
    tx.execute("DELETE FROM workers WHERE id = ANY ($1)", &[&silent])
        .await?;
    silent.iter().for_each(|worker| tx.deltas.part(*worker));
    let reaped = Reaped {
        workers: silent.len() as u64,
        jobs: jobs.len() as u64,
    };
    Ok(Page {
        silent,
        reaped,
        next,
    })
}

pub(super) const BY_TOKEN: &str = "
    SELECT id, role, last_seen, deadline, progress FROM workers
    WHERE token_hash = $1 AND deadline > $2";

/// The job of a worker by one of its secrets.
pub(super) async fn held_by(db: &Connection, secret: TokenHash) -> Result<u64, StoreError> {
    let row = db
        .query_opt(
            "SELECT l.number FROM workers w LEFT JOIN leases l ON l.worker = w.id
             WHERE w.token_hash = $1 OR w.upload_hash = $1",
            &[&secret.as_bytes().as_slice()],
        )
        .await?;
    let held: Option<i64> = row.ok_or(StoreError::UnknownWorker)?.get(0);
    held.map(unsigned).ok_or(StoreError::NoLease)
}

/// The worker with this token, if it is still expected to call.
pub(super) async fn find_by_token(
    db: &Connection,
    caller: Caller,
    now: Timestamp,
) -> Result<Option<Known>, StoreError> {
    let token = caller.token.as_bytes().as_slice();
    let row = db.query_opt(BY_TOKEN, &[&token, &now]).await?;
    Ok(row.map(|row| known(&row, caller.token)))
}

fn known(row: &Row, token: TokenHash) -> Known {
    Known {
        worker: row.get(0),
        token,
        role: role(row, 1),
        last_seen: row.get(2),
        deadline: row.get(3),
        progress: row.get::<_, &str>(4).into(),
    }
}

/// What became of heartbeats.
pub(super) struct Stored {
    pub(super) saved: Vec<i64>,
    /// Workers that are no longer there; the rows of the rest were in use.
    pub(super) gone: Vec<i64>,
}

pub(super) async fn store_beats(db: &Connection, beats: &[Beat]) -> Result<Stored, StoreError> {
    let ids: Vec<i64> = beats.iter().map(|beat| beat.worker).collect();
    let tokens = beats.iter().map(|beat| beat.token.as_bytes().as_slice());
    let tokens: Vec<&[u8]> = tokens.collect();
    let last_seen: Vec<i64> = beats.iter().map(|beat| beat.last_seen).collect();
    let deadlines: Vec<i64> = beats.iter().map(|beat| beat.deadline).collect();
    let progress = beats.iter().map(|beat| storable(&beat.progress));
    let progress: Vec<_> = progress.collect();
    let rows = db
        .query(BEATS, &[&ids, &tokens, &last_seen, &deadlines, &progress])
        .await?;
    let of = |stored: bool| -> HashSet<i64> {
        let rows = rows.iter().filter(|row| row.get::<_, bool>(1) == stored);
        rows.map(|row| row.get(0)).collect()
    };
    let (stored, there) = (of(true), of(false));
    let (saved, others): (Vec<i64>, Vec<i64>) = ids.into_iter().partition(|id| stored.contains(id));
    let gone = others.into_iter().filter(|id| !there.contains(id));
    Ok(Stored {
        saved,
        gone: gone.collect(),
    })
}

macro_rules! view_where {
    ($condition:literal) => {
        concat!(
            "SELECT w.id, w.display_name, w.role, w.nickname, l.number, w.progress,
                    w.jobs_completed, w.first_seen, w.last_seen, w.pairs, l.since
             FROM workers w LEFT JOIN leases l ON l.worker = w.id WHERE ",
            $condition
        )
    };
}

const VIEW_WHERE: &str = view_where!("");

/// Those with a text in one of their names; `$1` is NULL where all are asked for.
const NAMED: &str = "
    ($1::text IS NULL OR lower(w.display_name) LIKE $1 OR lower(w.nickname) LIKE $1)";

/// What lists workers: whether those of one contributor only, sorted by what, the other way round.
static LISTS: LazyLock<HashMap<(bool, WorkerSort, bool), List>> = LazyLock::new(|| {
    let mut lists = HashMap::new();
    for of_contributor in [false, true] {
        for sort in WorkerSort::ALL {
            for descending in [false, true] {
                let list = List::new(of_contributor, sort, descending);
                lists.insert((of_contributor, sort, descending), list);
            }
        }
    }
    lists
});

/// The statements that count the workers that are asked for, and that read some of them.
pub(super) struct List {
    pub(super) count: String,
    pub(super) some: String,
}

impl List {
    fn new(of_contributor: bool, sort: WorkerSort, descending: bool) -> Self {
        // An index finds those of a contributor.
        let of = match of_contributor {
            true => "w.nickname = $2",
            false => "$2::text IS NULL",
        };
        let folded = |column: &str| format!("lower({column}) COLLATE \"C\"");
        let order = rules::worker_order(sort, descending, folded);
        Self {
            count: format!("SELECT count(*) FROM workers w WHERE {of} AND {NAMED}"),
            some: format!("{VIEW_WHERE} {of} AND {NAMED} ORDER BY {order} LIMIT $3 OFFSET $4"),
        }
    }

    pub(super) fn of(query: &WorkerQuery) -> &'static Self {
        // All of them are there.
        &LISTS[&(query.nickname.is_some(), query.sort, query.descending)]
    }
}

pub(super) async fn list(
    db: &Connection,
    presence: &Presence,
    query: &WorkerQuery,
) -> Result<WorkerList, StoreError> {
    let text = (!query.text.is_empty()).then(|| rules::like(&storable(&query.text)));
    let nickname = query.nickname.as_deref().map(storable);
    let List { count, some } = List::of(query);
    let found: i64 = db.query_one(count, &[&text, &nickname]).await?.get(0);
    let (limit, skip) = (i64::from(query.limit), i64::from(query.skip));
    let rows = db.query(some, &[&text, &nickname, &limit, &skip]).await?;
    Ok(WorkerList {
        workers: rows.iter().map(|row| view(row, presence)).collect(),
        found: unsigned(found),
    })
}

pub(super) async fn address(
    db: &Connection,
    display_name: &str,
) -> Result<Option<IpAddr>, StoreError> {
    let row = db
        .query_opt(
            "SELECT address FROM workers WHERE display_name = $1",
            &[&storable(display_name)],
        )
        .await?;
    Ok(row.and_then(|row| row.get::<_, &str>(0).parse().ok()))
}

pub(super) async fn find(
    db: &Connection,
    presence: &Presence,
    role: Role,
    display_name: &str,
) -> Result<Option<WorkerView>, StoreError> {
    let row = db
        .query_opt(
            view_where!("w.display_name = $1 AND w.role = $2"),
            &[&storable(display_name), &role.as_text()],
        )
        .await?;
    Ok(row.map(|row| view(&row, presence)))
}

fn view(row: &Row, presence: &Presence) -> WorkerView {
    let stored = WorkerView {
        display_name: row.get(1),
        role: role(row, 2),
        nickname: row.get(3),
        number: row.get::<_, Option<i64>>(4).map(unsigned),
        progress: row.get(5),
        jobs_completed: unsigned(row.get(6)),
        first_seen: row.get(7),
        last_seen: row.get(8),
        pairs: unsigned(row.get(9)),
        working_since: row.get(10),
    };
    let mut view = stored.clone();
    presence.refresh(row.get(0), &mut view);
    // Another tracker may have heard from it since.
    match view.last_seen < stored.last_seen {
        true => stored,
        false => view,
    }
}

fn role(row: &Row, column: usize) -> Role {
    // Only roles are ever stored.
    Role::from_text(row.get(column)).unwrap_or(Role::Stage(0))
}
