//! Several trackers over one database.

use std::{collections::HashSet, sync::Arc, time::Duration};

use cah_protocol::WorkerType;
use cah_tracker::{
    TokenHash,
    store::{
        self, Accepted, Caller, Claim, Completion, Failure, Flag, HandIn, HandInBy, Moment,
        NewWorker, Order, Store, StoreError,
    },
};
use futures::future::join_all;

use super::{cluster::Database, proxy::Proxy};
use crate::{app::LOCAL, recount};

pub(super) const NOW: i64 = 1_000_000;
const IDLE: i64 = 100;

pub(super) const CLAIM: Claim = Claim {
    order: Order::Oldest,
    max_failures: 1_000,
};

pub(super) fn at(now: i64) -> Moment {
    Moment {
        now,
        until: now + IDLE,
    }
}

pub(super) fn caller(name: &str) -> Caller {
    Caller {
        token: TokenHash::of(name),
        role: Some(WorkerType::Hybrid.into()),
    }
}

pub(super) fn newcomer(name: &str) -> NewWorker {
    NewWorker {
        places: None,
        upload_key: TokenHash::of("key"),
        address: LOCAL,
        token: TokenHash::of(name),
        role: WorkerType::Hybrid.into(),
        display_name: name.into(),
        nickname: format!("nick of {}", name.len()),
        progress: "Connected".into(),
    }
}

pub(super) async fn join(store: &dyn Store, name: &str) -> Caller {
    store.register(newcomer(name), at(NOW)).await.unwrap();
    caller(name)
}

pub(super) async fn add_chunks(store: &dyn Store, chunks: usize) {
    let url = |chunk| format!("https://data.example.org/{chunk}.warc.wat.gz");
    store
        .add_chunks((0..chunks).map(url).collect(), 0)
        .await
        .unwrap();
}

pub(super) fn one_pair() -> Completion {
    Completion {
        pairs: 1,
        ..Completion::default()
    }
}

/// Two trackers over a database with the jobs of so many WAT files.
pub(super) async fn two(chunks: usize) -> (Database, Arc<dyn Store>, Arc<dyn Store>) {
    let database = Database::new().await;
    let a = store::open(&database.address).await.unwrap();
    let b = store::open(&database.address).await.unwrap();
    add_chunks(&*a, chunks).await;
    a.flush(NOW).await.unwrap();
    b.flush(NOW).await.unwrap();
    (database, a, b)
}

/// Tries for a while: what trackers tell each other takes a moment.
pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} for too long");
}

#[tokio::test]
async fn a_worker_may_call_any_tracker() {
    let (database, a, b) = two(2).await;
    let worker = join(&*a, "ada").await;
    assert_eq!(b.claim(worker, CLAIM, at(NOW)).await.unwrap().number, 1);
    a.complete(worker, one_pair(), at(NOW)).await.unwrap();
    // Repeated on the other one, as after an answer that got lost.
    let again = b.complete(worker, one_pair(), at(NOW)).await.unwrap();
    assert_eq!(again, Accepted::Repeated);
    assert_eq!(a.claim(worker, CLAIM, at(NOW)).await.unwrap().number, 2);
    let strange = Caller {
        role: Some(WorkerType::Gpu.into()),
        ..worker
    };
    let refused = b.beat(strange, None, at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::UnknownWorker)));
    for store in [&a, &b] {
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.closed, counts.leased(), counts.workers), (1, 1, 1));
    }
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn who_leaves_one_is_gone_from_all() {
    let (_database, a, b) = two(1).await;
    let worker = join(&*a, "ada").await;
    b.beat(worker, None, at(NOW)).await.unwrap();
    a.leave(worker, at(NOW)).await.unwrap();
    eventually("the other tracker knows it", async || {
        b.beat(worker, None, at(NOW)).await.is_err()
    })
    .await;
    // Whoever was told nothing finds out when it stores what it heard.
    let late = join(&*a, "bob").await;
    b.beat(late, None, at(NOW)).await.unwrap();
    let claimed = b.claim(worker, CLAIM, at(NOW)).await;
    assert!(matches!(claimed, Err(StoreError::UnknownWorker)));
}

