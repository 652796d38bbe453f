//! Whole shards, from the WAT file to the manifest.

use std::{sync::Arc, time::Duration};

use axum::http::{Response, header};
use bytes::Bytes;
use cah_dataset::Store;
use cah_protocol::Outcome;
use cah_worker::{Progress, ShardReport, shards_of};
use object_store::{ObjectStore, memory::InMemory};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{
    rival::{self, Rival},
    support::{Ask, GIF, Server, image, part, pipeline, serve, wat},
};

fn over(objects: Arc<dyn ObjectStore>) -> Store {
    Store::over(objects, "mem://x")
}

/// The images of the test, each half a mebibyte.
const IMAGES: usize = 600;

/// What may wait behind a slow answer at most, in images; see `pipeline::room`.
const MOST: usize = 2 * 96 * 2;

/// The first answer comes when all others that are asked for have come.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_does_not_fill_the_memory() {
    let body = Bytes::from(vec![7; 512 << 10]);
    let (release, released) = watch::channel(false);
    let server = serve(move |ask: Ask| {
        let (body, mut released) = (body.clone(), released.clone());
        async move {
            if ask.path == "/0.jpg" {
                released.wait_for(|released| *released).await.unwrap();
            }
            let answer = Response::builder().header(header::CONTENT_TYPE, "image/jpeg");
            answer.body(body.into()).unwrap()
        }
    })
    .await;
    let images = (0..IMAGES).map(|i| image(&format!("{}/{i}.jpg", server.url), "a caption"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wat.gz");
    std::fs::write(&path, wat(&images.collect::<Vec<_>>())).unwrap();
    let shard = shards_of(&[path.display().to_string()]).remove(0);
    let pipeline = pipeline(|config| config.fetch.in_flight = 128);
    let shard = tokio::spawn(async move {
        let store = over(Arc::new(InMemory::new()));
        pipeline.run_own(&shard, &store, &Progress::default()).await
    });

    let mut asked = 0;
    while asked == 0 || asked < server.asked() {
        asked = server.asked();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((128..=MOST).contains(&asked), "{asked} images came");
    release.send(true).unwrap();
    let manifest = shard.await.unwrap().unwrap();
    let manifest = manifest.manifest().unwrap();
    assert_eq!(manifest.outcomes.get(Outcome::UnknownFormat), IMAGES as u64);
    assert_eq!(server.asked(), IMAGES, "none is fetched twice");
}

/// A WAT file with one image, and the server that has it.
struct OneImage {
    folder: TempDir,
    _server: Server,
}

impl OneImage {
    async fn new() -> Self {
        let server = serve(async |ask: Ask| part(GIF, ask.range)).await;
        let folder = tempfile::tempdir().unwrap();
        let image = image(&format!("{}/a.jpg", server.url), "a white pixel");
        std::fs::write(folder.path().join("a.wat.gz"), wat(&[image])).unwrap();
        Self {
            folder,
            _server: server,
        }
    }

    async fn run(&self, objects: Arc<dyn ObjectStore>) -> ShardReport {
        let path = self.folder.path().join("a.wat.gz");
        let shard = &shards_of(&[path.display().to_string()])[0];
        let pipeline = pipeline(|config| config.rival_patience = Duration::from_millis(10));
        let progress = Progress::default();
        let report = pipeline.run_own(shard, &over(objects), &progress).await;
        report.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_by_a_worker_that_dies_does_the_shard_again() {
    let shard = OneImage::new().await;
    let objects = Arc::new(Rival::bringing([(
        "images/000000001.tar".into(),
        "half".into(),
    )]));
    let report = shard.run(objects.clone()).await;
    assert!(objects.came());
    assert!(!report.was_there);
    let manifest = report.manifest().unwrap().clone();
    assert_eq!((manifest.candidates, manifest.pairs), (1, 1));
    let stored = over(objects).manifest(1).await.unwrap();
    assert_eq!(stored, Some(manifest));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_takes_the_shard_of_who_was_faster() {
    let shard = OneImage::new().await;
    let other = Arc::new(InMemory::new());
    let theirs = shard.run(other.clone()).await;
    let theirs = theirs.manifest();
    let objects = Arc::new(Rival::bringing(rival::objects(&other).await));
    let report = shard.run(objects.clone()).await;
    assert!(objects.came());
    assert!(report.was_there);
    assert_eq!(report.manifest(), theirs);
}
