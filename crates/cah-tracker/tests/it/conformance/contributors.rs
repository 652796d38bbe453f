//! Leaderboards and the series.

use cah_protocol::{OutcomeCounts, WorkerType};
use cah_tracker::store::{BoardRow, Completion, Day, HandIn, HandInBy, Point, Standing, Store};

use super::{NOW, at, claim, hand_over, hybrid, join, pairs};

fn row(rank: u64, nickname: &str, jobs: u64, pairs: u64) -> BoardRow {
    BoardRow {
        rank,
        nickname: nickname.into(),
        jobs,
        pairs,
    }
}

pub(super) async fn the_leaderboard_ranks_by_jobs_then_pairs(store: &dyn Store) {
    for (name, results) in [("a", &[5_u64][..]), ("b", &[1, 1]), ("c", &[7])] {
        let worker = hybrid(store, name).await;
        for result in results {
            claim(store, worker).await.unwrap();
            store
                .complete(worker, pairs(*result), at(NOW))
                .await
                .unwrap();
        }
    }
    let board = store.leaderboard(1, 10).await.unwrap();
    assert_eq!(
        board,
        [row(1, "b", 2, 2), row(2, "c", 1, 7), row(3, "a", 1, 5)]
    );
    assert_eq!(store.leaderboard(1, 2).await.unwrap().len(), 2);
    assert_eq!(store.leaderboard(0, 2).await.unwrap(), []);
}

pub(super) async fn each_stage_has_its_own_board(store: &dyn Store) {
    let cpu = join(store, "c", WorkerType::Cpu).await;
    let gpu = join(store, "g", WorkerType::Gpu).await;
    claim(store, cpu).await.unwrap();
    store
        .complete(cpu, hand_over("tar"), at(NOW))
        .await
        .unwrap();
    claim(store, gpu).await.unwrap();
    store.complete(gpu, pairs(4), at(NOW)).await.unwrap();
    assert_eq!(store.leaderboard(0, 9).await.unwrap(), [row(1, "c", 1, 0)]);
    assert_eq!(store.leaderboard(1, 9).await.unwrap(), [row(1, "g", 1, 4)]);
}

/// Completes the next job of each of these workers, with so many pairs.
async fn complete_all(store: &dyn Store, results: &[(&str, u64)]) {
    for (name, found) in results {
        let worker = hybrid(store, name).await;
        claim(store, worker).await.unwrap();
        store
            .complete(worker, pairs(*found), at(NOW))
            .await
            .unwrap();
    }
}

pub(super) async fn equals_share_a_place_everywhere(store: &dyn Store) {
    complete_all(store, &[("a", 5), ("b", 7), ("c", 5), ("d", 1)]).await;
    let board = store.leaderboard(1, 9).await.unwrap();
    let ranks: Vec<u64> = board.iter().map(|row| row.rank).collect();
    assert_eq!(ranks, [1, 2, 2, 4]);
    for row in board {
        let view = store.contributor(row.nickname.clone(), 9).await.unwrap();
        assert_eq!(view.unwrap().boards[0].rank, row.rank, "{}", row.nickname);
    }
}

pub(super) async fn of_whom_nothing_counts_is_on_no_board(store: &dyn Store) {
    complete_all(store, &[("a", 0), ("b", 7)]).await;
    for number in [1, 2] {
        let name = ["a", "b"][number as usize - 1];
        assert!(store.contributor(name.into(), 9).await.unwrap().is_some());
        store.reset(number).await.unwrap();
        assert_eq!(store.contributor(name.into(), 9).await.unwrap(), None);
    }
    assert_eq!(store.leaderboard(1, 9).await.unwrap(), []);
}

