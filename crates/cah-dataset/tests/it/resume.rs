//! What a second run finds, and who wins when two write the same shard.

use std::{fs, path::Path};

use cah_dataset::{Caption, DatasetError, Manifest, ShardInfo, ShardWriter, Store};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::support::{Pair, files, info, names, open, pair, pairs, push, tally, write};

#[tokio::test]
async fn complete_shards_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    assert!(
        store
            .manifests()
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .is_empty()
    );
    for number in [1, 2, 12] {
        write(&store, info(number), &pairs(number)).await.unwrap();
    }
    // Neither of these is a manifest.
    fs::write(folder.path().join("stats/notes.json"), "{}").unwrap();
    fs::write(folder.path().join("stats/.000000009.json.x.part"), "{").unwrap();

    let again = open(folder.path()).await;
    let mut found: Vec<Manifest> = again.manifests().try_collect().await.unwrap();
    found.sort_by_key(|manifest| manifest.number);
    let seen: Vec<_> = found.iter().map(|m| (m.number, m.pairs)).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (12, 12)]);
    assert_eq!(again.manifest(12).await.unwrap().as_ref(), found.last());
    assert_eq!(again.manifest(9).await.unwrap(), None);
    assert_eq!(again.completed(&info(2)).await.unwrap().unwrap().pairs, 2);
    assert_eq!(again.completed(&info(3)).await.unwrap(), None);
}

/// These numbers do not survive a JSON reader that is content with nearly.
#[tokio::test]
async fn a_run_knows_its_shards_by_any_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut odd = info(1);
    for value in [0.44394483991321876, 0.19562624414518642, f64::from(0.28f32)] {
        odd.thresholds.insert(value.to_string(), value.into());
    }
    let written = write(&store, odd.clone(), &pairs(1)).await.unwrap();
    assert_eq!(store.completed(&odd).await.unwrap(), Some(written));
}

#[tokio::test]
async fn addresses_and_texts_of_a_complete_shard_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let rows = pairs(1_500);
    write(&store, info(1), &rows).await.unwrap();
    write(&store, info(2), &[]).await.unwrap();
    let captions = store.captions(1).await.unwrap();
    let expected = rows.into_iter().map(|pair| Caption {
        url: pair.row.fetched.url,
        text: pair.row.fetched.text,
    });
    assert!(captions.into_iter().eq(expected));
    assert_eq!(store.captions(2).await.unwrap(), []);
    let error = store.captions(3).await.unwrap_err();
    assert!(error.to_string().contains("not complete"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_believed_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    write(&store, info(1), &pairs(1)).await.unwrap();
    let stats = folder.path().join("stats");
    let good = fs::read_to_string(stats.join("000000001.json")).unwrap();
    for (number, bad) in [
        (2, good.clone()),
        (3, good[..good.len() / 2].to_owned()),
        (4, String::new()),
        (5, " ".repeat(2 << 20)),
    ] {
        fs::write(stats.join(format!("{number:09}.json")), bad).unwrap();
        let error = store.manifest(number).await.unwrap_err();
        assert!(matches!(error, DatasetError::BadManifest { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(&format!("stats/{number:09}.json")),
            "{error}"
        );
    }
    assert!(store.manifests().try_collect::<Vec<_>>().await.is_err());
}

#[tokio::test]
async fn files_without_a_manifest_are_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for file in [
        "images/000000001.tar",
        "metadata/metadata_000000001.parquet",
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    assert_eq!(store.completed(&info(1)).await.unwrap(), None);
    let manifest = write(&store, info(1), &pairs(2)).await.unwrap();
    check_whole(folder.path(), &manifest);
}

#[tokio::test]
async fn a_shard_of_another_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    write(&store, info(1), &pairs(2)).await.unwrap();
    let before = files(folder.path());
    let mut other_wat = info(1);
    other_wat.shard.url = "https://crawl/y.wat.gz".into();
    let other_dim = ShardInfo { dim: 7, ..info(1) };
    for (other, part) in [(other_wat, "y.wat.gz"), (other_dim, "embedding length")] {
        let error = ShardWriter::create(&store, other).await.err().unwrap();
        assert!(matches!(error, DatasetError::ShardTaken { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(files(folder.path()) == before);
}

/// The other shard may be completed while this one is written.
#[tokio::test]
async fn a_shard_of_another_run_is_not_overwritten_at_the_end_either() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut late = ShardWriter::create(&store, info(1)).await.unwrap();
    push(&mut late, &pair(3)).await.unwrap();
    let mut other = info(1);
    other.crawl = "CC-MAIN-2020-01".into();
    let there = write(&store, other, &pairs(2)).await.unwrap();
    let error = late.finish(tally(1)).await.unwrap_err();
    assert!(matches!(error, DatasetError::ShardTaken { .. }), "{error}");
    check_whole(folder.path(), &there);
}

#[tokio::test]
async fn a_shard_of_the_same_run_may_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    write(&store, info(1), &pairs(2)).await.unwrap();
    let manifest = write(&store, info(1), &pairs(3)).await.unwrap();
    check_whole(folder.path(), &manifest);
    assert_eq!(manifest.pairs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_a_shard_the_last_one_wins_whole() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let few = slow_start(open(folder.path()).await, pairs(2)).await;
        let many = slow_start(open(folder.path()).await, pairs(40)).await;
        let (few, many) = tokio::join!(
            tokio::spawn(few.finish(tally(2))),
            tokio::spawn(many.finish(tally(40)))
        );
        let finished = [few.unwrap().unwrap(), many.unwrap().unwrap()];
        let there = open(folder.path())
            .await
            .manifest(1)
            .await
            .unwrap()
            .unwrap();
        assert!(finished.contains(&there));
        check_whole(folder.path(), &there);
    }
}

async fn slow_start(store: Store, pairs: Vec<Pair>) -> ShardWriter {
    let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
    for pair in &pairs {
        push(&mut writer, pair).await.unwrap();
    }
    writer
}

/// The folder has the manifest, the files that it names, and nothing else.
fn check_whole(folder: &Path, manifest: &Manifest) {
    let there = files(folder);
    for (name, entry) in &manifest.files {
        let digest: String = Sha256::digest(&there[name])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(entry.sha256, digest, "{name}");
    }
    assert_eq!(
        names(folder).len(),
        manifest.files.len() + 1,
        "{:?}",
        names(folder)
    );
}
