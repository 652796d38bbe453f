//! CPU and GPU workers: two halves of a hybrid one.

use crate::harness::{
    Served, content, cpu_worker, files_below, gpu_worker, manifests, succeed, web, worker,
};

/// Through the tracker's own staging, a shard ends as it does with a hybrid worker.
#[tokio::test(flavor = "multi_thread")]
async fn two_halves_make_the_rows_of_a_whole() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let (state, halves) = (folder.path().join("state"), folder.path().join("halves"));
    let printed = succeed(&mut cpu_worker(&tracker.url(), &web, &state, &[]));
    assert!(printed.contains("images handed over"), "{printed}");
    assert!(!state.exists(), "a worker that leaves leaves nothing");
    assert_eq!(tracker.open_jobs().await, 0);
    let printed = succeed(&mut gpu_worker(&tracker.url(), &web, &halves, &[]));
    assert!(printed.contains("pairs"), "{printed}");

    let other = tempfile::tempdir().unwrap();
    let whole = other.path().join("whole");
    let tracker_of_whole = Served::web(other.path(), &web, 7200).await;
    succeed(&mut worker(&tracker_of_whole.url(), &web, &whole, &[]));
    let names = |out| -> Vec<_> {
        let relative = |file: std::path::PathBuf| file.strip_prefix(out).unwrap().to_owned();
        files_below(out).into_iter().map(relative).collect()
    };
    assert_eq!(names(&halves), names(&whole));
    let (halves, whole) = (manifests(&halves).await, manifests(&whole).await);
    assert_eq!(whole.len(), 4);
    assert_eq!(content(&halves), content(&whole));
    for (half, whole) in halves.values().zip(whole.values()) {
        assert_eq!(half.outcomes, whole.outcomes);
        assert_eq!(half.candidates, whole.candidates);
        assert_eq!(half.info(), whole.info());
    }
    let (data, of_whole) = (tracker.data().await, tracker_of_whole.data().await);
    assert_eq!(data["completion_str"], "4 / 4");
    assert_eq!(data["total_pairs_scraped"], of_whole["total_pairs_scraped"]);
}
