//! A project that moves from one kind of store to the other.

use cah_tracker::store::{self, Rows, Store};
use tokio::sync::mpsc;

use super::{
    cluster::Database,
    replicas::{CLAIM, NOW, add_chunks, at, join, one_pair},
};
use crate::recount;

async fn dump(store: &dyn Store) -> Vec<Rows> {
    let (send, mut rows) = mpsc::channel(1_000);
    store.dump(send).await.unwrap();
    let mut all = Vec::new();
    while let Some(batch) = rows.recv().await {
        all.push(batch);
    }
    all
}

async fn load(store: &dyn Store, archive: Vec<Rows>) {
    let (send, rows) = mpsc::channel(1_000);
    for batch in archive {
        send.send(Ok(batch)).await.unwrap();
    }
    drop(send);
    store.load(rows, false, 0).await.unwrap();
}

/// How many jobs the server thinks there are, when it makes plans.
async fn planned_jobs(database: &Database) -> i64 {
    let thought = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'jobs'::regclass";
    let client = database.client().await;
    client.query_one(thought, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_server_plans_for_what_was_imported() {
    let database = Database::new().await;
    let store = store::open(&database.address).await.unwrap();
    add_chunks(&*store, 600).await;
    assert_eq!(planned_jobs(&database).await, 1_200);
    add_chunks(&*store, 2_000).await;
    assert_eq!(planned_jobs(&database).await, 4_000);
}

#[tokio::test]
async fn a_project_moves_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    let before = store::open(&file("before.db")).await.unwrap();
    add_chunks(&*before, 700).await;
    let (ada, bob) = (join(&*before, "ada").await, join(&*before, "bob").await);
    before.claim(ada, CLAIM, at(NOW)).await.unwrap();
    before.complete(ada, one_pair(), at(NOW)).await.unwrap();
    before.claim(bob, CLAIM, at(NOW)).await.unwrap();
    before.flush(NOW).await.unwrap();

    let database = Database::new().await;
    let shared = store::open(&database.address).await.unwrap();
    load(&*shared, dump(&*before).await).await;
    recount::check_postgres(&database.address).await;
    assert_eq!(planned_jobs(&database).await, 1_400);
    assert_eq!(
        shared.counts().await.unwrap(),
        before.counts().await.unwrap()
    );
    // Whoever was connected goes on, and new ones come after them.
    shared.complete(bob, one_pair(), at(NOW)).await.unwrap();
    let eve = join(&*shared, "eve").await;
    assert_eq!(shared.claim(eve, CLAIM, at(NOW)).await.unwrap().number, 3);

    let after = store::open(&file("after.db")).await.unwrap();
    load(&*after, dump(&*shared).await).await;
    recount::check(&dir.path().join("after.db"));
    assert_eq!(
        after.counts().await.unwrap(),
        shared.counts().await.unwrap()
    );
    assert_eq!(
        after.records(0, 9_999).await.unwrap(),
        shared.records(0, 9_999).await.unwrap()
    );
    after.complete(eve, one_pair(), at(NOW)).await.unwrap();
}
