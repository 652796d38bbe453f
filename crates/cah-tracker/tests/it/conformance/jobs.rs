//! Jobs and leases.

use cah_protocol::WorkerType;
use cah_tracker::store::{Accepted, Added, Completion, Failure, Flag, Store, StoreError};

use super::{
    CLAIM, FLAG, IDLE, MAX_FAILURES, NOW, at, claim, hand_over, hybrid, join, listed, pairs,
};

pub(super) async fn claims_come_oldest_first(store: &dyn Store) {
    let names = ["a", "b", "c", "d"];
    for (i, name) in names.into_iter().enumerate() {
        let caller = hybrid(store, name).await;
        let claimed = claim(store, caller).await.unwrap();
        assert_eq!(claimed.number, i as u64 + 1);
        assert_eq!(
            claimed.task.shard().unwrap().start_id,
            i as u64 / 2 * 1_000_000
        );
        assert_eq!(claimed.until, NOW + IDLE);
        assert_eq!(claimed.input, None);
    }
    let late = hybrid(store, "e").await;
    assert!(matches!(
        claim(store, late).await,
        Err(StoreError::NoOpenJob)
    ));
    // What is given back is the oldest again.
    store
        .leave(super::caller("b", WorkerType::Hybrid), at(NOW))
        .await
        .unwrap();
    assert_eq!(claim(store, late).await.unwrap().number, 2);
}

pub(super) async fn attempts_are_counted(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    for attempt in 1..=2 {
        let claimed = claim(store, caller).await.unwrap();
        assert_eq!((claimed.number, claimed.attempt), (1, attempt));
    }
}

pub(super) async fn a_worker_never_holds_two_jobs(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    for _ in 0..2 {
        claim(store, caller).await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.leased(), counts.open_at(0)), (1, 3));
    }
}

pub(super) async fn a_job_closes_once(store: &dyn Store) {
    let first = hybrid(store, "a").await;
    claim(store, first).await.unwrap();
    store.reap(NOW + IDLE, MAX_FAILURES).await.unwrap();
    let second = hybrid(store, "b").await;
    assert_eq!(claim(store, second).await.unwrap().number, 1);
    let late = store.complete(first, pairs(5), at(NOW)).await;
    assert!(matches!(late, Err(StoreError::UnknownWorker)));
    store.complete(second, pairs(7), at(NOW)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs), (1, 7));
}

pub(super) async fn a_repeated_completion_counts_nothing(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    claim(store, caller).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(store.complete(caller, pairs(5), at(NOW)).await.unwrap());
    }
    use Accepted::{Counted, Repeated};
    assert_eq!(answers, [Counted, Repeated, Repeated]);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.pairs), (1, 5));
    // The next job is another matter.
    claim(store, caller).await.unwrap();
    let next = store.complete(caller, pairs(5), at(NOW)).await.unwrap();
    assert_eq!(next, Counted);
}

pub(super) async fn a_completion_without_a_job_is_refused(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    let refused = store.complete(caller, pairs(5), at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
    let refused = store.flag(caller, FLAG, at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
}

pub(super) async fn a_completion_that_names_another_job_is_refused(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    let naming = |number| Completion {
        number: Some(number),
        ..pairs(5)
    };
    claim(store, caller).await.unwrap();
    let refused = store.complete(caller, naming(2), at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
    store.complete(caller, naming(1), at(NOW)).await.unwrap();
    let repeated = store.complete(caller, naming(1), at(NOW)).await.unwrap();
    assert_eq!(repeated, Accepted::Repeated);
    let refused = store.complete(caller, naming(2), at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
}

pub(super) async fn a_refused_call_changes_nothing(store: &dyn Store) {
    let caller = hybrid(store, "a").await;
    let before = store.counts().await.unwrap();
    store.complete(caller, pairs(5), at(NOW)).await.unwrap_err();
    store.flag(caller, FLAG, at(NOW)).await.unwrap_err();
    let stranger = super::caller("b", WorkerType::Hybrid);
    store.claim(stranger, CLAIM, at(NOW)).await.unwrap_err();
    store.leave(stranger, at(NOW)).await.unwrap_err();
    assert_eq!(store.counts().await.unwrap(), before);
}

pub(super) async fn what_one_stage_hands_over_the_next_one_gets(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let gpu = join(store, "g", WorkerType::Gpu).await;
    assert!(matches!(
        claim(store, gpu).await,
        Err(StoreError::NoOpenJob)
    ));
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("tar"), at(NOW))
        .await
        .unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.open_at(0), counts.open_at(1), counts.closed),
        (3, 1, 0)
    );
    let claimed = claim(store, gpu).await.unwrap();
    assert_eq!((claimed.number, claimed.input.as_deref()), (1, Some("tar")));
    store.complete(gpu, pairs(3), at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().closed, 1);
}

pub(super) async fn a_flagged_job_goes_back_and_keeps_its_input(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let gpu = join(store, "g", WorkerType::Gpu).await;
    let before = claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("bad"), at(NOW))
        .await
        .unwrap();
    claim(store, gpu).await.unwrap();
    store.flag(gpu, FLAG, at(NOW)).await.unwrap();
    let again = claim(store, cpu).await.unwrap();
    assert_eq!(again.task, before.task);
    store
        .complete(cpu, hand_over("good"), at(NOW))
        .await
        .unwrap();
    let claimed = claim(store, gpu).await.unwrap();
    assert_eq!(claimed.input.as_deref(), Some("good"));
}

