//! Projects of any stages and any jobs.

use std::collections::BTreeSet;

use cah_protocol::WorkerType;
use cah_tracker::store::{
    Accepted, Added, Claim, Completion, Failure, Flag, Kind, Order, Role, Store, StoreError, Task,
    Telling,
};

use super::{CLAIM, MAX_FAILURES, NOW, at, claim, join, newcomer, pairs};

/// Makes the store a project of three stages and so many jobs. The store has two WAT files, which
/// are replaced.
async fn project(store: &dyn Store, jobs: usize) {
    clear(store).await;
    let names = ["fetch", "embed", "sort"].map(str::to_owned);
    store.init(names.into()).await.unwrap();
    let texts = (0..jobs).map(|i| format!("job {i}")).collect();
    store.add_payloads(texts, 0).await.unwrap();
}

/// Leaves nothing in the store.
async fn clear(store: &dyn Store) {
    use cah_tracker::store::{Rows, TABLES};
    let row = |name: &str| match name {
        "project" => Some(vec![1.into(), serde_json::Value::Null, "".into()]),
        "stages" => Some(vec![0.into(), "a".into(), 0.into(), 0.into()]),
        "totals" => Some(vec![
            1.into(),
            0.into(),
            0.into(),
            0.into(),
            0.into(),
            0.into(),
        ]),
        _ => None,
    };
    let (send, rows) = tokio::sync::mpsc::channel(TABLES.len());
    for (table, description) in TABLES.iter().enumerate() {
        let rows = row(description.name).into_iter().collect();
        send.send(Ok(Rows { table, rows })).await.unwrap();
    }
    drop(send);
    store.load(rows, true, 0).await.unwrap();
}

fn data(text: &str) -> Completion {
    Completion {
        output: Some(text.into()),
        ..Completion::default()
    }
}

pub(super) async fn each_stage_gets_what_the_one_before_made(store: &dyn Store) {
    project(store, 1).await;
    assert_eq!(store.counts().await.unwrap().kind, Some(Kind::Data));
    for (stage, input, output) in [
        (0, None, "fetched"),
        (1, Some("fetched"), "embedded"),
        (2, Some("embedded"), "sorted"),
    ] {
        let name = format!("w{stage}");
        let worker = join(store, &name, Role::Stage(stage)).await;
        let claimed = claim(store, worker).await.unwrap();
        assert_eq!(claimed.role, Role::Stage(stage));
        assert_eq!(claimed.task, Task::Data("job 0".into()));
        assert_eq!(claimed.input.as_deref(), input);
        store.complete(worker, data(output), at(NOW)).await.unwrap();
        assert_eq!(store.leaderboard(stage, 9).await.unwrap()[0].jobs, 1);
    }
    assert_eq!(store.counts().await.unwrap().closed, 1);
    let record = &store.records(0, 9).await.unwrap()[0];
    let outputs: Vec<_> = record
        .completions
        .iter()
        .map(|done| (done.stage, done.output.as_deref().unwrap()))
        .collect();
    assert_eq!(outputs, [(0, "fetched"), (1, "embedded"), (2, "sorted")]);
}

pub(super) async fn crawlers_take_a_job_through_their_stages(store: &dyn Store) {
    clear(store).await;
    let names = ["a", "b", "c"].map(str::to_owned);
    store.init(names.into()).await.unwrap();
    let url = "https://data.example.org/1.warc.wat.gz".to_owned();
    store.add_chunks(vec![url], 0).await.unwrap();
    let hybrid = join(store, "h", WorkerType::Hybrid).await;
    claim(store, hybrid).await.unwrap();
    store.complete(hybrid, pairs(3), at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().closed, 1);

    let cpu = join(store, "c", WorkerType::Cpu).await;
    claim(store, cpu).await.unwrap();
    store.complete(cpu, data("tar"), at(NOW)).await.unwrap();
    let gpu = join(store, "g", WorkerType::Gpu).await;
    assert_eq!(
        claim(store, gpu).await.unwrap().input.as_deref(),
        Some("tar")
    );
    store.complete(gpu, pairs(4), at(NOW)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs), (2, 7));
}

pub(super) async fn a_stage_that_is_not_there_takes_no_worker(store: &dyn Store) {
    for (name, role, there) in [
        ("a", Role::Stage(1), true),
        ("b", Role::Stage(2), false),
        ("c", Role::Stage(25), false),
    ] {
        let worker = newcomer(super::caller(name, role), name);
        let registered = store.register(worker, at(NOW)).await;
        assert_eq!(registered.is_ok(), there, "{role:?}");
    }
}

pub(super) async fn stages_are_named_before_there_is_work(store: &dyn Store) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    // The same names are no change.
    store.init(names(&["CPU", "GPU"])).await.unwrap();
    let refused = store.init(names(&["a"])).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    project(store, 0).await;
    store.init(names(&["one"])).await.unwrap();
    let counts = store.counts().await.unwrap();
    // No jobs are of no kind.
    store.add_chunks(Vec::new(), 0).await.unwrap();
    assert_eq!(counts.kind, None);
    assert_eq!(counts.stages.len(), 1);
    assert_eq!(counts.stages[0].name, "one");
}

