//! What operators do, and results without leases.

use std::io::{Cursor, Write};

use cah_protocol::WorkerType;
use cah_tracker::{
    operation,
    store::{
        ArchiveError, Completion, HandIn, HandInBy, HandedOver, Kind, Rows, State, Store,
        StoreError, TABLES,
    },
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{FLAG, NOW, at, caller, claim, hand_over, hybrid, join, pairs};

const WAT: &str = "https://data.example.org/1.warc.wat.gz";

fn by(operator: bool) -> HandInBy {
    HandInBy {
        nickname: "eve".into(),
        operator,
    }
}

fn result(number: u64, completion: Completion) -> HandIn {
    HandIn { number, completion }
}

pub(super) async fn a_reset_job_was_never_done(store: &dyn Store) {
    let (cpu, gpu) = (
        join(store, "c", WorkerType::Cpu).await,
        join(store, "g", WorkerType::Gpu).await,
    );
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("tar"), at(NOW))
        .await
        .unwrap();
    claim(store, gpu).await.unwrap();
    store.complete(gpu, pairs(9), at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().closed, 1);

    store.reset(1).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs, counts.open_at(0)), (0, 0, 4));
    for stage in [0, 1] {
        assert_eq!(store.leaderboard(stage, 9).await.unwrap(), []);
    }
    let record = &store.records(0, 1).await.unwrap()[0];
    assert_eq!((record.state, record.stage), (State::Open, 0));
    // Nothing is thrown away, but it is handed on no longer.
    assert_eq!(record.completions.len(), 2);
    assert!(record.completions.iter().all(|done| done.revoked));
    assert_eq!(claim(store, cpu).await.unwrap().number, 1);
}

pub(super) async fn whoever_works_on_a_reset_job_loses_it(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.reset(1).await.unwrap();
    let late = store.complete(worker, pairs(9), at(NOW)).await;
    assert!(matches!(late, Err(StoreError::NoLease)));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.leased(), counts.open_at(0)), (0, 4));
}

pub(super) async fn a_banned_job_is_out_until_it_is_reset(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.complete(worker, pairs(5), at(NOW)).await.unwrap();
    for _ in 0..2 {
        store.ban(1).await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.banned, counts.closed, counts.total()), (1, 0, 3));
        assert_eq!(counts.pairs, 0);
    }
    store.ban(2).await.unwrap();
    assert_eq!(claim(store, worker).await.unwrap().number, 3);
    store.reset(1).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.banned, counts.open_at(0)), (1, 2));
    for number in [0, 5, i64::MAX as u64] {
        let none = store.ban(number).await;
        assert!(matches!(none, Err(StoreError::NoSuchJob(n)) if n == number));
    }
}

pub(super) async fn a_banner_stays_until_it_is_taken_down(store: &dyn Store) {
    assert_eq!(store.banner().await.unwrap(), "");
    for text in ["Back at noon <b>'\"%$1", ""] {
        store.set_banner(text.into()).await.unwrap();
        assert_eq!(store.banner().await.unwrap(), text);
    }
}

pub(super) async fn whole_wat_files_are_found_and_handed_in(store: &dyn Store) {
    // One half of the first file is taken: the second file is the first whole one.
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    let second = "https://data.example.org/2.warc.wat.gz";
    let whole = store.open_chunk(true).await.unwrap();
    assert_eq!(whole.as_deref(), Some(second));
    assert_eq!(store.open_shards(WAT.into()).await.unwrap().len(), 1);
    assert_eq!(store.open_shards("no such".into()).await.unwrap(), []);
    let shards = store.open_shards(second.into()).await.unwrap();
    let numbers: Vec<u64> = shards.iter().map(|shard| shard.number).collect();
    assert_eq!((numbers, shards[0].url.as_str()), (vec![3, 4], second));

    let results = || {
        let tar = |number| result(number, hand_over(&format!("tar {number}")));
        vec![tar(3), tar(4), tar(1), tar(99)]
    };
    // Shard 1 is another worker's, and there is no shard 99.
    assert_eq!(store.hand_in(results(), by(false), NOW).await.unwrap(), 2);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open_at(0), counts.open_at(1)), (1, 2));
    // Again, it stands and counts no second time.
    assert_eq!(store.hand_in(results(), by(false), NOW).await.unwrap(), 2);
    assert_eq!(store.leaderboard(0, 9).await.unwrap()[0].jobs, 2);
    // A half is better than nothing.
    assert_eq!(store.open_chunk(true).await.unwrap(), None);
    let half = store.open_chunk(false).await.unwrap();
    assert_eq!(half.as_deref(), Some(WAT));
    let gpu = join(store, "g", WorkerType::Gpu).await;
    assert_eq!(
        claim(store, gpu).await.unwrap().input.as_deref(),
        Some("tar 3")
    );
}