/// Such a call was long on its way: its repeat came before it, and so did the next job.
pub(super) async fn a_flag_that_names_another_job_is_refused(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let gpu = join(store, "g", WorkerType::Gpu).await;
    for tar in ["1", "2"] {
        claim(store, cpu).await.unwrap();
        store.complete(cpu, hand_over(tar), at(NOW)).await.unwrap();
    }
    let first = Flag {
        number: Some(claim(store, gpu).await.unwrap().number),
        ..FLAG
    };
    let flag = || store.flag(gpu, first, at(NOW));
    assert_eq!(flag().await.unwrap(), Accepted::Counted);
    assert_eq!(flag().await.unwrap(), Accepted::Repeated);
    let second = claim(store, gpu).await.unwrap();
    assert!(matches!(flag().await, Err(StoreError::NoLease)));
    assert_eq!(store.held_by(gpu.token).await.unwrap(), second.number);
    assert_eq!(second.input.as_deref(), Some("2"));
    store.complete(gpu, pairs(1), at(NOW)).await.unwrap();
    assert!(matches!(flag().await, Err(StoreError::NoLease)));
}

pub(super) async fn a_repeated_flag_counts_nothing(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let gpu = join(store, "g", WorkerType::Gpu).await;
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("tar"), at(NOW))
        .await
        .unwrap();
    claim(store, gpu).await.unwrap();
    assert_eq!(
        store.flag(gpu, FLAG, at(NOW)).await.unwrap(),
        Accepted::Counted
    );
    assert_eq!(
        store.flag(gpu, FLAG, at(NOW)).await.unwrap(),
        Accepted::Repeated
    );
    let wrong = store.complete(gpu, pairs(1), at(NOW)).await;
    assert!(matches!(wrong, Err(StoreError::NoLease)));
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.open_at(0), counts.open_at(1), counts.leased()),
        (4, 0, 0)
    );
}

fn failure(message: &str) -> Failure {
    Failure {
        number: None,
        message: message.into(),
        max_failures: MAX_FAILURES,
    }
}

pub(super) async fn a_job_that_fails_comes_after_the_others(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    for number in [1, 2, 3] {
        assert_eq!(claim(store, worker).await.unwrap().number, number);
        let failed = store.fail(worker, failure("no file"), at(NOW)).await;
        assert_eq!(failed.unwrap(), Accepted::Counted);
    }
    assert_eq!(claim(store, worker).await.unwrap().number, 4);
    store.complete(worker, pairs(1), at(NOW)).await.unwrap();
    assert_eq!(claim(store, worker).await.unwrap().number, 1);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open_at(0), counts.leased()), (2, 1));
}

pub(super) async fn a_job_that_fails_too_often_is_parked(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    for message in ["first", "second"] {
        for _ in 0..4 {
            claim(store, worker).await.unwrap();
            store.fail(worker, failure(message), at(NOW)).await.unwrap();
        }
    }
    assert!(matches!(
        claim(store, worker).await,
        Err(StoreError::NoOpenJob)
    ));
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.parked, counts.open_at(0), counts.leased()),
        (4, 0, 0)
    );
    let parked = store.parked(0, 3).await.unwrap();
    let told: Vec<_> = parked
        .iter()
        .map(|job| (job.number, job.failures, job.messages[0].as_str()))
        .collect();
    assert_eq!(told, [(1, 2, "second"), (2, 2, "second"), (3, 2, "second")]);

    assert_eq!(store.requeue(None).await.unwrap(), 4);
    assert_eq!(store.requeue(None).await.unwrap(), 0);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.parked, counts.open_at(0)), (0, 4));
    // Its failures are forgotten.
    claim(store, worker).await.unwrap();
    store.fail(worker, failure("third"), at(NOW)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().parked, 0);
}

pub(super) async fn a_repeated_failure_counts_nothing(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    let refused = store.fail(worker, failure("?"), at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
    claim(store, worker).await.unwrap();
    let other = Failure {
        number: Some(2),
        ..failure("?")
    };
    let refused = store.fail(worker, other, at(NOW)).await;
    assert!(matches!(refused, Err(StoreError::NoLease)));
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(store.fail(worker, failure("?"), at(NOW)).await.unwrap());
    }
    use Accepted::{Counted, Repeated};
    assert_eq!(answers, [Counted, Repeated, Repeated]);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.open_at(0), counts.parked), (4, 0));
    let wrong = store.complete(worker, pairs(1), at(NOW)).await;
    assert!(matches!(wrong, Err(StoreError::NoLease)));
}

