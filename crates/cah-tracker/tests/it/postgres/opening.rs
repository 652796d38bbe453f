//! What is said about databases that cannot be opened.

use std::net::{Ipv4Addr, TcpListener};

use cah_tracker::store;
use futures::future::join_all;

use super::{
    cluster::{self, Database, PASSWORD, PASSWORD_IN_URL, Server},
    replicas::{NOW, at, eventually, newcomer},
};
use crate::recount;

/// Why it cannot be opened; without the password.
async fn refusal(address: &str) -> String {
    let error = store::open(address).await.err().expect("it must not open");
    let text = error.to_string();
    for secret in [PASSWORD, PASSWORD_IN_URL] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said_plainly() {
    let port = cluster::port();
    let at = |rest: &str| format!("postgres://tracker:{PASSWORD_IN_URL}@{rest}");
    let user = format!("postgres://tracker:wrong@127.0.0.1:{port}/postgres");
    assert!(refusal(&user).await.contains("see user and password"));
    let missing = refusal(&at(&format!("127.0.0.1:{port}/nowhere"))).await;
    assert!(
        missing.contains("nowhere") && missing.contains("createdb"),
        "{missing}"
    );
    let dead = refusal(&at("127.0.0.1:1/postgres")).await;
    assert!(dead.contains("127.0.0.1:1/postgres"), "{dead}");
    assert!(dead.contains("cannot be reached"), "{dead}");
    let host = refusal(&at("no-such-host.invalid/postgres")).await;
    assert!(host.contains("cannot be reached"), "{host}");
    let encrypted = refusal(&at(&format!("127.0.0.1:{port}/postgres?sslmode=require"))).await;
    assert!(encrypted.contains("sslmode=disable"), "{encrypted}");
    for unreadable in [
        format!("postgres://tracker:{PASSWORD}@127.0.0.1:x/postgres"),
        at("127.0.0.1/postgres?no-such-setting=1"),
    ] {
        let refused = refusal(&unreadable).await;
        assert!(refused.contains("cannot be read"), "{refused}");
    }
    let other = refusal(&format!("mysql://tracker:{PASSWORD}@host/")).await;
    assert!(
        other.contains("mysql:…") && other.contains("postgres://"),
        "{other}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    // It takes connections, as a machine does whose programs are stuck.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mute = format!("127.0.0.1:{}", mute.local_addr().unwrap().port());
    let database = Database::new().await;
    let server = format!("127.0.0.1:{}", cluster::port());
    let at = |servers: &str| {
        let address = database.address.replace(&server, servers);
        format!("{address}?connect_timeout=1")
    };
    let refused = refusal(&at(&mute)).await;
    assert!(refused.contains("did not answer in time"), "{refused}");
    // Whoever comes after it in the address is asked.
    let store = store::open(&at(&format!("{mute},{server}"))).await;
    store.unwrap().counts().await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_passed_over() {
    let database = Database::new().await;
    store::open(&database.address).await.unwrap().close().await;
    let demoted = Server::start();
    let admin = cluster::connect(&demoted.address()).await;
    let run = async |sql: &str| admin.batch_execute(sql).await.unwrap();
    run(&format!("CREATE DATABASE {}", database.name)).await;
    let port = |port: u16| format!("127.0.0.1:{port}");
    let (first, second) = (port(demoted.port()), port(cluster::port()));
    let both = database
        .address
        .replace(&second, &format!("{first},{second}"));
    let store = store::open(&both).await.unwrap();
    store.ping().await.unwrap();

    // As after a failover: its sessions go on, and whatever they write is refused.
    run("ALTER SYSTEM SET default_transaction_read_only = on").await;
    run("SELECT pg_reload_conf()").await;
    let client = database.client().await;
    let mut names = 0..;
    eventually("it does not go on with the other server", async || {
        let name = format!("worker-{}", names.next().unwrap());
        let _ = store.register(newcomer(&name), at(NOW)).await;
        let there = client.query("SELECT 1 FROM workers", &[]).await;
        !there.unwrap().is_empty()
    })
    .await;
    let refused = refusal(&database.address.replace(&second, &first)).await;
    assert!(refused.contains("takes no writes"), "{refused}");
    assert!(refused.contains("standby"), "{refused}");
}

#[tokio::test]
async fn a_server_that_forgets_is_refused() {
    let (address, _guard) = cluster::careless();
    let refused = refusal(&address).await;
    assert!(refused.contains("fsync = on"), "{refused}");
}

#[tokio::test]
async fn a_database_that_asks_for_less_gets_what_is_needed() {
    let database = Database::new().await;
    let careless = format!(
        "ALTER DATABASE {} SET synchronous_commit = off",
        database.name
    );
    database
        .client()
        .await
        .batch_execute(&careless)
        .await
        .unwrap();
    store::open(&database.address).await.unwrap();
}

#[tokio::test]
async fn databases_of_others_are_left_alone() {
    let database = Database::new().await;
    let client = database.client().await;
    client
        .batch_execute("CREATE TABLE jobs (x int)")
        .await
        .unwrap();
    let refused = refusal(&database.address).await;
    assert!(
        refused.contains("another program") && refused.contains("(jobs)"),
        "{refused}"
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = client.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(tables, 1);
    // Beside it, in a schema of its own, there is room.
    store::open(&database.schema("tracker").await)
        .await
        .unwrap();
    let nowhere = format!("{}?options=-c%20search_path%3Dnowhere", database.address);
    assert!(refusal(&nowhere).await.contains("search path"));
}

/// The seed of the embedded store, as the first schema here has it.
fn seed() -> String {
    let token = "decode(repeat('00', 32), 'hex')";
    let seed = include_str!("../../seed.sql").replace("zeroblob(32)", token);
    format!(
        "ALTER TABLE workers ALTER COLUMN role SET DEFAULT 'HYBRID'; {seed}
         UPDATE project SET kind = 'shards'; UPDATE jobs SET setbacks = failures;"
    )
}

#[tokio::test]
async fn every_migration_runs_over_what_the_one_before_left() {
    let migrations = [
        include_str!("../../../migrations/postgres/0001_tracker.sql"),
        include_str!("../../../migrations/postgres/0002_history_and_exclusions.sql"),
    ];
    for done in 1..=migrations.len() {
        let database = Database::new().await;
        let client = database.client().await;
        let run = async |sql: &str| client.batch_execute(sql).await.unwrap();
        run("CREATE TABLE cah_schema (version bigint NOT NULL)").await;
        for (i, migration) in migrations[..done].iter().enumerate() {
            run(migration).await;
            if i == 0 {
                run(&seed()).await;
            }
        }
        run(&format!("INSERT INTO cah_schema VALUES ({done})")).await;

        let store = store::open(&database.address).await.unwrap();
        recount::check_postgres(&database.address).await;
        let ada = async || store.contributor("ada".into(), 9).await.unwrap();
        let day = ada().await.unwrap().days[0];
        assert_eq!((day.stage, day.jobs, day.pairs), (1, 1, 7));
        assert_eq!(day.begin, 1_600_000_000 / 86_400 * 86_400);
        // What was closed loses its day where it is taken back.
        store.reset(1).await.unwrap();
        assert_eq!(ada().await, None);
        recount::check_postgres(&database.address).await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = Database::new().await;
    store::open(&database.address).await.unwrap().close().await;
    let newer = "UPDATE cah_schema SET version = 99";
    database.client().await.batch_execute(newer).await.unwrap();
    let refused = refusal(&database.address).await;
    assert!(refused.contains("schema 99"), "{refused}");
}

#[tokio::test]
async fn a_user_without_rights_is_told() {
    let database = Database::new().await;
    let name = &database.name;
    let client = database.client().await;
    let user = format!("CREATE USER {name}_user PASSWORD 'x'");
    client.batch_execute(&user).await.unwrap();
    let mute = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    client.batch_execute(mute).await.unwrap();
    let port = cluster::port();
    let refused = refusal(&format!("postgres://{name}_user:x@127.0.0.1:{port}/{name}")).await;
    assert!(refused.contains("GRANT CREATE"), "{refused}");
}

#[tokio::test]
async fn trackers_may_start_at_the_same_time() {
    let database = Database::new().await;
    let opened = join_all((0..6).map(|_| store::open(&database.address))).await;
    for store in opened {
        assert_eq!(store.unwrap().counts().await.unwrap().stages.len(), 2);
    }
}