#[tokio::test]
async fn who_left_while_a_tracker_was_cut_off_is_gone_there_too() {
    let (database, a, _) = two(0).await;
    let mut way = Proxy::start().await;
    let cut_off = format!(
        "{}?application_name=cut-off",
        way.address(&database.address)
    );
    let b = store::open(&cut_off).await.unwrap();
    let worker = join(&*a, "ada").await;
    b.beat(worker, None, at(NOW)).await.unwrap();
    b.flush(NOW).await.unwrap();
    // Its session is lost, and cannot be had again at the first attempt.
    way.cut().await;
    a.leave(worker, at(NOW)).await.unwrap();
    way.mend();
    let client = database.client().await;
    let listens = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                   WHERE application_name = 'cut-off' AND query LIKE '%pg_backend_pid%')";
    eventually("it hears nothing again", async || {
        client.query_one(listens, &[]).await.unwrap().get(0)
    })
    .await;
    eventually("it cannot be used", async || b.ping().await.is_ok()).await;
    let heard = b.beat(worker, None, at(NOW)).await;
    assert!(matches!(heard, Err(StoreError::UnknownWorker)));
}

#[tokio::test]
async fn a_beat_is_of_one_worker_not_of_its_number() {
    let (database, a, _) = two(0).await;
    let worker = join(&*a, "ada").await;
    a.beat(worker, Some("7 / 9".into()), at(NOW + 50))
        .await
        .unwrap();
    // As after a restore of which this tracker has not been told yet.
    let client = database.client().await;
    let another = "UPDATE workers SET token_hash = '\\x00', display_name = 'bob'";
    client.batch_execute(another).await.unwrap();
    a.flush(NOW + 50).await.unwrap();
    let stored = "SELECT last_seen, progress FROM workers";
    let stored = client.query_one(stored, &[]).await.unwrap();
    assert_eq!((stored.get(0), stored.get(1)), (NOW, "Connected"));
    let heard = a.beat(worker, None, at(NOW + 50)).await;
    assert!(matches!(heard, Err(StoreError::UnknownWorker)));
}