pub(super) async fn an_operator_closes_any_job(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    let results = vec![result(1, pairs(7)), result(2, pairs(8))];
    assert_eq!(store.hand_in(results, by(true), NOW).await.unwrap(), 2);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs, counts.leased()), (2, 15, 0));
    assert_eq!(store.leaderboard(1, 9).await.unwrap()[0].jobs, 2);
    let late = store.complete(worker, pairs(7), at(NOW)).await;
    assert!(matches!(late, Err(StoreError::NoLease)));
}

pub(super) async fn what_no_job_waits_with_is_finished(store: &dyn Store) {
    let (cpu, gpu) = (
        join(store, "c", WorkerType::Cpu).await,
        join(store, "g", WorkerType::Gpu).await,
    );
    for tar in ["tar 1", "tar 2"] {
        claim(store, cpu).await.unwrap();
        store.complete(cpu, hand_over(tar), at(NOW)).await.unwrap();
    }
    claim(store, gpu).await.unwrap();
    store.complete(gpu, pairs(1), at(NOW)).await.unwrap();
    let asked = ["tar 1", "a\0b", "tar 2", "", "never heard of"].map(str::to_owned);
    let told = store.handed_over(asked.into()).await.unwrap();
    use HandedOver::{Never, UsedUp, Waits};
    assert_eq!(told, [UsedUp, Never, Waits, Never, Never]);
    assert_eq!(store.handed_over(Vec::new()).await.unwrap(), []);
}

pub(super) async fn what_was_made_anew_is_finished(store: &dyn Store) {
    let (cpu, gpu) = (
        join(store, "c", WorkerType::Cpu).await,
        join(store, "g", WorkerType::Gpu).await,
    );
    let told = async || {
        let asked = ["bad", "good"].map(str::to_owned);
        store.handed_over(asked.into()).await.unwrap()
    };
    use HandedOver::{Never, UsedUp, Waits};
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("bad"), at(NOW))
        .await
        .unwrap();
    assert_eq!(told().await, [Waits, Never]);
    // It waits for its worker, too.
    claim(store, gpu).await.unwrap();
    assert_eq!(told().await, [Waits, Never]);
    store.flag(gpu, FLAG, at(NOW)).await.unwrap();
    assert_eq!(told().await, [UsedUp, Never]);
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("good"), at(NOW))
        .await
        .unwrap();
    assert_eq!(told().await, [UsedUp, Waits]);
}

pub(super) async fn whole_wat_files_are_drawn(store: &dyn Store) {
    let url = |chunk| format!("https://data.example.org/{chunk}.warc.wat.gz");
    store
        .add_chunks((3..=100).map(url).collect(), 0)
        .await
        .unwrap();
    for whole in [true, false] {
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..30 {
            drawn.insert(store.open_chunk(whole).await.unwrap().unwrap());
        }
        assert!(drawn.len() > 5, "{drawn:?}");
    }
    // Behind the last whole one the search begins anew.
    let worker = hybrid(store, "a").await;
    for number in [3, 4] {
        store.ban(number).await.unwrap();
    }
    for number in 5..=200 {
        if number % 2 == 0 {
            store.ban(number).await.unwrap();
        }
    }
    for _ in 0..5 {
        let whole = store.open_chunk(true).await.unwrap();
        assert_eq!(whole, Some(url(1)));
    }
    assert_eq!(claim(store, worker).await.unwrap().number, 1);
    assert_eq!(store.open_chunk(true).await.unwrap(), None);
    assert!(store.open_chunk(false).await.unwrap().is_some());
}