pub(super) async fn payloads_are_added_once_and_numbered_on(store: &dyn Store) {
    project(store, 2).await;
    let texts = ["job 1", "new", "new", ""].map(str::to_owned);
    let added = store.add_payloads(texts.into(), 0).await.unwrap();
    assert_eq!(added, Added { added: 2, known: 2 });
    let records = store.records(1, 2).await.unwrap();
    let tasks: Vec<_> = records.iter().map(|job| (job.number, &job.task)).collect();
    let (one, two) = (Task::Data("job 1".into()), Task::Data("new".into()));
    assert_eq!(tasks, [(2, &one), (3, &two)]);
    let url = vec!["https://data.example.org/1.wat".to_owned()];
    let mixed = store.add_chunks(url, 0).await;
    assert!(matches!(mixed, Err(StoreError::Conflict(_))));
    assert_eq!(store.counts().await.unwrap().jobs, 4);
}

pub(super) async fn shards_and_payloads_do_not_mix(store: &dyn Store) {
    let mixed = store.add_payloads(vec!["x".into()], 0).await;
    assert!(matches!(mixed, Err(StoreError::Conflict(_))));
    assert_eq!(store.counts().await.unwrap().jobs, 4);
}

pub(super) async fn a_higher_priority_comes_first(store: &dyn Store) {
    project(store, 1).await;
    for (text, priority) in [("low", -1), ("high", 7)] {
        store
            .add_payloads(vec![text.into()], priority)
            .await
            .unwrap();
    }
    for (name, number) in [("a", 3), ("b", 1), ("c", 2)] {
        let worker = join(store, name, Role::Stage(0)).await;
        assert_eq!(claim(store, worker).await.unwrap().number, number);
    }
}

pub(super) async fn random_claims_find_every_job_once(store: &dyn Store) {
    project(store, 200).await;
    let worker = join(store, "a", Role::Stage(0)).await;
    let random = Claim {
        order: Order::Random,
        ..CLAIM
    };
    let mut numbers = Vec::new();
    for _ in 0..200 {
        let claimed = store.claim(worker, random, at(NOW)).await.unwrap();
        numbers.push(claimed.number);
        store.complete(worker, data("x"), at(NOW)).await.unwrap();
    }
    assert!(!numbers.is_sorted());
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 200);
    let none = store.claim(worker, random, at(NOW)).await;
    assert!(matches!(none, Err(StoreError::NoOpenJob)));
}

pub(super) async fn different_workers_flag_a_job_back(store: &dyn Store) {
    project(store, 1).await;
    let first = join(store, "first", Role::Stage(0)).await;
    claim(store, first).await.unwrap();
    store.complete(first, data("bad"), at(NOW)).await.unwrap();
    let flag = Flag {
        number: None,
        reports: 3,
        max_failures: MAX_FAILURES,
    };
    let names = ["a", "a again", "b", "c"];
    let a = join(store, "a", Role::Stage(1)).await;
    for name in names {
        assert_eq!(store.counts().await.unwrap().open_at(1), 1, "{name}");
        let worker = match name {
            "a" | "a again" => a,
            name => join(store, name, Role::Stage(1)).await,
        };
        assert_eq!(claim(store, worker).await.unwrap().number, 1);
        let flagged = store.flag(worker, flag, at(NOW)).await.unwrap();
        assert_eq!(flagged, Accepted::Counted);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open_at(0), counts.open_at(1)), (1, 0));
    // What was made before is kept, and the reports on it are forgotten.
    claim(store, first).await.unwrap();
    store.complete(first, data("good"), at(NOW)).await.unwrap();
    let claimed = claim(store, a).await.unwrap();
    assert_eq!(claimed.input.as_deref(), Some("good"));
    store.flag(a, flag, at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().open_at(1), 1);
    let outputs = store.records(0, 1).await.unwrap()[0].completions.len();
    assert_eq!(outputs, 2);
}

pub(super) async fn a_flagged_job_comes_after_the_others(store: &dyn Store) {
    project(store, 2).await;
    let worker = join(store, "a", Role::Stage(0)).await;
    let flag = Flag {
        number: None,
        reports: 5,
        max_failures: MAX_FAILURES,
    };
    assert_eq!(claim(store, worker).await.unwrap().number, 1);
    store.flag(worker, flag, at(NOW)).await.unwrap();
    assert_eq!(claim(store, worker).await.unwrap().number, 2);
}

