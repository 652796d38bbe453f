//! How the server finds what is asked for all the time, where there is much of it.

#[expect(dead_code, reason = "the tests over the interface use more of it")]
#[path = "../../../tests/it/postgres/cluster.rs"]
mod cluster;

use tokio_postgres::SimpleQueryMessage;

use super::{
    claims::{CLAIM_OLDEST, CLAIM_RANDOM},
    connection::Connection,
    connector::Connector,
    contributors::LEADERBOARD,
    parking, schema,
    workers::{BY_TOKEN, List},
};
use crate::store::WorkerQuery;

const MUCH: &str = "
    INSERT INTO jobs (number, state, priority, setbacks)
    SELECT n, CASE n % 100 WHEN 0 THEN 4 WHEN 1 THEN 0 ELSE 2 END, n % 3, n % 2
    FROM generate_series(1, 100000) AS n;
    INSERT INTO workers (token_hash, display_name, nickname, first_stage, last_stage, progress,
                         first_seen, last_seen, deadline, role)
    SELECT decode(lpad(to_hex(n), 64, '0'), 'hex'), n, n, 0, 1, '', 0, 0, n, 'HYBRID'
    FROM generate_series(1, 10000) AS n;
    INSERT INTO contributors (id, nickname) SELECT n, n FROM generate_series(1, 10000) AS n;
    INSERT INTO boards (stage, contributor, jobs, pairs)
    SELECT stage, n, n % 777, n FROM generate_series(1, 10000) AS n CROSS JOIN stages;
    ANALYZE";

/// How a statement is carried out, whatever its parameters are.
async fn plan(db: &Connection, sql: &str) -> String {
    let count = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
    let values = vec!["NULL"; count].join(", ");
    db.run(&format!("PREPARE asked AS {sql}")).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE asked({values})");
    let said = db.client().simple_query(&explain).await.unwrap();
    db.run("DEALLOCATE asked").await.unwrap();
    let line = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    };
    let lines: Vec<String> = said.iter().filter_map(line).collect();
    lines.join("\n")
}

#[tokio::test]
async fn what_is_asked_all_the_time_is_answered_by_an_index() {
    let database = cluster::Database::new().await;
    let connector = Connector::new(&database.address).unwrap();
    let db = connector.connect().await.unwrap();
    schema::open(&db).await.unwrap();
    db.run(MUCH).await.unwrap();
    let of_contributor = WorkerQuery {
        nickname: Some("ada".into()),
        ..WorkerQuery::default()
    };
    let List { count, some } = List::of(&of_contributor);
    for (sql, index, lookups) in [
        (count.as_str(), "workers_by_nickname on workers", 1),
        (some.as_str(), "workers_by_nickname on workers", 1),
        (CLAIM_OLDEST, "jobs_open on jobs", 1),
        (CLAIM_RANDOM, "jobs_open on jobs", 3),
        (BY_TOKEN, "workers_token_hash_key on workers", 1),
        (parking::LIST, "jobs_parked on jobs", 1),
        (LEADERBOARD, "boards_ranked on boards", 1),
    ] {
        let plan = plan(&db, sql).await;
        let index = format!("using {index}");
        assert_eq!(plan.matches(&index).count(), lookups, "{plan}");
        for table in ["jobs", "workers", "leases", "boards", "contributors"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
        }
    }
    // Only those that are shown are read.
    assert!(!plan(&db, LEADERBOARD).await.contains("Sort"));
}
