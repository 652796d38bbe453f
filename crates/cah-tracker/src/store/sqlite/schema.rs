//! Opening the file: lock, settings, migrations.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, functions::FunctionFlags};

/// `CAHT`: says in the file's header whose it is.
const APPLICATION_ID: i64 = 0x4341_4854;

/// Every migration there has been, in order. A released one is never changed: a new one is
/// appended, and a store is brought forward when it is opened.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_jobs_and_workers.sql"),
    include_str!("../../../migrations/sqlite/0002_stages_and_operation.sql"),
    include_str!("../../../migrations/sqlite/0003_history_and_exclusions.sql"),
    include_str!("../../../migrations/sqlite/0004_places_and_indexes.sql"),
    include_str!("../../../migrations/sqlite/0005_staging.sql"),
];

/// The version of a store on which all of them have run.
const LATEST: i64 = MIGRATIONS.len() as i64;

/// Settings of every connection. FULL: a commit is on the disk when it returns, WAL or not.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA busy_timeout = 5000;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = 8000;
";

/// Whether there is anything that could be a store; SQLite takes an empty file for a new one.
pub(super) fn is_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

/// Opens the store for writing, with the lock that keeps other processes out. The error says in
/// plain words what is wrong.
pub(super) fn open(path: &Path) -> Result<(Connection, File), String> {
    check_name(path)?;
    let lock = lock(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(|error| plain(&error))?;
    db.set_prepared_statement_cache_capacity(64);
    identify(&db)?;
    db.execute_batch(SETTINGS).map_err(|error| plain(&error))?;
    check_durability(&db)?;
    migrate(&mut db)?;
    Ok((db, lock))
}

/// Refuses SQLite's names for databases that are gone when they are closed.
fn check_name(path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(":memory:") => Err("what is kept in memory does not last; name a file".into()),
        _ => Ok(()),
    }
}

/// SQLite answers some settings with another one than was asked for, for example WAL on a file
/// system without shared memory.
fn check_durability(db: &Connection) -> Result<(), String> {
    let mode: String = db
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .map_err(|error| plain(&error))?;
    let full = pragma(db, "synchronous")? == 2;
    match mode == "wal" && full {
        true => Ok(()),
        false => Err(format!(
            "it cannot be made durable there (journal mode `{mode}`); keep it on a local disk"
        )),
    }
}

/// Opens one more connection to a store that is open, for reading only.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000;")?;
    add_functions(&db)?;
    Ok(db)
}

/// Adds what queries use beyond SQLite's own functions.
fn add_functions(db: &Connection) -> rusqlite::Result<()> {
    // SQLite's own knows the letters of English only.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("lower_case", 1, flags, |context| {
        Ok(context.get_raw(0).as_str()?.to_lowercase())
    })
}

/// Takes `PATH.lock`. It is a file of its own: closing any handle on the database itself would
/// drop SQLite's own locks.
fn lock(path: &Path) -> Result<File, String> {
    let mut name = OsString::from(path.as_os_str());
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| {
            let name = name.display();
            format!(
                "{name} cannot be made ({error}); see that its folder exists and may be written"
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another process has it open, perhaps a running tracker; stop that first".into())
        }
        Err(TryLockError::Error(error)) => {
            Err(format!("{} cannot be locked: {error}", name.display()))
        }
    }
}

/// Refuses files that are not a tracker's before anything is written to them.
fn identify(db: &Connection) -> Result<(), String> {
    let id = pragma(db, "application_id")?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| plain(&error))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        Ok(())
    } else {
        Err("it is a database of another program; name another file".into())
    }
}

fn migrate(db: &mut Connection) -> Result<(), String> {
    let version = pragma(db, "user_version")?;
    let done = usize::try_from(version).unwrap_or_default();
    if done > MIGRATIONS.len() {
        return Err(format!(
            "it was written by a newer version of the tracker (schema {version}, this one knows \
             {LATEST}); use that version"
        ));
    }
    if done < MIGRATIONS.len() {
        apply(db, done).map_err(|error| plain(&error))?;
        tracing::info!(from = done, to = LATEST, "migrated the store");
    }
    Ok(())
}

/// Applies the migrations after the first `done`, all or none.
fn apply(db: &mut Connection, done: usize) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", LATEST)?;
    transaction.commit()
}

fn pragma(db: &Connection, name: &str) -> Result<i64, String> {
    db.pragma_query_value(None, name, |row| row.get(0))
        .map_err(|error| plain(&error))
}

