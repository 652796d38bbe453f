//! Changes that are made together.

use std::sync::Arc;

use cah_tracker::store::{self, Claim, Flag, Order, Store, StoreError};
use futures::poll;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{
    cluster::Database,
    replicas::{CLAIM, NOW, add_chunks, at, eventually, join, newcomer, one_pair, two},
};
use crate::recount;

/// Stores that make no change before they are let go: what one is asked for until then is one
/// batch.
struct Held {
    client: Client,
    waits: Vec<JoinHandle<Result<(), StoreError>>>,
}

impl Held {
    async fn one(database: &Database, store: &Arc<dyn Store>) -> Self {
        Self::all(database, &[store]).await
    }

    async fn all(database: &Database, stores: &[&Arc<dyn Store>]) -> Self {
        let client = database.client().await;
        let lock = "BEGIN; SELECT 1 FROM totals FOR UPDATE";
        client.batch_execute(lock).await.unwrap();
        let wait = |store: &&Arc<dyn Store>| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.ping().await })
        };
        let waits: Vec<_> = stores.iter().map(wait).collect();
        let count = stores.len() as i64;
        let wait = async || database.waiting().await == count;
        eventually("they do not wait", wait).await;
        Self { client, waits }
    }

    async fn let_go(self) {
        self.client.batch_execute("COMMIT").await.unwrap();
        for waits in self.waits {
            waits.await.unwrap().unwrap();
        }
    }
}

async fn one(chunks: usize) -> (Database, Arc<dyn Store>) {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    add_chunks(&*store, chunks).await;
    (database, store)
}

#[tokio::test]
async fn what_only_its_caller_wants_is_not_made_without_it() {
    let (database, store) = one(2).await;
    let (ada, bob) = (join(&*store, "ada").await, join(&*store, "bob").await);
    store.claim(ada, CLAIM, at(NOW)).await.unwrap();
    let held = Held::one(&database, &store).await;
    // Asked for, and given up.
    assert!(poll!(store.claim(bob, CLAIM, at(NOW))).is_pending());
    assert!(poll!(store.register(newcomer("eve"), at(NOW))).is_pending());
    assert!(poll!(store.complete(ada, one_pair(), at(NOW))).is_pending());
    held.let_go().await;
    store.ping().await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.workers, counts.leased(), counts.closed), (2, 0, 1));
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn one_worker_waits_with_a_few_calls_only() {
    let (database, store) = one(2).await;
    let (ada, bob) = (join(&*store, "ada").await, join(&*store, "bob").await);
    let held = Held::one(&database, &store).await;
    let mut calls: Vec<_> = (0..8).map(|_| store.claim(ada, CLAIM, at(NOW))).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    let one_more = store.claim(ada, CLAIM, at(NOW)).await;
    assert!(matches!(one_more, Err(StoreError::Unavailable(_))));
    calls.push(store.claim(bob, CLAIM, at(NOW)));
    held.let_go().await;
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(store.counts().await.unwrap().leased(), 2);
}

#[tokio::test]
async fn a_counter_that_cannot_be_written_harms_nobody_else() {
    let (database, store) = one(1).await;
    let ada = join(&*store, "ada").await;
    let client = database.client().await;
    let spoil = "UPDATE stages SET open = 0 WHERE stage = 0";
    client.batch_execute(spoil).await.unwrap();
    let held = Held::one(&database, &store).await;
    let mut claim = store.claim(ada, CLAIM, at(NOW));
    let mut joined = store.register(newcomer("eve"), at(NOW));
    assert!(poll!(&mut claim).is_pending() && poll!(&mut joined).is_pending());
    held.let_go().await;
    assert!(matches!(claim.await, Err(StoreError::Unavailable(_))));
    joined.await.unwrap();
    let mend = "UPDATE stages SET open = 2 WHERE stage = 0";
    client.batch_execute(mend).await.unwrap();
    recount::check_postgres(&database.address).await;
}

#[tokio::test]
async fn what_fails_for_all_is_not_tried_one_by_one() {
    let (database, store) = one(1).await;
    let client = database.client().await;
    let fill = "CREATE SEQUENCE tries;
                CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    PERFORM nextval('tries');
                    RAISE 'no space left on device' USING ERRCODE = 'disk_full';
                END $$;
                CREATE TRIGGER fill BEFORE INSERT ON workers EXECUTE FUNCTION fill()";
    client.batch_execute(fill).await.unwrap();
    let held = Held::one(&database, &store).await;
    let joins = ["ada", "bob"].map(|name| store.register(newcomer(name), at(NOW)));
    let [mut ada, mut bob] = joins;
    assert!(poll!(&mut ada).is_pending() && poll!(&mut bob).is_pending());
    held.let_go().await;
    for joined in [ada.await, bob.await] {
        assert!(matches!(joined, Err(StoreError::Unavailable(_))));
    }
    let tries = client.query_one("SELECT last_value FROM tries", &[]).await;
    assert_eq!(tries.unwrap().get::<_, i64>(0), 1);
    client
        .batch_execute("DROP TRIGGER fill ON workers")
        .await
        .unwrap();
    join(&*store, "ada").await;
}

