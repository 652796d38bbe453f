//! Counts every row and compares with the counters that the tracker keeps.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Each query yields what must be the same twice.
const EQUALITIES: &[(&str, &str)] = &[
    (
        "open jobs by stage",
        "SELECT (SELECT string_agg(CAST(open AS text), ' ' ORDER BY stage) FROM stages),
                (SELECT string_agg(CAST(n AS text), ' ' ORDER BY stage)
                 FROM (SELECT stages.stage, count(number) AS n FROM stages
                       LEFT JOIN jobs ON jobs.stage = stages.stage AND state = 0
                       GROUP BY stages.stage) AS counted)",
    ),
    (
        "leased jobs by stage",
        "SELECT (SELECT string_agg(CAST(leased AS text), ' ' ORDER BY stage) FROM stages),
                (SELECT string_agg(CAST(n AS text), ' ' ORDER BY stage)
                 FROM (SELECT stages.stage, count(number) AS n FROM stages
                       LEFT JOIN jobs ON jobs.stage = stages.stage AND state = 1
                       GROUP BY stages.stage) AS counted)",
    ),
    (
        "leases on leased jobs, with the attempt that the job is at",
        "SELECT (SELECT sum(leased) FROM stages),
                (SELECT count(*) FROM leases JOIN jobs USING (number)
                 WHERE state = 1 AND attempt = attempts)",
    ),
    (
        "all leases",
        "SELECT (SELECT sum(leased) FROM stages), (SELECT count(*) FROM leases)",
    ),
    (
        "jobs",
        "SELECT (SELECT jobs FROM totals), (SELECT count(*) FROM jobs)",
    ),
    (
        "two jobs a chunk, or one a payload",
        "SELECT (SELECT count(*) FROM jobs),
                (SELECT 2 * count(*) FROM chunks) + (SELECT count(*) FROM payloads)",
    ),
    (
        "closed jobs",
        "SELECT (SELECT closed FROM totals), (SELECT count(*) FROM jobs WHERE state = 2)",
    ),
    (
        "banned jobs",
        "SELECT (SELECT banned FROM totals), (SELECT count(*) FROM jobs WHERE state = 3)",
    ),
    (
        "parked jobs",
        "SELECT (SELECT parked FROM totals), (SELECT count(*) FROM jobs WHERE state = 4)",
    ),
    (
        "closed jobs by contributor",
        "SELECT (SELECT closed FROM totals), (SELECT coalesce(sum(closed), 0) FROM boards)",
    ),
    (
        "completions by contributor",
        "SELECT (SELECT coalesce(sum(jobs), 0) FROM boards), (SELECT count(*) FROM completions WHERE revoked = 0)",
    ),
    (
        "pairs by contributor",
        "SELECT (SELECT pairs FROM totals), (SELECT coalesce(sum(pairs), 0) FROM boards)",
    ),
    (
        "jobs by day",
        "SELECT (SELECT coalesce(sum(jobs), 0) FROM boards), (SELECT coalesce(sum(jobs), 0) FROM days)",
    ),
    (
        "pairs by day",
        "SELECT (SELECT coalesce(sum(pairs), 0) FROM boards), (SELECT coalesce(sum(pairs), 0) FROM days)",
    ),
    (
        "pairs by job",
        "SELECT (SELECT pairs FROM totals), (SELECT coalesce(sum(pairs), 0) FROM completions WHERE revoked = 0)",
    ),
    (
        "closed jobs whose last stage was accepted",
        "SELECT (SELECT closed FROM totals),
                (SELECT count(DISTINCT number) FROM jobs JOIN completions USING (number)
                 WHERE state = 2 AND revoked = 0)",
    ),
    (
        "closed jobs that were finished at the last stage twice",
        "SELECT 0, (SELECT count(*) FROM (SELECT number FROM completions
                    WHERE stage = (SELECT max(stage) FROM stages) AND revoked = 0
                    GROUP BY number HAVING count(*) > 1) AS twice)",
    ),
];

/// Fails where a counter differs from the rows.
pub(crate) fn check(path: &Path) {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for (what, query) in EQUALITIES {
        let (kept, counted): (rusqlite::types::Value, rusqlite::types::Value) = db
            .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(kept, counted, "{what}");
    }
    let sound: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

/// The same for a shared store.
pub(crate) async fn check_postgres(address: &str) {
    let db = crate::postgres::cluster::connect(address).await;
    for (what, query) in EQUALITIES {
        let query = format!("SELECT a::text, b::text FROM ({query}) AS q (a, b)");
        let row = db.query_one(&query, &[]).await.unwrap();
        let (kept, counted): (Option<&str>, Option<&str>) = (row.get(0), row.get(1));
        assert_eq!(kept, counted, "{what}");
    }
}