/// Everything that a store has.
async fn dump(store: &dyn Store) -> Vec<Rows> {
    let (send, mut rows) = mpsc::channel(1);
    let mut all = Vec::new();
    let listen = async {
        while let Some(batch) = rows.recv().await {
            all.push(batch);
        }
    };
    let (dumped, ()) = tokio::join!(store.dump(send), listen);
    dumped.unwrap();
    all
}

/// What was dumped, as text; workers last seen differ by nothing.
fn text(rows: &[Rows]) -> Vec<String> {
    let row = |table: usize, row: &Vec<Value>| format!("{} {}", TABLES[table].name, json!(row));
    let mut text: Vec<String> = rows
        .iter()
        .flat_map(|batch| batch.rows.iter().map(|r| row(batch.table, r)))
        .collect();
    text.sort();
    text
}

async fn load(
    store: &dyn Store,
    rows: Vec<Result<Rows, ArchiveError>>,
    replace: bool,
) -> Result<(), StoreError> {
    let (send, receive) = mpsc::channel(rows.len().max(1));
    for batch in rows {
        send.send(batch).await.unwrap();
    }
    drop(send);
    store.load(receive, replace, 0).await
}

pub(super) async fn an_archive_brings_everything_back(store: &dyn Store) {
    let (a, b) = (hybrid(store, "a").await, hybrid(store, "b").await);
    claim(store, a).await.unwrap();
    store.complete(a, pairs(5), at(NOW)).await.unwrap();
    claim(store, b).await.unwrap();
    store.record_point(NOW).await.unwrap();
    store.set_banner("é 'quoted'".into()).await.unwrap();
    store.flush(NOW).await.unwrap();
    let kept = dump(store).await;
    let before = (text(&kept), store.counts().await.unwrap());

    // Time goes on.
    store.complete(b, pairs(7), at(NOW)).await.unwrap();
    store.leave(a, at(NOW)).await.unwrap();
    hybrid(store, "c").await;
    store.set_banner(String::new()).await.unwrap();

    let rows: Vec<_> = kept.into_iter().map(Ok).collect();
    let refused = load(store, rows, false).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(store.counts().await.unwrap().closed, 2);

    let kept = dump(store).await;
    let later = (text(&kept), store.counts().await.unwrap());
    assert_ne!(before, later);
    load(store, kept.into_iter().map(Ok).collect(), true)
        .await
        .unwrap();
    assert_eq!(
        (text(&dump(store).await), store.counts().await.unwrap()),
        later
    );
    // Numbers that the store draws go on behind those that came.
    hybrid(store, "d").await;
    let worker = hybrid(store, "e").await;
    claim(store, worker).await.unwrap();
    store.complete(worker, pairs(1), at(NOW)).await.unwrap();
}

pub(super) async fn an_archive_brings_its_workers_back(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.flush(NOW).await.unwrap();
    let kept = dump(store).await;
    store.leave(worker, at(NOW)).await.unwrap();
    load(store, kept.into_iter().map(Ok).collect(), true)
        .await
        .unwrap();
    assert_eq!(store.counts().await.unwrap().workers, 1);
    store.complete(worker, pairs(5), at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().closed, 1);
}

pub(super) async fn restored_workers_have_time_to_call(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.flush(NOW).await.unwrap();
    let kept = dump(store).await;
    let later = NOW + 10 * super::IDLE;
    let (send, rows) = mpsc::channel(kept.len());
    for batch in kept {
        send.send(Ok(batch)).await.unwrap();
    }
    drop(send);
    store.load(rows, true, later + 5).await.unwrap();
    assert_eq!(store.reap(later, 9).await.unwrap().workers, 0);
    let done = store.complete(worker, pairs(5), at(later)).await;
    done.unwrap();
}