#[tokio::test]
async fn a_job_that_another_one_lets_go_is_found() {
    for order in [Order::Oldest, Order::Random] {
        let (database, store) = one(1).await;
        let ada = join(&*store, "ada").await;
        let other = database.client().await;
        let hold = "BEGIN; SELECT 1 FROM jobs FOR UPDATE";
        other.batch_execute(hold).await.unwrap();
        let claim = Claim { order, ..CLAIM };
        let claim = tokio::spawn(async move { store.claim(ada, claim, at(NOW)).await });
        let waits = async || database.waiting().await == 1;
        eventually("it does not wait for the jobs", waits).await;
        other.batch_execute("ROLLBACK").await.unwrap();
        claim.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_worker_its_lease_and_its_job_are_locked_in_this_order() {
    let (database, store) = one(2).await;
    let (ada, bob) = (join(&*store, "ada").await, join(&*store, "bob").await);
    for worker in [ada, bob] {
        store.claim(worker, CLAIM, at(NOW)).await.unwrap();
    }
    let other = database.client().await;
    let hold = "BEGIN; SELECT 1 FROM jobs WHERE number IN (1, 2) FOR UPDATE";
    other.batch_execute(hold).await.unwrap();
    let flag = Flag {
        number: None,
        reports: 9,
        max_failures: 9,
    };
    let goodbye = Arc::clone(&store);
    let flags = Arc::clone(&store);
    // Each comes to the job first, and an operator who wants it, too, comes next.
    let ends = [
        tokio::spawn(async move { goodbye.leave(ada, at(NOW)).await.map(drop) }),
        tokio::spawn(async move { flags.flag(bob, flag, at(NOW)).await.map(drop) }),
    ];
    let wait = async || database.waiting().await == 2;
    eventually("they do not wait for the jobs", wait).await;
    let resets = [1, 2].map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.reset(number).await })
    });
    let wait = async || database.waiting().await == 4;
    eventually("the operator does not wait", wait).await;
    other.batch_execute("COMMIT").await.unwrap();
    for done in ends.into_iter().chain(resets) {
        done.await.unwrap().unwrap();
    }
    recount::check_postgres(&database.address).await;
    assert_eq!(database.deadlocks().await, 0);
}

#[tokio::test]
async fn batches_of_two_trackers_do_not_wait_in_a_circle() {
    let (database, a, b) = two(4).await;
    let (ada, bob) = (join(&*a, "ada").await, join(&*b, "bob").await);
    for (store, worker) in [(&a, ada), (&b, bob)] {
        store.beat(worker, None, at(NOW)).await.unwrap();
        store.claim(worker, CLAIM, at(NOW)).await.unwrap();
    }
    a.beat(bob, None, at(NOW)).await.unwrap();
    b.beat(ada, None, at(NOW)).await.unwrap();
    let held = Held::all(&database, &[&a, &b]).await;
    // Each has one worker in its hands and needs the other one next.
    let mut completed = [
        a.complete(bob, one_pair(), at(NOW)),
        b.complete(ada, one_pair(), at(NOW)),
    ];
    let mut claimed = [a.claim(ada, CLAIM, at(NOW)), b.claim(bob, CLAIM, at(NOW))];
    for (complete, claim) in completed.iter_mut().zip(&mut claimed) {
        assert!(poll!(complete).is_pending() && poll!(claim).is_pending());
    }
    let other = database.client().await;
    let hold = "BEGIN; SELECT 1 FROM jobs FOR UPDATE";
    other.batch_execute(hold).await.unwrap();
    held.let_go().await;
    let wait = async || database.waiting().await == 2;
    eventually("they do not wait", wait).await;
    other.batch_execute("COMMIT").await.unwrap();
    for complete in completed {
        complete.await.unwrap();
    }
    for claim in claimed {
        claim.await.unwrap();
    }
    recount::check_postgres(&database.address).await;
    assert_eq!(database.deadlocks().await, 0);
}
