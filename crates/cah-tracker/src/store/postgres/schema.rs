//! Opening the database: what the server must be like, and migrations.

use tokio_postgres::Error;

use super::{connection::Connection, connector::plain};
use crate::store::TABLES;

/// Every migration there has been, in order. A released one is never changed: a new one is
/// appended, and a store is brought forward when it is opened.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_tracker.sql"),
    include_str!("../../../migrations/postgres/0002_history_and_exclusions.sql"),
    include_str!("../../../migrations/postgres/0003_upkeep.sql"),
    include_str!("../../../migrations/postgres/0004_places_and_indexes.sql"),
    include_str!("../../../migrations/postgres/0005_staging.sql"),
];

/// The version of a store on which all of them have run.
const LATEST: i64 = MIGRATIONS.len() as i64;

/// The oldest version of PostgreSQL that is known to do.
const OLDEST: i32 = 14;

/// Keeps trackers that start at the same time from migrating at the same time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('cah-tracker schema', 0))";

/// What says which migrations have run.
const KNOWN: &str = "SELECT to_regclass('cah_schema') IS NOT NULL";

/// Whether the database has a tracker's tables.
pub(super) async fn is_there(db: &Connection) -> Result<bool, String> {
    ask(db, KNOWN).await
}

/// Checks the server and brings the database forward. The error says in plain words what is wrong.
pub(super) async fn open(db: &Connection) -> Result<(), String> {
    check_version(db).await?;
    check_durability(db).await?;
    migrate(db).await
}

async fn check_version(db: &Connection) -> Result<(), String> {
    let version: i32 = ask(db, "SELECT current_setting('server_version_num')::int").await?;
    let version = version / 10_000;
    match version >= OLDEST {
        true => Ok(()),
        false => Err(format!(
            "the server is PostgreSQL {version}; use version {OLDEST} or newer"
        )),
    }
}

/// What is acknowledged must be on the server's disk.
async fn check_durability(db: &Connection) -> Result<(), String> {
    let fsync: String = ask(db, "SELECT current_setting('fsync')").await?;
    if fsync != "on" {
        return Err(
            "the server does not write to its disk what it acknowledges (fsync is off); set \
             fsync = on in postgresql.conf"
                .into(),
        );
    }
    let commit: String = ask(db, "SELECT current_setting('synchronous_commit')").await?;
    match commit.as_str() {
        "off" => Err(
            "the server acknowledges what is not on its disk yet, and does not let that be \
             changed (synchronous_commit is off)"
                .into(),
        ),
        _ => Ok(()),
    }
}

async fn migrate(db: &Connection) -> Result<(), String> {
    let migrated = match run(db, "BEGIN").await {
        Ok(()) => bring_forward(db).await,
        Err(error) => Err(error),
    };
    match migrated {
        Ok(()) => run(db, "COMMIT").await,
        Err(reason) => {
            // Undone in any case: the connection is given up.
            let _ = run(db, "ROLLBACK").await;
            Err(reason)
        }
    }
}

async fn bring_forward(db: &Connection) -> Result<(), String> {
    run(db, LOCK).await?;
    let schema: Option<String> = ask(db, "SELECT current_schema()::text").await?;
    if schema.is_none() {
        return Err(
            "its search path names no schema that exists; create the schema, or name another one"
                .into(),
        );
    }
    let known: bool = ask(db, KNOWN).await?;
    let version: i64 = match known {
        true => ask(db, "SELECT coalesce(max(version), 0) FROM cah_schema").await?,
        false => 0,
    };
    if version > LATEST {
        return Err(format!(
            "it was written by a newer version of the tracker (schema {version}, this one knows \
             {LATEST}); use that version"
        ));
    }
    if version == 0 {
        refuse_foreign_tables(db).await?;
    }
    let done = usize::try_from(version).unwrap_or_default();
    if done < MIGRATIONS.len() {
        apply(db, done).await?;
        tracing::info!(from = done, to = LATEST, "migrated the store");
    }
    Ok(())
}

/// Refuses databases in which another program has tables of these names.
async fn refuse_foreign_tables(db: &Connection) -> Result<(), String> {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let taken = db
        .client()
        .query(
            "SELECT tablename::text FROM pg_tables
             WHERE schemaname = current_schema() AND tablename = ANY ($1::text[]) ORDER BY 1",
            &[&names],
        )
        .await
        .map_err(|error| plain(&error))?;
    let taken: Vec<&str> = taken.iter().map(|row| row.get(0)).collect();
    match taken.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "another program has tables there with the names that the tracker needs ({}); name \
             another database",
            taken.join(", ")
        )),
    }
}

/// Applies the migrations after the first `done`.
async fn apply(db: &Connection, done: usize) -> Result<(), String> {
    run(
        db,
        "CREATE TABLE IF NOT EXISTS cah_schema (version bigint NOT NULL)",
    )
    .await?;
    for migration in &MIGRATIONS[done..] {
        run(db, migration).await?;
    }
    run(db, "DELETE FROM cah_schema").await?;
    run(db, &format!("INSERT INTO cah_schema VALUES ({LATEST})")).await
}

async fn run(db: &Connection, sql: &str) -> Result<(), String> {
    let done: Result<(), Error> = db.client().batch_execute(sql).await;
    done.map_err(|error| plain(&error))
}

async fn ask<T>(db: &Connection, sql: &str) -> Result<T, String>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let row = db.client().query_one(sql, &[]).await;
    let row = row.map_err(|error| plain(&error))?;
    row.try_get(0).map_err(|error| plain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_migrations_are_never_changed() {
        let digests = crate::store::digests(MIGRATIONS);
        insta::assert_debug_snapshot!(digests);
    }

    #[test]
    fn each_table_of_the_archive_is_in_the_schema() {
        let schema = MIGRATIONS.concat();
        for table in TABLES {
            assert!(schema.contains(&format!("CREATE TABLE {} (", table.name)));
        }
    }
}