pub(super) async fn a_job_that_is_given_back_has_not_failed(store: &dyn Store) {
    let (worker, other) = (hybrid(store, "a").await, hybrid(store, "b").await);
    let give_back = |number| store.give_back(worker, number, at(NOW));
    assert!(matches!(give_back(None).await, Err(StoreError::NoLease)));
    // More often than a job may fail.
    for _ in 0..=MAX_FAILURES {
        assert_eq!(claim(store, worker).await.unwrap().number, 1);
        assert!(matches!(give_back(Some(2)).await, Err(StoreError::NoLease)));
        assert_eq!(give_back(Some(1)).await.unwrap(), Accepted::Counted);
        assert_eq!(give_back(Some(1)).await.unwrap(), Accepted::Repeated);
        assert_eq!(give_back(None).await.unwrap(), Accepted::Repeated);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.open_at(0), counts.leased(), counts.parked),
        (4, 0, 0)
    );
    assert_eq!(store.records(0, 1).await.unwrap()[0].failures, 0);
    assert_eq!(claim(store, other).await.unwrap().number, 1);
    // It is somebody else's by now.
    assert_eq!(give_back(Some(1)).await.unwrap(), Accepted::Repeated);
    assert_eq!(store.counts().await.unwrap().leased(), 1);
    let wrong = store.complete(worker, pairs(1), at(NOW)).await;
    assert!(matches!(wrong, Err(StoreError::NoLease)));
}

pub(super) async fn a_hand_over_may_close(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    claim(store, cpu).await.unwrap();
    let done = Completion {
        closes: true,
        ..hand_over("postgres")
    };
    store.complete(cpu, done, at(NOW)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.closed, counts.open_at(1)), (1, 0));
}

pub(super) async fn chunks_are_added_once_and_numbered_on(store: &dyn Store) {
    let url = |chunk| format!("https://data.example.org/{chunk}.warc.wat.gz");
    let added = store
        .add_chunks((1..=3).map(url).collect(), 0)
        .await
        .unwrap();
    assert_eq!(added, Added { added: 1, known: 2 });
    let added = store.add_chunks(Vec::new(), 0).await.unwrap();
    assert_eq!(added, Added::default());
    assert_eq!(store.counts().await.unwrap().jobs, 6);
    let mut last = None;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let caller = hybrid(store, name).await;
        last = claim(store, caller).await.unwrap().task.shard().cloned();
    }
    let last = last.unwrap();
    assert_eq!(
        (last.number, last.start_id, last.url),
        (6, 2_000_000, url(3))
    );
}

pub(super) async fn a_worker_without_a_job_has_received_none(store: &dyn Store) {
    let gpu = join(store, "g", WorkerType::Gpu).await;
    assert!(claim(store, gpu).await.is_err());
    let view = listed(store, 1).await.remove(0);
    assert_eq!(view.progress, "Connected");
    let worker = hybrid(store, "h").await;
    claim(store, worker).await.unwrap();
    assert_eq!(listed(store, 2).await[1].progress, "Received a job");
}

pub(super) async fn counters_follow_every_change(store: &dyn Store) {
    let counted = async || {
        let counts = store.counts().await.unwrap();
        let stages = (counts.open_at(0), counts.open_at(1), counts.leased());
        (stages, counts.closed, counts.pairs, counts.workers)
    };
    assert_eq!(counted().await, ((4, 0, 0), 0, 0, 0));
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let worker = hybrid(store, "h").await;
    claim(store, cpu).await.unwrap();
    claim(store, worker).await.unwrap();
    assert_eq!(counted().await, ((2, 0, 2), 0, 0, 2));
    store
        .complete(cpu, hand_over("tar"), at(NOW))
        .await
        .unwrap();
    store.complete(worker, pairs(9), at(NOW)).await.unwrap();
    assert_eq!(counted().await, ((2, 1, 0), 1, 9, 2));
    store.leave(cpu, at(NOW)).await.unwrap();
    assert_eq!(counted().await, ((2, 1, 0), 1, 9, 1));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.jobs, counts.total()), (4, 4));
}

pub(super) async fn silence_and_asking_anew_are_failures(store: &dyn Store) {
    let silent = hybrid(store, "a").await;
    claim(store, silent).await.unwrap();
    store.reap(NOW + IDLE, MAX_FAILURES).await.unwrap();
    let hasty = hybrid(store, "b").await;
    // The oldest comes first all the same.
    assert_eq!(claim(store, hasty).await.unwrap().number, 1);
    assert_eq!(claim(store, hasty).await.unwrap().number, 2);
    let parked = store.parked(0, 9).await.unwrap();
    assert_eq!((parked.len(), parked[0].number), (1, 1));
    assert_eq!(
        parked[0].messages,
        ["its worker asked for another job", "its worker fell silent"]
    );
    // Who says goodbye has not failed.
    for _ in 0..3 {
        store.leave(hasty, at(NOW)).await.unwrap();
        hybrid(store, "b").await;
        assert_eq!(claim(store, hasty).await.unwrap().number, 2);
    }
    assert_eq!(store.counts().await.unwrap().parked, 1);
}
