//! Leaderboards and the series.

use cah_protocol::WorkerType;
use cah_tracker::store::{BoardRow, Point, Store};

use super::{NOW, at, claim, hand_over, hybrid, join, pairs};

fn row(nickname: &str, jobs: u64, pairs: u64) -> BoardRow {
    BoardRow {
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
    assert_eq!(board, [row("b", 2, 2), row("c", 1, 7), row("a", 1, 5)]);
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
    assert_eq!(store.leaderboard(0, 9).await.unwrap(), [row("c", 1, 0)]);
    assert_eq!(store.leaderboard(1, 9).await.unwrap(), [row("g", 1, 4)]);
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
