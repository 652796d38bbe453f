//! Object stores that are no folder. S3 itself, over HTTP, is tried from Python.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use cah_dataset::{DatasetError, ShardWriter, Store};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    faulty::Faulty,
    support::{Pair, files, info, open, pair, pairs, push, write},
};

fn large_pairs(count: u64) -> Vec<Pair> {
    let image = |index| Some(vec![index as u8; 3 << 20]);
    (0..count)
        .map(|i| Pair {
            image: image(i),
            ..pair(i)
        })
        .collect()
}

fn over(objects: &Arc<Faulty>) -> Store {
    Store::over(objects.clone(), "mem://x")
}

async fn names(objects: &Faulty) -> Vec<String> {
    let mut names: Vec<String> = objects
        .list(None)
        .map_ok(|entry| entry.location.to_string())
        .try_collect()
        .await
        .unwrap();
    names.sort();
    names
}

/// Waits until no upload is open.
async fn all_ended(objects: &Faulty) {
    let ended = async {
        while objects.open_uploads.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), ended)
        .await
        .expect("an upload was neither completed nor aborted");
}

#[tokio::test]
async fn a_bucket_gets_the_same_bytes_as_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let rows = large_pairs(7);
    let local = write(&open(folder.path()).await, info(1), &rows)
        .await
        .unwrap();
    let objects = Arc::new(Faulty::default());
    let remote = write(&over(&objects), info(1), &rows).await.unwrap();
    assert_eq!(local.files, remote.files);
    for (name, bytes) in files(folder.path()) {
        if name.starts_with("stats/") {
            continue;
        }
        let there = objects.get(&Path::from(name.as_str())).await.unwrap();
        assert!(there.bytes().await.unwrap() == bytes, "{name}");
    }
    assert_eq!(objects.completed.load(SeqCst), 1, "only the tar is long");
    assert_eq!(over(&objects).manifest(1).await.unwrap(), Some(remote));
    let found: Vec<_> = over(&objects).manifests().collect().await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn uploads_of_a_given_up_shard_are_aborted() {
    for drop_it in [false, true] {
        let objects = Arc::new(Faulty::default());
        let mut writer = ShardWriter::create(&over(&objects), info(1)).await.unwrap();
        for pair in large_pairs(7) {
            push(&mut writer, &pair).await.unwrap();
        }
        assert_eq!(objects.open_uploads.load(SeqCst), 1);
        if drop_it {
            drop(writer);
            all_ended(&objects).await;
        } else {
            writer.abort().await;
        }
        assert_eq!(objects.open_uploads.load(SeqCst), 0);
        assert_eq!(names(&objects).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_upload_is_aborted_though_nobody_waited_for_its_beginning() {
    let begin = Arc::new(Semaphore::new(0));
    let objects = Arc::new(Faulty {
        begin: Some(begin.clone()),
        ..Faulty::default()
    });
    let begun = async {
        while objects.open_uploads.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    let (store, rows) = (over(&objects), large_pairs(7));
    tokio::select! {
        written = write(&store, info(1), &rows) => panic!("{written:?}"),
        () = begun => {}
    }
    begin.add_permits(1);
    all_ended(&objects).await;
    assert_eq!(names(&objects).await, [""; 0]);
}

#[tokio::test]
async fn a_part_that_fails_ends_the_shard_in_one_line() {
    for from in [0, 2] {
        let objects = Arc::new(Faulty {
            fail_parts_from: Some(from),
            ..Faulty::default()
        });
        let error = write(&over(&objects), info(1), &large_pairs(7))
            .await
            .unwrap_err();
        assert!(matches!(error, DatasetError::Remote { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("mem://x/images/000000001.tar"), "{error}");
        assert!(error.contains("the line is cut"), "{error}");
        all_ended(&objects).await;
        assert_eq!(names(&objects).await, [""; 0]);
    }
}

#[tokio::test]
async fn without_its_manifest_a_shard_is_not_there() {
    let objects = Arc::new(Faulty {
        fail_put: Some(".json"),
        ..Faulty::default()
    });
    assert!(write(&over(&objects), info(1), &pairs(2)).await.is_err());
    assert_eq!(over(&objects).completed(&info(1)).await.unwrap(), None);
    assert!(
        !names(&objects)
            .await
            .iter()
            .any(|name| name.starts_with("stats/"))
    );
}

/// When an older run's shard is replaced, its manifest goes before its files do.
#[tokio::test]
async fn a_manifest_never_stands_beside_files_of_another_writer() {
    let objects = Arc::new(Faulty::default());
    write(&over(&objects), info(1), &pairs(2)).await.unwrap();
    let fails = Arc::new(Faulty {
        objects: objects.objects.clone(),
        fail_put: Some("text_emb_000000001.npy"),
        ..Faulty::default()
    });
    assert!(write(&over(&fails), info(1), &pairs(3)).await.is_err());
    assert_eq!(over(&objects).manifest(1).await.unwrap(), None);
}

#[tokio::test]
async fn who_is_overtaken_while_finishing_writes_no_manifest() {
    let objects = Arc::new(Faulty::default());
    *objects.rival.lock().unwrap() = Some(("text_emb_000000001.npy", "images/000000001.tar"));
    let error = write(&over(&objects), info(1), &pairs(2))
        .await
        .unwrap_err();
    assert!(matches!(error, DatasetError::Overtaken(_)), "{error}");
    assert!(
        error.to_string().contains("images/000000001.tar"),
        "{error}"
    );
    assert_eq!(over(&objects).manifest(1).await.unwrap(), None);
}
