//! The connected workers and their deadlines.

use cah_protocol::WorkerType;
use cah_tracker::store::{
    Excluded, Exclusion, NewWorker, Reaped, Store, StoreError, WorkerQuery, WorkerSort,
};
use futures::future::join_all;

use crate::app::LOCAL;

use super::{
    CLAIM, FLAG, IDLE, MAX_FAILURES, NOW, at, caller, claim, hybrid, join, listed, newcomer, pairs,
};

fn is_unknown<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::UnknownWorker))
}

pub(super) async fn names_are_unique_among_the_connected(store: &dyn Store) {
    let first = hybrid(store, "otter").await;
    let second = newcomer(caller("other", WorkerType::Hybrid), "otter");
    let taken = store.register(second.clone(), at(NOW)).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)));
    store.leave(first, at(NOW)).await.unwrap();
    store.register(second, at(NOW)).await.unwrap();
}

pub(super) async fn a_worker_that_leaves_gives_its_job_back(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.leave(worker, at(NOW)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.open_at(0), counts.leased(), counts.workers),
        (4, 0, 0)
    );
    assert!(is_unknown(&store.leave(worker, at(NOW)).await));
    assert!(is_unknown(&claim(store, worker).await));
}

pub(super) async fn silence_costs_the_worker_and_its_job(store: &dyn Store) {
    let (silent, idle) = (hybrid(store, "a").await, hybrid(store, "b").await);
    claim(store, silent).await.unwrap();
    assert_eq!(
        store.reap(NOW + IDLE - 1, MAX_FAILURES).await.unwrap(),
        Reaped::default()
    );
    store.beat(idle, None, at(NOW + 1)).await.unwrap();
    let reaped = store.reap(NOW + IDLE, MAX_FAILURES).await.unwrap();
    assert_eq!(
        reaped,
        Reaped {
            workers: 1,
            jobs: 1
        }
    );
    let reaped = store.reap(NOW + IDLE + 1, MAX_FAILURES).await.unwrap();
    assert_eq!(
        reaped,
        Reaped {
            workers: 1,
            jobs: 0
        }
    );
    let counts = store.counts().await.unwrap();
    assert_eq!(
        (counts.open_at(0), counts.leased(), counts.workers),
        (4, 0, 0)
    );
}

pub(super) async fn any_call_moves_the_deadline(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    let mut now = NOW;
    let mut later = || {
        now += IDLE - 1;
        at(now)
    };
    store.beat(worker, None, later()).await.unwrap();
    store.beat(worker, Some("x".into()), later()).await.unwrap();
    store.claim(worker, CLAIM, later()).await.unwrap();
    store.complete(worker, pairs(1), later()).await.unwrap();
    store.claim(worker, CLAIM, later()).await.unwrap();
    store.flag(worker, FLAG, later()).await.unwrap();
    store.leave(worker, later()).await.unwrap();
}

pub(super) async fn who_is_late_is_unknown_before_the_reaper_comes(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    let late = at(NOW + IDLE);
    assert!(is_unknown(&store.beat(worker, None, late).await));
    assert!(is_unknown(&store.claim(worker, CLAIM, late).await));
    assert!(is_unknown(&store.complete(worker, pairs(1), late).await));
    assert!(is_unknown(&store.leave(worker, late).await));
    assert_eq!(store.counts().await.unwrap().closed, 0);
    assert_eq!(store.reap(NOW + IDLE, MAX_FAILURES).await.unwrap().jobs, 1);
}

pub(super) async fn a_token_counts_for_its_own_kind_only(store: &dyn Store) {
    join(store, "a", WorkerType::Gpu).await;
    let pretender = caller("a", WorkerType::Hybrid);
    assert!(is_unknown(&claim(store, pretender).await));
    assert!(is_unknown(&store.beat(pretender, None, at(NOW)).await));
}