pub(super) async fn counters_that_lie_are_found_out(store: &dyn Store) {
    let (a, b) = (hybrid(store, "a").await, hybrid(store, "b").await);
    claim(store, a).await.unwrap();
    store.complete(a, pairs(5), at(NOW)).await.unwrap();
    claim(store, b).await.unwrap();
    store.flush(NOW).await.unwrap();
    let before = text(&dump(store).await);
    let lies = [
        ("totals", "jobs"),
        ("totals", "closed"),
        ("totals", "banned"),
        ("totals", "parked"),
        ("totals", "pairs"),
        ("stages", "open"),
        ("stages", "leased"),
        ("boards", "jobs"),
        ("boards", "closed"),
        ("boards", "pairs"),
        ("completions", "pairs"),
        ("leases", "attempt"),
        ("leases", "worker"),
        ("workers", "first_stage"),
        ("chunks", "chunk"),
        ("days", "jobs"),
        ("days", "pairs"),
    ];
    for (table, column) in lies {
        let index = TABLES.iter().position(|known| known.name == table).unwrap();
        let column_at = TABLES[index]
            .columns
            .iter()
            .position(|c| *c == column)
            .unwrap();
        let mut kept = dump(store).await;
        let batch = kept
            .iter_mut()
            .find(|b| b.table == index && !b.rows.is_empty());
        // The last row: that of b, who holds a job.
        let row = batch.unwrap().rows.last_mut().unwrap();
        row[column_at] = (row[column_at].as_i64().unwrap() + 1).into();
        let refused = load(store, kept.into_iter().map(Ok).collect(), true).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict(_))),
            "{table}.{column}: {refused:?}"
        );
    }
    assert_eq!(text(&dump(store).await), before);
}

/// Whatever a job is about must be there, and nothing else.
pub(super) async fn jobs_without_a_task_are_found_out(store: &dyn Store) {
    let at = |name: &str| TABLES.iter().position(|table| table.name == name).unwrap();
    let refuse = async |rows: Vec<Rows>| {
        let refused = load(store, rows.into_iter().map(Ok).collect(), true).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict(_))),
            "{refused:?}"
        );
    };
    let edited = async |table: usize, edit: &dyn Fn(&mut Vec<Vec<Value>>)| {
        let mut kept = dump(store).await;
        let batch = kept.iter_mut().find(|batch| batch.table == table);
        edit(&mut batch.unwrap().rows);
        kept
    };
    let payload = |number: u64| vec![json!(number), json!(format!("job {number}")), json!(7)];
    refuse(edited(at("chunks"), &|rows| drop(rows.pop())).await).await;
    refuse(
        edited(at("chunks"), &|rows| {
            rows.push(vec![3.into(), "x".into(), 7.into()])
        })
        .await,
    )
    .await;
    refuse(edited(at("payloads"), &|rows| rows.push(payload(1))).await).await;
    refuse(edited(at("project"), &|rows| rows[0][1] = "data".into()).await).await;

    // The same project, of data.
    let mut data = edited(at("project"), &|rows| rows[0][1] = "data".into()).await;
    for batch in &mut data {
        match TABLES[batch.table].name {
            "chunks" => batch.rows.clear(),
            "payloads" => batch.rows = (1..=4).map(payload).collect(),
            _ => {}
        }
    }
    load(store, data.into_iter().map(Ok).collect(), true)
        .await
        .unwrap();
    refuse(edited(at("payloads"), &|rows| drop(rows.pop())).await).await;
    refuse(edited(at("project"), &|rows| rows[0][1] = Value::Null).await).await;
    assert_eq!(store.counts().await.unwrap().kind, Some(Kind::Data));
}

