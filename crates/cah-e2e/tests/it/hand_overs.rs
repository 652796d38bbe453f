//! What CPU workers hand over comes from anybody: what cannot be used goes back, and stops nobody.

use std::{fs::File, io::Read, path::Path};

use cah_dataset::{FetchedRow, HandOver, HandOverPacker};
use cah_demo::{Config, MiniWeb};
use cah_protocol::{Outcome, OutcomeCounts, Shard};
use crawlingathome::{ClientConfig, CpuClient};
use sha2::{Digest, Sha256};

use crate::harness::{Served, cah, fail, files_below, gpu_worker, manifests, succeed};

fn row(index: u64, image: &[u8]) -> FetchedRow {
    FetchedRow {
        index,
        url: "https://example.org/a.jpg".into(),
        text: "a caption".into(),
        license: None,
        language: None,
        page_url: "https://example.org/".into(),
        mime: String::new(),
        sha256: Sha256::digest(image).into(),
        md5: [0; 16],
    }
}

/// Packs these images for a shard; what the table says of them may differ.
fn pack(tar: &Path, shard: &Shard, images: &[&[u8]], rows: Vec<FetchedRow>) {
    let about = HandOver {
        shard: shard.clone(),
        settings: [].into(),
        candidates: rows.len() as u64,
        outcomes: OutcomeCounts::default(),
        program: "a test".into(),
    };
    let mut packer = HandOverPacker::open(tar, shard.number).unwrap();
    for (index, image) in (0..).zip(images) {
        packer.push(&row(index, image), image).unwrap();
    }
    packer.finish(&about, rows.into_iter().map(Ok)).unwrap();
}

/// Leaves the table as it is, and puts a file where the folder of the images should be.
fn put_a_file_for_the_images(tar: &Path) {
    let packed = std::fs::read(tar).unwrap();
    let mut changed = tar::Builder::new(File::create(tar).unwrap());
    for entry in tar::Archive::new(packed.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut header, mut content) = (entry.header().clone(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path().unwrap();
        let name = if path.starts_with("images") {
            Path::new("images")
        } else {
            &path
        };
        changed
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    changed.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_flagged() {
    let config = Config {
        pages: 10,
        wats: 4,
        ..Config::default()
    };
    let web = MiniWeb::build(config).unwrap().serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Whatever is handed over for it, no job is parked.
    let flags = vec!["--max-failures=100".to_owned()];
    let tracker = Served::web_with(folder.path(), &web, "", flags).await;
    let jobs = tracker.open_jobs().await;
    let out = folder.path().join("out");
    let image: &[u8] = b"no image, but bytes";
    type Make = fn(&Path, &Shard, &[u8]);
    let makes: [(&str, Make); 7] = [
        ("cannot be extracted", |tar, _, _| {
            std::fs::write(tar, "no tar").unwrap()
        }),
        ("has no candidates.parquet", |tar, _, _| {
            std::fs::write(tar, [0; 1024]).unwrap();
        }),
        ("is of shard", |tar, shard, image| {
            let other = Shard::numbered(shard.number + 2, &shard.url);
            pack(tar, &other, &[image], vec![row(0, image)]);
        }),
        ("is missing", |tar, shard, image| {
            pack(tar, shard, &[image], vec![row(0, image), row(1, image)]);
        }),
        ("is missing", |tar, shard, image| {
            pack(tar, shard, &[image], vec![row(0, image)]);
            put_a_file_for_the_images(tar);
        }),
        ("is not what was downloaded", |tar, shard, image| {
            pack(tar, shard, &[image], vec![row(0, b"something else")]);
        }),
        ("no address of an image", |tar, shard, image| {
            let mut row = row(0, image);
            row.url = "file:///etc/passwd".into();
            pack(tar, shard, &[image], vec![row]);
        }),
    ];
    for (why, make) in makes {
        let client = CpuClient::connect(ClientConfig::new(tracker.url(), "mallory")).await;
        let client = client.unwrap();
        let lease = client.lease().await.unwrap();
        let tar = folder.path().join("images.tar");
        let _ = std::fs::remove_file(&tar);
        make(&tar, lease.shard(), image);
        let url = client.upload(&tar).await.unwrap();
        lease.complete(&url).await.unwrap();
        assert_eq!(tracker.open_jobs().await, jobs - 1, "{why}");
        let one = ["--shards-at-once=1"];
        let said = fail(&mut gpu_worker(&tracker.url(), &web, &out, &one));
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!(tracker.open_jobs().await, jobs, "{why}: it went back");
        assert_eq!(files_below(&out), [""; 0].map(std::path::PathBuf::from));
        client.bye().await.unwrap();
    }
}

/// The memory is the worker's own: what a hand-over says about itself raises no limit.
#[tokio::test(flavor = "multi_thread")]
async fn images_above_the_own_limit_are_left_out() {
    let config = Config {
        pages: 10,
        wats: 1,
        ..Config::default()
    };
    let web = MiniWeb::build(config).unwrap().serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let client = CpuClient::connect(ClientConfig::new(tracker.url(), "ada")).await;
    let client = client.unwrap();
    let (short, long): (&[u8], &[u8]) = (b"no image, but bytes", &[7; 5000]);
    while let Ok(lease) = client.lease().await {
        let tar = folder.path().join("images.tar");
        let _ = std::fs::remove_file(&tar);
        let rows = vec![row(0, short), row(1, long)];
        pack(&tar, lease.shard(), &[short, long], rows);
        let url = client.upload(&tar).await.unwrap();
        lease.complete(&url).await.unwrap();
    }
    let out = folder.path().join("out");
    let limit = ["--max-image-bytes=4999"];
    succeed(&mut gpu_worker(&tracker.url(), &web, &out, &limit));
    for manifest in manifests(&out).await.into_values() {
        assert_eq!(manifest.outcomes.get(Outcome::BodyTooLarge), 1);
        assert_eq!(manifest.candidates, 2);
        assert_eq!(manifest.thresholds["max_image_bytes"], 4999);
    }
    assert_eq!(tracker.data().await["completion_str"], "2 / 2");
}

#[test]
fn types_say_what_they_lack() {
    let worker = |more: &[&str]| {
        let mut command = cah();
        command.args(["worker", "--tracker", "http://127.0.0.1:9"]);
        fail(command.args(more))
    };
    let said = worker(&["--type=gpu"]);
    assert!(said.contains("--out"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let said = worker(&["--type=hybrid", "--out", &out]);
    assert!(said.contains("--model"), "{said}");
    let state = folder.path().join("state").display().to_string();
    let said = worker(&["--type=cpu", "--connect-timeout=0", "--state", &state]);
    assert!(said.contains("no tracker answers"), "{said}");
}