pub(super) async fn workers_are_listed_as_they_were_heard_last(store: &dyn Store) {
    for name in ["a", "b", "c"] {
        hybrid(store, name).await;
    }
    let worker = caller("b", WorkerType::Hybrid);
    claim(store, worker).await.unwrap();
    store.complete(worker, pairs(1), at(NOW)).await.unwrap();
    claim(store, worker).await.unwrap();
    let progress = Some("1 / 2".to_owned());
    store.beat(worker, progress, at(NOW + 9)).await.unwrap();

    let listed = listed(store, 2).await;
    let names: Vec<_> = listed.iter().map(|w| w.display_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let role = WorkerType::Hybrid.into();
    let view = store.worker(role, "b".into()).await.unwrap().unwrap();
    assert_eq!(view, listed[1]);
    assert_eq!((view.number, view.jobs_completed), (Some(2), 1));
    assert_eq!(
        (view.progress.as_str(), view.nickname.as_str()),
        ("1 / 2", "b")
    );
    assert_eq!((view.first_seen, view.last_seen), (NOW, NOW + 9));

    let other = WorkerType::Gpu.into();
    assert_eq!(store.worker(other, "b".into()).await.unwrap(), None);
    assert_eq!(store.worker(role, "z".into()).await.unwrap(), None);
}

pub(super) async fn grace_moves_every_deadline(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    store.grant_grace(NOW, NOW + 10 * IDLE).await.unwrap();
    assert_eq!(
        store.reap(NOW + 9 * IDLE, MAX_FAILURES).await.unwrap(),
        Reaped::default()
    );
    store.beat(worker, None, at(NOW + 9 * IDLE)).await.unwrap();
    // A deadline of a clock that was ahead moves back as well.
    store.grant_grace(NOW, NOW + 5 * IDLE).await.unwrap();
    assert_eq!(
        store
            .reap(NOW + 5 * IDLE, MAX_FAILURES)
            .await
            .unwrap()
            .workers,
        1
    );
}

pub(super) async fn a_closed_store_refuses(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    store.ping().await.unwrap();
    store.close().await;
    store.close().await;
    let is_down = |error: StoreError| matches!(error, StoreError::Unavailable(_));
    assert!(is_down(store.ping().await.unwrap_err()));
    assert!(is_down(claim(store, worker).await.unwrap_err()));
    assert!(is_down(
        store.beat(worker, None, at(NOW)).await.unwrap_err()
    ));
    assert!(is_down(store.counts().await.unwrap_err()));
}

pub(super) async fn workers_are_searched_and_paged(store: &dyn Store) {
    for name in ["Ä-1", "b_2", "b%3", "c-4"] {
        hybrid(store, name).await;
    }
    let search = async |text: &str, skip, limit| {
        let query = WorkerQuery {
            text: text.into(),
            skip,
            limit,
            ..WorkerQuery::default()
        };
        let list = store.workers(query).await.unwrap();
        let names = list.workers.into_iter().map(|worker| worker.display_name);
        (names.collect::<Vec<_>>().join(" "), list.found)
    };
    assert_eq!(search("", 0, 9).await, ("Ä-1 b_2 b%3 c-4".into(), 4));
    assert_eq!(search("", 1, 2).await, ("b_2 b%3".into(), 4));
    assert_eq!(search("", 9, 2).await, (String::new(), 4));
    assert_eq!(search("B", 0, 9).await, ("b_2 b%3".into(), 2));
    // What means something to a database is text here.
    assert_eq!(search("_", 0, 9).await, ("b_2".into(), 1));
    assert_eq!(search("%", 0, 9).await, ("b%3".into(), 1));
    assert_eq!(search("\\", 0, 9).await, (String::new(), 0));
    assert_eq!(search("' OR 1=1 --", 0, 9).await, (String::new(), 0));
}

pub(super) async fn workers_are_sorted(store: &dyn Store) {
    for (name, nickname, role, found) in [
        ("b", "Zoe", WorkerType::Hybrid, 5),
        ("C", "ada", WorkerType::Gpu, 0),
        ("a", "Bob", WorkerType::Cpu, 9),
    ] {
        let worker = NewWorker {
            nickname: nickname.into(),
            ..newcomer(caller(name, role), name)
        };
        store.register(worker, at(NOW)).await.unwrap();
        if found > 0 {
            let worker = caller(name, role);
            claim(store, worker).await.unwrap();
            store.complete(worker, pairs(found), at(NOW)).await.unwrap();
        }
        store
            .beat(caller(name, role), None, at(NOW + 9 - found as i64))
            .await
            .unwrap();
    }
    store.flush(NOW).await.unwrap();
    for (sort, ascending, descending) in [
        (WorkerSort::Joined, "bCa", "aCb"),
        (WorkerSort::Name, "abC", "Cba"),
        (WorkerSort::Contributor, "Cab", "baC"),
        (WorkerSort::Stage, "abC", "Cba"),
        // Equals come in the order in which they joined.
        (WorkerSort::Jobs, "Cba", "baC"),
        (WorkerSort::Pairs, "Cba", "abC"),
        (WorkerSort::LastSeen, "abC", "Cba"),
    ] {
        for (descending, expected) in [(false, ascending), (true, descending)] {
            let listed = async |skip, limit| {
                let query = WorkerQuery {
                    sort,
                    descending,
                    skip,
                    limit,
                    ..WorkerQuery::default()
                };
                let workers = store.workers(query).await.unwrap().workers;
                let names = workers.into_iter().map(|worker| worker.display_name);
                names.collect::<String>()
            };
            assert_eq!(listed(0, 9).await, expected, "{sort:?} {descending}");
            assert_eq!(listed(1, 1).await, expected[1..2], "{sort:?} {descending}");
        }
    }
}

pub(super) async fn the_workers_of_a_contributor_are_found(store: &dyn Store) {
    for (name, nickname) in [("1", "ada"), ("2", "adamant"), ("3", "Ada"), ("4", "ada")] {
        let worker = NewWorker {
            nickname: nickname.into(),
            ..newcomer(caller(name, WorkerType::Hybrid), name)
        };
        store.register(worker, at(NOW)).await.unwrap();
    }
    for (nickname, text, names, found) in [
        ("ada", "", &["1", "4"][..], 2),
        ("Ada", "", &["3"], 1),
        ("ada", "4", &["4"], 1),
        ("a%", "", &[], 0),
        ("a\0b", "", &[], 0),
    ] {
        let query = WorkerQuery {
            nickname: Some(nickname.into()),
            text: text.into(),
            limit: 9,
            ..WorkerQuery::default()
        };
        let list = store.workers(query).await.unwrap();
        let listed = list.workers.iter().map(|worker| &worker.display_name);
        assert!(listed.eq(names), "{nickname} {text}");
        assert_eq!(list.found, found);
    }
}

pub(super) async fn who_is_kept_out_is_gone(store: &dyn Store) {
    let ada = hybrid(store, "Ada").await;
    let other = caller("there", WorkerType::Hybrid);
    let there = NewWorker {
        address: "192.0.2.7".parse().unwrap(),
        ..newcomer(other, "there")
    };
    store.register(there, at(NOW)).await.unwrap();
    claim(store, ada).await.unwrap();
    let exclusion = |whom: Excluded| Exclusion {
        whom,
        reason: "<spam> 'x'".into(),
        at: NOW,
    };
    let nickname = Excluded::Nickname("aDa".into());
    let gone = store.exclude(exclusion(nickname.clone())).await.unwrap();
    assert_eq!(gone, 1);
    let silent = store.beat(ada, None, at(NOW)).await;
    assert!(matches!(silent, Err(StoreError::UnknownWorker)));
    assert_eq!(store.counts().await.unwrap().open_at(0), 4);
    let address = store.address_of("there".into()).await.unwrap();
    assert_eq!(address, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(store.address_of("nobody".into()).await.unwrap(), None);
    let network = Excluded::Network("192.0.2.0/24".parse().unwrap());
    let gone = store.exclude(exclusion(network.clone())).await.unwrap();
    assert_eq!(gone, 1);
    for (name, address) in [("ADA", LOCAL), ("eve", "192.0.2.9".parse().unwrap())] {
        let back = NewWorker {
            address,
            ..newcomer(caller("back", WorkerType::Hybrid), name)
        };
        let refused = store.register(back, at(NOW)).await;
        assert!(matches!(refused, Err(StoreError::Excluded)), "{refused:?}");
    }
    // Again, with nobody there.
    assert_eq!(store.exclude(exclusion(network.clone())).await.unwrap(), 0);
    let kept_out = store.exclusions().await.unwrap();
    let lower = Excluded::Nickname("ada".into());
    assert_eq!(kept_out, [exclusion(network.clone()), exclusion(lower)]);
    assert!(store.readmit(network.clone()).await.unwrap());
    assert!(!store.readmit(network).await.unwrap());
    assert!(store.readmit(nickname).await.unwrap());
    assert_eq!(store.exclusions().await.unwrap(), []);
}

/// Whoever joins while an operator keeps it out is either removed or refused.
pub(super) async fn whoever_joins_meanwhile_is_kept_out_too(store: &dyn Store) {
    for round in 0..20 {
        let nickname = format!("spam{round}");
        let joins = (0..20).map(|i| {
            let name = format!("{nickname}-{i}");
            let worker = NewWorker {
                nickname: nickname.clone(),
                ..newcomer(caller(&name, WorkerType::Hybrid), &name)
            };
            store.register(worker, at(NOW))
        });
        let exclusion = Exclusion {
            whom: Excluded::Nickname(nickname.clone()),
            reason: String::new(),
            at: NOW,
        };
        let (joined, gone) = tokio::join!(join_all(joins), store.exclude(exclusion));
        let joined = joined.iter().filter(|joined| joined.is_ok()).count();
        assert_eq!(gone.unwrap(), joined as u64);
        assert_eq!(listed(store, 9).await, []);
    }
    assert_eq!(store.counts().await.unwrap().workers, 0);
}

pub(super) async fn a_machine_has_so_many_workers(store: &dyn Store) {
    let register = |name: &'static str, address: &str| {
        let worker = NewWorker {
            address: address.parse().unwrap(),
            places: Some(2),
            ..newcomer(caller(name, WorkerType::Hybrid), name)
        };
        store.register(worker, at(NOW))
    };
    for (name, address) in [("a", "2001:db8::1"), ("b", "2001:db8::2"), ("c", "::1")] {
        register(name, address).await.unwrap();
    }
    let refused = register("d", "2001:db8::3").await;
    assert!(
        matches!(refused, Err(StoreError::Crowded(2))),
        "{refused:?}"
    );
    register("d", "2001:db8:0:1::1").await.unwrap();
    let a = caller("a", WorkerType::Hybrid);
    store.leave(a, at(NOW)).await.unwrap();
    register("e", "2001:db8::3").await.unwrap();
}