pub(super) async fn points_come_back_oldest_first(store: &dyn Store) {
    store.record_point(NOW).await.unwrap();
    let worker = hybrid(store, "a").await;
    claim(store, worker).await.unwrap();
    store.complete(worker, pairs(4), at(NOW)).await.unwrap();
    store.record_point(NOW + 900).await.unwrap();
    store.record_point(NOW + 1_800).await.unwrap();
    let point = |at, closed, pairs| Point { at, closed, pairs };
    let (a, b, c) = (
        point(NOW, 0, 0),
        point(NOW + 900, 1, 4),
        point(NOW + 1_800, 1, 4),
    );
    assert_eq!(store.points(9).await.unwrap(), [a, b, c]);
    // The clock was ahead: what it recorded would stand before all that comes.
    store.record_point(NOW + 901).await.unwrap();
    let now = point(NOW + 901, 1, 4);
    assert_eq!(store.points(9).await.unwrap(), [a, b, now]);
    assert_eq!(store.points(2).await.unwrap(), [b, now]);
}

pub(super) async fn a_contributor_has_a_history(store: &dyn Store) {
    const DAY: i64 = 86_400;
    assert_eq!(store.contributor("a".into(), 9).await.unwrap(), None);
    let (a, b) = (hybrid(store, "a").await, hybrid(store, "b").await);
    for (worker, pairs_found, now) in [(a, 5, NOW), (a, 7, NOW + 1), (b, 9, NOW)] {
        claim(store, worker).await.unwrap();
        store
            .complete(worker, pairs(pairs_found), at(now))
            .await
            .unwrap();
    }
    let day = |begin, jobs, pairs| Day {
        begin,
        stage: 1,
        jobs,
        pairs,
    };
    let today = NOW - NOW.rem_euclid(DAY);
    let view = store.contributor("a".into(), 9).await.unwrap().unwrap();
    let standing = Standing {
        stage: 1,
        rank: 1,
        jobs: 2,
        pairs: 12,
    };
    assert_eq!(view.boards, [standing]);
    assert_eq!(view.days, [day(today, 2, 12)]);
    let other = store.contributor("b".into(), 9).await.unwrap().unwrap();
    assert_eq!(other.boards[0].rank, 2);
    // A day later, and one job that counts no longer.
    let later = NOW + DAY;
    store.grant_grace(NOW, later + 1).await.unwrap();
    claim(store, b).await.unwrap();
    store.complete(b, pairs(1), at(later)).await.unwrap();
    store.reset(1).await.unwrap();
    let view = store.contributor("a".into(), 9).await.unwrap().unwrap();
    assert_eq!(view.days, [day(today, 1, 7)]);
    let other = store.contributor("b".into(), 1).await.unwrap().unwrap();
    assert_eq!(other.days, [day(today + DAY, 1, 1)]);
}

pub(super) async fn candidates_end_in_outcomes(store: &dyn Store) {
    let worker = hybrid(store, "a").await;
    let counts = |kept, timed_out| {
        let mut counts = OutcomeCounts::default();
        counts.add_named("kept", kept);
        counts.add_named("timed_out", timed_out);
        counts.add_named("no such outcome", 7);
        counts
    };
    assert_eq!(store.outcomes().await.unwrap(), counts(0, 0));
    for (kept, timed_out) in [(5, 1), (2, 0)] {
        claim(store, worker).await.unwrap();
        let made = Completion {
            outcomes: counts(kept, timed_out),
            ..pairs(kept)
        };
        // Repeated, it counts once.
        for _ in 0..2 {
            store.complete(worker, made.clone(), at(NOW)).await.unwrap();
        }
    }
    assert_eq!(store.outcomes().await.unwrap(), counts(7, 1));
    assert_eq!(super::listed(store, 1).await[0].pairs, 7);
    store.reset(1).await.unwrap();
    assert_eq!(store.outcomes().await.unwrap(), counts(2, 0));
    let result = HandIn {
        number: 1,
        completion: Completion {
            outcomes: counts(1, 1),
            ..pairs(1)
        },
    };
    let by = HandInBy {
        nickname: "eve".into(),
        operator: true,
    };
    store.hand_in(vec![result], by, NOW).await.unwrap();
    assert_eq!(store.outcomes().await.unwrap(), counts(3, 1));
}