pub(super) async fn a_job_that_goes_to_and_fro_is_parked(store: &dyn Store) {
    project(store, 1).await;
    let (one, two) = (
        join(store, "a", Role::Stage(0)).await,
        join(store, "b", Role::Stage(1)).await,
    );
    let flag = Flag {
        number: None,
        reports: 1,
        max_failures: MAX_FAILURES,
    };
    for _ in 0..MAX_FAILURES {
        claim(store, one).await.unwrap();
        store.complete(one, data("bad"), at(NOW)).await.unwrap();
        claim(store, two).await.unwrap();
        store.flag(two, flag, at(NOW)).await.unwrap();
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.parked, counts.open_at(0)), (1, 0));
    assert_eq!(store.parked(1, 9).await.unwrap(), []);
    let none = store.requeue(Some(2)).await;
    assert!(matches!(none, Err(StoreError::NoSuchJob(2))), "{none:?}");
    assert_eq!(store.requeue(Some(1)).await.unwrap(), 1);
    assert_eq!(store.counts().await.unwrap().open_at(0), 1);
    let open = store.requeue(Some(1)).await.unwrap_err();
    assert_eq!(open.to_string(), "job 1 is not parked: it is open");
    let failed = &store.records(0, 1).await.unwrap()[0].failed;
    assert_eq!(failed.len(), MAX_FAILURES as usize);
    assert_eq!((failed[0].attempt, failed[0].at), (2, NOW));
    assert_eq!(failed[0].message, "its input was flagged as invalid");
}

pub(super) async fn a_crawler_is_handed_no_other_jobs(store: &dyn Store) {
    project(store, 0).await;
    let crawler = join(store, "a", WorkerType::Hybrid).await;
    store.add_payloads(vec!["x".into()], 0).await.unwrap();
    let refused = claim(store, crawler).await;
    assert!(
        matches!(refused, Err(StoreError::UnknownWorker)),
        "{refused:?}"
    );
    let record = &store.records(0, 1).await.unwrap()[0];
    assert_eq!((record.attempts, record.failures), (0, 0));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open_at(0), counts.leased()), (1, 0));
    let worker = join(store, "b", Role::Stage(0)).await;
    assert_eq!(claim(store, worker).await.unwrap().number, 1);
}

pub(super) async fn much_text_comes_in_parts(store: &dyn Store) {
    project(store, 0).await;
    let texts = (0..40).map(|i| format!("{i}{}", "x".repeat(1 << 20)));
    store.add_payloads(texts.collect(), 0).await.unwrap();
    let worker = join(store, "a", Role::Stage(0)).await;
    claim(store, worker).await.unwrap();
    let made = data(&"y".repeat(1 << 20));
    store.complete(worker, made, at(NOW)).await.unwrap();
    let (mut after, mut parts) = (0, Vec::new());
    loop {
        let records = store.records(after, 1_000).await.unwrap();
        let Some(last) = records.last() else { break };
        assert_eq!(records[0].number, after + 1);
        after = last.number;
        parts.push(records.len());
    }
    assert_eq!(parts, [15, 16, 9]);
}

pub(super) async fn the_last_attempts_of_a_job_are_told(store: &dyn Store) {
    project(store, 2).await;
    let worker = join(store, "a", Role::Stage(0)).await;
    for attempt in 1..=3 {
        let failure = Failure {
            number: None,
            message: format!("attempt {attempt}"),
            max_failures: 99,
        };
        // The other job waits with as many failures.
        for number in [1, 2] {
            assert_eq!(claim(store, worker).await.unwrap().number, number);
            store.fail(worker, failure.clone(), at(NOW)).await.unwrap();
        }
    }
    claim(store, worker).await.unwrap();
    store.complete(worker, data("äß"), at(NOW)).await.unwrap();
    let told = async |attempts, outputs| {
        let telling = Telling { attempts, outputs };
        store.record(1, telling).await.unwrap().unwrap()
    };
    let all = store.records(0, 1).await.unwrap().remove(0);
    assert_eq!(told(4, true).await, all);
    assert_eq!(told(99, true).await, all);
    let last = told(2, false).await;
    let failed: Vec<u32> = last.failed.iter().map(|failed| failed.attempt).collect();
    assert_eq!((failed, last.attempts), (vec![3], 4));
    let done = &last.completions[0];
    assert_eq!((&done.output, done.output_bytes), (&None, Some(4)));
    let everything = Telling {
        attempts: 9,
        outputs: true,
    };
    for number in [0, 3, u64::MAX] {
        let none = store.record(number, everything).await.unwrap();
        assert_eq!(none, None, "{number}");
    }
}

pub(super) async fn a_token_alone_says_who_calls(store: &dyn Store) {
    let named = join(store, "a", WorkerType::Hybrid).await;
    let unnamed = cah_tracker::store::Caller {
        role: None,
        ..named
    };
    assert_eq!(
        claim(store, unnamed).await.unwrap().role,
        WorkerType::Hybrid.into()
    );
    let role = store.beat(unnamed, None, at(NOW)).await.unwrap();
    assert_eq!(role, WorkerType::Hybrid.into());
    store.complete(unnamed, pairs(1), at(NOW)).await.unwrap();
    let left = store.leave(unnamed, at(NOW)).await.unwrap();
    assert_eq!(left, WorkerType::Hybrid.into());
}
