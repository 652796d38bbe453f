//! Connections that break, and calls that the database refuses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cah_tracker::store::{self, Accepted, Caller, Completion, Store, StoreError};
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{
    cluster::{self, Database},
    replicas::{CLAIM, NOW, add_chunks, at, eventually, join, one_pair},
};
use crate::recount;

/// Ends all connections to the current database but this one.
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Works until nothing is open; calls that got no answer are made again.
async fn work(store: &dyn Store, worker: Caller) -> u64 {
    let mut counted = 0;
    loop {
        match store.claim(worker, CLAIM, at(NOW)).await {
            Ok(_) => {}
            Err(StoreError::NoOpenJob) => return counted,
            Err(StoreError::Unavailable(_)) => continue,
            Err(error) => panic!("{error}"),
        }
        loop {
            match store.complete(worker, one_pair(), at(NOW)).await {
                // Repeated: it was committed, and the answer got lost.
                Ok(Accepted::Counted | Accepted::Repeated) => break counted += 1,
                Err(StoreError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_stands_whatever_breaks() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    add_chunks(&*store, 1_000).await;
    let names = (0..16).map(|i| format!("worker-{i}"));
    let workers = join_all(names.map(|name| {
        let store = &*store;
        async move { join(store, &name).await }
    }))
    .await;
    let client = database.client().await;
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let killer = tokio::spawn(async move {
        let mut kills = 0;
        while !over.load(Ordering::SeqCst) {
            client.batch_execute(KILL).await.unwrap();
            kills += 1;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        kills
    });
    let counted = join_all(workers.iter().map(|worker| work(&*store, *worker))).await;
    done.store(true, Ordering::SeqCst);
    assert!(
        killer.await.unwrap() > 2,
        "it was over before anything broke"
    );
    // A claim whose answer got lost is asked for anew, and its job goes to somebody in the end.
    assert_eq!(counted.iter().sum::<u64>(), 2_000);
    let settled = Instant::now();
    let counts = loop {
        match store.counts().await {
            Ok(counts) => break counts,
            Err(_) => assert!(settled.elapsed() < Duration::from_secs(60)),
        }
    };
    assert_eq!(
        (counts.closed, counts.pairs, counts.leased()),
        (2_000, 2_000, 0)
    );
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn a_database_that_is_away_is_missed_at_once_and_found_again() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    add_chunks(&*store, 1).await;
    let worker = join(&*store, "ada").await;
    store.claim(worker, CLAIM, at(NOW)).await.unwrap();

    let admin = cluster::connect(&database.address.replace(&database.name, "postgres")).await;
    let allow = |allow| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", database.name);
    admin.batch_execute(&allow(false)).await.unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        database.name
    );
    admin.batch_execute(&kill).await.unwrap();
    for _ in 0..20 {
        let asked = Instant::now();
        let refused = store.complete(worker, one_pair(), at(NOW)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
        assert!(store.ping().await.is_err());
        assert!(store.counts().await.is_err());
        // Long before the deadline of a call.
        assert!(asked.elapsed() < Duration::from_secs(15));
    }
    // Known from before, and heard.
    store.beat(worker, None, at(NOW)).await.unwrap();
    assert!(store.flush(NOW).await.is_err());

    admin.batch_execute(&allow(true)).await.unwrap();
    let back = Instant::now();
    while store.ping().await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.complete(worker, one_pair(), at(NOW)).await.unwrap();
    store.flush(NOW).await.unwrap();
    store.reap(NOW, 9).await.unwrap();
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn text_that_cannot_be_stored_harms_nobody_else() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    add_chunks(&*store, 4).await;
    let (a, b) = (join(&*store, "ada").await, join(&*store, "bob").await);
    for worker in [a, b] {
        store.claim(worker, CLAIM, at(NOW)).await.unwrap();
    }
    let output = |text: &str| Completion {
        output: Some(text.into()),
        ..Completion::default()
    };
    let (refused, accepted) = tokio::join!(
        store.complete(a, output("x\0y"), at(NOW)),
        store.complete(b, output("xy"), at(NOW)),
    );
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    accepted.unwrap();
    store.beat(a, Some("7\0/ 9".into()), at(NOW)).await.unwrap();
    store.flush(NOW).await.unwrap();
    let texts = vec!["a\0b".to_owned()];
    let added = store.add_payloads(texts, 0).await;
    assert!(matches!(added, Err(StoreError::Conflict(_))));
    store.complete(a, output("fine"), at(NOW)).await.unwrap();
    recount::check_postgres(&database.address).await;
}

/// Reads that wait until the client ends its transaction.
async fn slow_reads(
    database: &Database,
    store: &Arc<dyn Store>,
    count: i64,
) -> (Client, Vec<JoinHandle<()>>) {
    let client = database.client().await;
    let lock = "BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let read = |_| {
        let store = Arc::clone(store);
        tokio::spawn(async move { drop(store.points(1).await) })
    };
    let reads = (0..count).map(read).collect();
    let wait = async || database.waiting().await == count;
    eventually("they do not wait", wait).await;
    (client, reads)
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_keeps_nobody_waiting() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    let (_client, reads) = slow_reads(&database, &store, 1).await;
    for read in reads {
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
    }
    assert_eq!(store.banner().await.unwrap(), "");
    // The server is still at it.
    assert_eq!(database.waiting().await, 1);
}

#[tokio::test]
async fn slow_reads_keep_no_heartbeat_from_being_stored() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    let ada = join(&*store, "ada").await;
    let (_client, _reads) = slow_reads(&database, &store, 6).await;
    store.beat(ada, None, at(NOW + 1)).await.unwrap();
    store.flush(NOW + 1).await.unwrap();
    store.reap(NOW + 1, 9).await.unwrap();
    assert_eq!(database.waiting().await, 6);
    let seen = "SELECT last_seen FROM workers";
    let seen = database.client().await.query_one(seen, &[]).await;
    assert_eq!(seen.unwrap().get::<_, i64>(0), NOW + 1);
}