/// A backup as the first version wrote it: of one WAT file, whose first job is closed and whose
/// second one ada works on.
fn first_version() -> String {
    // The hash of the token `ada`.
    let token = "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029";
    format!(
        r#"{{"archive":"cah-tracker","version":1}}
{{"table":"project","columns":["id","kind","banner"]}}
[1,"shards","Hello"]
{{"table":"stages","columns":["stage","name","open","leased"]}}
[0,"CPU",0,1]
[1,"GPU",0,0]
{{"table":"totals","columns":["id","jobs","closed","banned","parked","pairs"]}}
[1,2,1,0,0,7]
{{"table":"chunks","columns":["chunk","url","url_key"]}}
[1,"https://data.example.org/old.warc.wat.gz",42]
{{"table":"jobs","columns":["number","state","stage","priority","failures","attempts","setbacks"]}}
[1,2,1,0,0,1,0]
[2,1,0,0,0,1,0]
{{"table":"payloads","columns":["number","data","data_key"]}}
{{"table":"failures","columns":["number","attempt","message","at"]}}
{{"table":"workers","columns":["id","token_hash","display_name","nickname","first_stage","last_stage","progress","jobs_completed","first_seen","last_seen","deadline","settled","settled_as","role"]}}
[1,"{token}","calm-otter-101","ada",0,1,"Fetching",1,999000,999900,1000050,null,null,"HYBRID"]
{{"table":"leases","columns":["number","worker","attempt","since"]}}
[2,1,1,999900]
{{"table":"contributors","columns":["id","nickname"]}}
[1,"ada"]
{{"table":"boards","columns":["stage","contributor","jobs","closed","pairs"]}}
[1,1,1,1,7]
{{"table":"completions","columns":["number","stage","attempt","contributor","pairs","output","at","revoked","output_key"]}}
[1,1,1,1,7,null,999500,0,null]
[1,0,1,1,3,"x",999400,1,null]
{{"table":"flags","columns":["number","stage","worker","at"]}}
{{"table":"series","columns":["at","closed","pairs"]}}
[999000,1,7]
{{"rows":14}}
"#
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

pub(super) async fn a_backup_of_the_first_version_is_read(store: &dyn Store) {
    let restore = async |backup: Vec<u8>| {
        operation::check_backup(Cursor::new(backup.clone())).await?;
        operation::restore(store, Cursor::new(backup), true, 0).await
    };
    restore(gzip(&first_version())).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.jobs, counts.closed, counts.leased()), (2, 1, 1));
    assert_eq!(store.banner().await.unwrap(), "Hello");
    // The days are made of the completions.
    let ada = async || store.contributor("ada".into(), 30).await.unwrap();
    let days = ada().await.unwrap().days;
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].jobs, days[0].pairs), (1, 7));
    let worker = caller("ada", WorkerType::Hybrid);
    store.complete(worker, pairs(5), at(NOW)).await.unwrap();
    for number in [1, 2] {
        store.reset(number).await.unwrap();
    }
    assert_eq!(ada().await, None);

    // What it does not have is not made up.
    let with = async |from: &str, to: &str| {
        let refused = restore(gzip(&first_version().replace(from, to))).await;
        refused.unwrap_err().to_string()
    };
    let second = r#""version":2"#;
    let refused = with(r#""version":1"#, second).await;
    assert!(refused.contains("a table that there is not"), "{refused}");
    let refused = with(r#""version":1"#, r#""version":3"#).await;
    assert!(
        refused.contains("format 3, this one reads 1 to 2"),
        "{refused}"
    );
    let refused = with(r#","setbacks"]"#, "]").await;
    assert!(refused.contains("a table that there is not"), "{refused}");
    let refused = with(r#","role"]"#, r#","role","pairs"]"#).await;
    assert!(refused.contains("a table that there is not"), "{refused}");
}

pub(super) async fn half_an_archive_changes_nothing(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.flush(NOW).await.unwrap();
    let before = text(&dump(store).await);
    for upto in [0, 2, 4, TABLES.len() - 1] {
        let kept = dump(store).await;
        let rows = kept.into_iter().filter(|batch| batch.table < upto);
        let mut rows: Vec<_> = rows.map(Ok).collect();
        rows.push(Err(ArchiveError("it is cut off".into())));
        let refused = load(store, rows, true).await.unwrap_err();
        assert!(refused.to_string().contains("cut off"), "{refused}");
    }
    // Without its jobs, or with a row that no store has.
    let jobs = TABLES
        .iter()
        .position(|table| table.name == "jobs")
        .unwrap();
    let leases = TABLES
        .iter()
        .position(|table| table.name == "leases")
        .unwrap();
    let kept = dump(store).await;
    let rows = kept
        .into_iter()
        .filter(|b| b.table != jobs && b.table != leases);
    let refused = load(store, rows.map(Ok).collect(), true).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let mut kept = dump(store).await;
    for batch in &mut kept {
        if batch.table == jobs {
            batch.rows[0][1] = 77.into();
        }
    }
    let refused = load(store, kept.into_iter().map(Ok).collect(), true).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    assert_eq!(text(&dump(store).await), before);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.kind, counts.leased()), (Some(Kind::Shards), 1));
    store.complete(worker, pairs(5), at(NOW)).await.unwrap();
}