#[tokio::test]
async fn each_job_goes_to_one_worker() {
    let (database, a, b) = two(200).await;
    let stores = [a, b];
    let work = (0..40).map(|i| {
        let (stores, name) = (stores.clone(), format!("worker-{i}"));
        tokio::spawn(async move {
            let worker = join(&*stores[i % 2], &name).await;
            let mut done = Vec::new();
            for call in i.. {
                let (claims, completes) = (&stores[call % 2], &stores[call / 2 % 2]);
                match claims.claim(worker, CLAIM, at(NOW)).await {
                    Ok(claimed) => done.push(claimed.number),
                    Err(StoreError::NoOpenJob) => return done,
                    Err(error) => panic!("{error}"),
                }
                completes
                    .complete(worker, one_pair(), at(NOW))
                    .await
                    .unwrap();
            }
            done
        })
    });
    let done: Vec<u64> = join_all(work)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    assert_eq!(done.len(), 400);
    assert_eq!(done.iter().collect::<HashSet<_>>().len(), 400);
    let counts = stores[0].counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs), (400, 400));
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn random_claims_do_not_meet() {
    let (database, a, b) = two(30).await;
    let random = Claim {
        order: Order::Random,
        ..CLAIM
    };
    let names = (0..60).map(|i| format!("worker-{i}"));
    let workers = join_all(names.map(|name| {
        let a = &*a;
        async move { join(a, &name).await }
    }))
    .await;
    let claims = workers.iter().enumerate().map(|(i, worker)| {
        let store = [&a, &b][i % 2];
        store.claim(*worker, random, at(NOW))
    });
    let numbers = join_all(claims)
        .await
        .into_iter()
        .map(|claimed| claimed.unwrap().number);
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 60);
    assert!(!numbers.is_sorted());
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn one_tracker_reaps_and_another_takes_over() {
    let (database, a, b) = two(1).await;
    let worker = join(&*a, "ada").await;
    b.claim(worker, CLAIM, at(NOW)).await.unwrap();
    let late = NOW + IDLE;
    // The first to ask leads. What the other one heard may not be stored yet.
    a.reap(NOW, 9).await.unwrap();
    b.flush(late).await.unwrap();
    assert_eq!(a.reap(late + 14, 9).await.unwrap().workers, 0);
    assert_eq!(b.reap(late + 99, 9).await.unwrap().workers, 0);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    database.client().await.batch_execute(kill).await.unwrap();
    eventually("nobody takes over", async || {
        let reaped = b.reap(late + 15, 9).await.unwrap();
        (reaped.workers, reaped.jobs) == (1, 1)
    })
    .await;
    assert!(matches!(
        a.complete(worker, one_pair(), at(late - 1)).await,
        Err(StoreError::UnknownWorker)
    ));
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn nobody_is_removed_before_the_others_told_whom_they_heard() {
    let (database, a, b) = two(1).await;
    let worker = join(&*a, "ada").await;
    a.reap(NOW, 9).await.unwrap();
    b.beat(worker, None, at(NOW + 90)).await.unwrap();
    // The database was away, and nobody could store anything.
    database.end_sessions().await;
    let back = NOW + IDLE + 20;
    let mut removed = 0;
    eventually("the first does not find the database", async || {
        let reaped = a.reap(back, 9).await;
        removed += reaped.as_ref().map_or(0, |reaped| reaped.workers);
        reaped.is_ok()
    })
    .await;
    assert_eq!(removed, 0);
    eventually("the second does not find the database", async || {
        b.flush(back + 5).await.is_ok()
    })
    .await;
    assert_eq!(a.reap(back + 31, 9).await.unwrap().workers, 0);
    b.beat(worker, None, at(NOW + 90)).await.unwrap();
    assert_eq!(a.reap(NOW + 90 + IDLE + 15, 9).await.unwrap().workers, 1);
}

#[tokio::test]
async fn the_silent_are_found_behind_many_who_were_heard() {
    let (database, a, _) = two(0).await;
    let names = (0..1_000).map(|i| format!("worker-{i}"));
    join_all(names.map(|name| {
        let a = &*a;
        async move { join(a, &name).await }
    }))
    .await;
    let spoil = "UPDATE workers SET deadline = 0;
                 INSERT INTO workers (token_hash, display_name, nickname, first_stage, last_stage,
                                      progress, first_seen, last_seen, deadline, role)
                 VALUES ('x', 'silent', 'nick', 0, 1, '', 0, 0, 0, 'HYBRID')";
    database.client().await.batch_execute(spoil).await.unwrap();
    assert_eq!(a.reap(NOW, 9).await.unwrap().workers, 1);
    assert_eq!(a.counts().await.unwrap().workers, 1_000);
}

#[tokio::test]
async fn what_another_tracker_heard_counts() {
    let (_database, a, b) = two(1).await;
    let worker = join(&*a, "ada").await;
    a.reap(NOW, 9).await.unwrap();
    b.beat(worker, Some("7 / 9".into()), at(NOW + 50))
        .await
        .unwrap();
    b.flush(NOW + 50).await.unwrap();
    // This one has not heard from it for a whole idle time, and stores that without harm.
    assert_eq!(a.reap(NOW + IDLE + 20, 9).await.unwrap().workers, 0);
    let seen = a
        .workers(store::WorkerQuery {
            limit: 1,
            ..store::WorkerQuery::default()
        })
        .await
        .unwrap()
        .workers;
    assert_eq!(
        (seen[0].last_seen, seen[0].progress.as_str()),
        (NOW + 50, "7 / 9")
    );
    a.beat(worker, None, at(NOW + IDLE + 20)).await.unwrap();
}

#[tokio::test]
async fn grace_is_for_those_who_could_call_nobody() {
    let (database, a, b) = two(1).await;
    let worker = join(&*a, "ada").await;
    let late = NOW + IDLE;
    a.flush(late).await.unwrap();
    // There was a tracker all the time.
    b.grant_grace(late, late + IDLE).await.unwrap();
    assert!(b.beat(worker, None, at(late)).await.is_err());
    drop((a, b));
    let alone = store::open(&database.address).await.unwrap();
    alone.grant_grace(late, late + IDLE).await.unwrap();
    alone.beat(worker, None, at(late)).await.unwrap();
}

#[tokio::test]
async fn a_restored_project_is_the_same_for_all() {
    let (_database, a, b) = two(1).await;
    let stays = join(&*a, "ada").await;
    let (send, mut rows) = tokio::sync::mpsc::channel(1_000);
    a.dump(send).await.unwrap();
    let later = join(&*a, "bob").await;
    b.beat(later, None, at(NOW)).await.unwrap();
    let (send, archive) = tokio::sync::mpsc::channel(1_000);
    while let Some(batch) = rows.recv().await {
        send.send(Ok(batch)).await.unwrap();
    }
    drop(send);
    a.load(archive, true, 0).await.unwrap();
    eventually("the other tracker knows whom it should not", async || {
        b.beat(later, None, at(NOW)).await.is_err()
    })
    .await;
    b.claim(stays, CLAIM, at(NOW)).await.unwrap();
    // Ids go on after those that came back.
    join(&*b, "eve").await;
    b.complete(stays, one_pair(), at(NOW)).await.unwrap();
}

#[tokio::test]
async fn two_calls_at_once_count_once() {
    let (database, a, b) = two(50).await;
    let worker = join(&*a, "ada").await;
    b.beat(worker, None, at(NOW)).await.unwrap();
    for _ in 0..20 {
        let claims = [&a, &b, &a, &b].map(|store| store.claim(worker, CLAIM, at(NOW)));
        for claimed in join_all(claims).await {
            claimed.unwrap();
        }
        assert_eq!(a.counts().await.unwrap().leased(), 1);
        let completions = [&a, &b].map(|store| store.complete(worker, one_pair(), at(NOW)));
        let answers = join_all(completions).await.into_iter().map(Result::unwrap);
        let counted = answers.filter(|answer| *answer == Accepted::Counted);
        assert_eq!(counted.count(), 1);
    }
    assert_eq!(a.counts().await.unwrap().closed, 20);
    recount::check_postgres(&database.address).await;
}

/// One of many who do what they like; returns the answers that nobody should get.
async fn meddle(stores: [Arc<dyn Store>; 2], who: u64) -> Vec<StoreError> {
    let name = format!("worker-{who}");
    let mut worker = join(&*stores[0], &name).await;
    let mut wrong = Vec::new();
    for step in 0..60 {
        let store = &*stores[(step % 2) as usize];
        let number = (who * 7 + step) % 40 + 1;
        let flag = Flag {
            number: None,
            reports: 2,
            max_failures: 3,
        };
        let failure = Failure {
            number: None,
            message: "it cannot be read".into(),
            max_failures: 3,
        };
        let by = HandInBy {
            nickname: name.clone(),
            operator: step % 3 == 0,
        };
        // What does not close a job brings no pairs.
        let completion = match by.operator {
            true => one_pair(),
            false => Completion::default(),
        };
        let hand_in = HandIn { number, completion };
        let done = match (who + step) % 11 {
            0..=2 => store.claim(worker, CLAIM, at(NOW)).await.map(drop),
            3..=4 => store.complete(worker, one_pair(), at(NOW)).await.map(drop),
            5 => store.flag(worker, flag, at(NOW)).await.map(drop),
            6 => store.fail(worker, failure, at(NOW)).await.map(drop),
            7 => store.reset(number).await,
            8 => store.hand_in(vec![hand_in], by, NOW).await.map(drop),
            9 => store.requeue(None).await.map(drop),
            _ => {
                let left = store.leave(worker, at(NOW)).await.map(drop);
                worker = join(store, &format!("{name}-{step}")).await;
                left
            }
        };
        match done {
            Ok(()) | Err(StoreError::NoLease | StoreError::NoOpenJob) => {}
            Err(error) => wrong.push(error),
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_hold_whoever_meddles() {
    let (database, a, b) = two(20).await;
    let stores = [a, b];
    let all = (0..24).map(|who| tokio::spawn(meddle(stores.clone(), who)));
    let wrong: Vec<StoreError> = join_all(all)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    // A circle of waiting that the server had to break is nothing wrong: the change was made again.
    // That common calls make none is held by `batches`.
    assert!(wrong.is_empty(), "{wrong:?}");
    recount::check_postgres(&database.address).await;
}