/// SQLite's own words, with the mend where there is an obvious one.
fn plain(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is no database; name another file".into(),
        Some(ErrorCode::CannotOpen) => {
            "the file cannot be opened; see that its folder exists and may be written".into()
        }
        Some(ErrorCode::ReadOnly) => "the file may not be written".into(),
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{admin, leases, workers},
        *,
    };
    use crate::store::{State, WorkerQuery, rules};

    #[test]
    fn released_migrations_are_never_changed() {
        let digests = crate::store::digests(MIGRATIONS);
        insta::assert_debug_snapshot!(digests);
    }

    #[test]
    fn every_migration_runs_over_what_the_one_before_left() {
        for done in 0..=MIGRATIONS.len() {
            let mut db = Connection::open_in_memory().unwrap();
            db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
            for (i, migration) in MIGRATIONS[..done].iter().enumerate() {
                db.execute_batch(migration).unwrap();
                if i == 0 {
                    db.execute_batch(include_str!("../../../tests/seed.sql"))
                        .unwrap();
                }
            }
            apply(&mut db, done).unwrap();
            assert_eq!(pragma(&db, "user_version").unwrap(), LATEST);
            let broken: i64 = db
                .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
                    row.get(0)
                })
                .unwrap();
            assert_eq!(broken, 0);
            if done > 0 {
                check_seed(&db);
            }
        }
    }

    /// What the seed says, as the latest schema has it.
    fn check_seed(db: &Connection) {
        let kept: (i64, String, String, String, i64) = db
            .query_row(
                "SELECT closed, url, kind, role, setbacks
                 FROM totals, chunks, project, workers, jobs WHERE number = 2",
                [],
                |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                },
            )
            .unwrap();
        let url = "https://example.org/a.warc.wat.gz".to_owned();
        assert_eq!(kept, (1, url, "shards".into(), "HYBRID".into(), 2));
        let worker = super::super::workers::stored(db).unwrap();
        assert_eq!(worker[0].role, cah_protocol::WorkerType::Hybrid.into());
        // What was closed has its day, and loses it where it is taken back.
        let finished = |table: &str| -> (i64, i64) {
            let sums =
                format!("SELECT coalesce(sum(jobs), 0), coalesce(sum(pairs), 0) FROM {table}");
            db.query_row(&sums, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
        };
        let is_whole = || db.query_row(rules::IS_WHOLE, [], |row| row.get::<_, bool>(0));
        assert_eq!((finished("days"), finished("boards")), ((1, 7), (1, 7)));
        assert_eq!(is_whole(), Ok(true));
        admin::renew(db, 1, State::Open).unwrap();
        assert_eq!((finished("days"), finished("boards")), ((0, 0), (0, 0)));
        assert_eq!(is_whole(), Ok(true));
    }

    #[test]
    fn every_commit_is_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _lock) = open(&dir.path().join("t.db")).unwrap();
        assert_eq!(pragma(&db, "synchronous").unwrap(), 2);
        db.execute_batch("PRAGMA synchronous = NORMAL").unwrap();
        assert!(check_durability(&db).unwrap_err().contains("durable"));
        db.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")
            .unwrap();
        assert!(check_durability(&db).unwrap_err().contains("delete"));
    }

    #[test]
    fn names_that_do_not_last_are_files_or_refused() {
        let refused = open(Path::new(":memory:")).unwrap_err();
        assert!(refused.contains("memory"), "{refused}");
        let dir = tempfile::tempdir().unwrap();
        let refused = open(&dir.path().join("no/such/folder/t.db")).unwrap_err();
        assert!(refused.contains("its folder exists"), "{refused}");
        // A URI is a file's name like any other.
        let (db, _lock) = open(&dir.path().join("file:t?mode=memory")).unwrap();
        assert!(
            db.path()
                .is_some_and(|path| path.ends_with("file:t?mode=memory"))
        );
    }

    /// How a query is answered on an empty store.
    fn plan(sql: &str) -> Vec<String> {
        let mut db = Connection::open_in_memory().unwrap();
        apply(&mut db, 0).unwrap();
        add_functions(&db).unwrap();
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let places = vec![0; explain.parameter_count()];
        explain
            .query_map(rusqlite::params_from_iter(places), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn the_workers_of_a_contributor_are_found_by_an_index() {
        let of = WorkerQuery {
            nickname: Some("ada".into()),
            ..WorkerQuery::default()
        };
        for sql in workers::list_sql(&of) {
            let plan = plan(&sql).join("\n");
            let index = "workers_by_nickname (nickname=?)";
            assert!(plan.contains(index) && !plan.contains("SCAN"), "{plan}");
        }
    }

    /// The plans of the queries that run with every claim, whatever the number of jobs.
    #[test]
    fn claims_are_answered_by_the_index_of_open_jobs() {
        let index = "SEARCH jobs USING COVERING INDEX jobs_open";
        assert_eq!(plan(leases::FIRST_OPEN), [format!("{index} (stage=?)")]);
        assert_eq!(
            plan(leases::OPEN_FROM),
            [format!(
                "{index} (stage=? AND priority=? AND setbacks=? AND number>?)"
            )]
        );
    }
}
