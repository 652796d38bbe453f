//! Files of shards: written whole or not at all, whatever breaks.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::StatusCode, response::Html, routing::get};
use crawlingathome::{
    Cpu, DownloadError, DownloadOptions, Gpu, GpuClient, Hybrid, HybridClient, Piece,
};

use crate::support::{again, file, given, gzip, names, shard, unmeasured, worker};

const CRAWL: &[u8] = include_bytes!("../../../cah-wat/tests/data/whirlwind.warc.wat.gz");

fn record(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let header = format!("WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    format!("{header}{body}\r\n\r\n").into_bytes()
}

/// Some records, each of another length.
fn records(count: u64) -> Vec<Vec<u8>> {
    let page = |n: u64| {
        let words: String = (0..20 + n % 90)
            .map(|w| format!("{:x}-", w * n * 7919))
            .collect();
        record("metadata", &format!(r#"{{"n":{n},"x":"{words}"}}"#))
    };
    let first = record("warcinfo", "software: a test\r\n");
    std::iter::once(first).chain((0..count).map(page)).collect()
}

fn members(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().flat_map(|record| gzip(record)).collect()
}

fn half() -> DownloadOptions {
    let mut options = DownloadOptions::default();
    options.piece_only = true;
    options
}

async fn hybrid(file: axum::routing::MethodRouter) -> HybridClient {
    worker::<Hybrid>(Router::new().route("/x.wat.gz", file), "").await
}

/// Downloads the file of [`hybrid`] into a folder.
async fn download(
    client: &HybridClient,
    folder: &Path,
    piece: Piece,
    options: &DownloadOptions,
) -> Result<Vec<u8>, DownloadError> {
    let shard = shard(client, "/x.wat.gz", piece);
    let path = client.download_shard(&shard, folder, options).await?;
    assert_eq!(path, folder.join("shard.wat"));
    assert_eq!(names(folder), ["shard.wat"]);
    Ok(fs::read(path).unwrap())
}

#[tokio::test]
async fn a_wat_file_is_written_whole_or_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("not/there/yet");
    let many = records(500);
    let plain = many.concat();
    let mut crawl = Vec::new();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(CRAWL), &mut crawl).unwrap();
    for (stored, inflated) in [
        (members(&many), plain.clone()),
        (CRAWL.to_vec(), crawl),
        (plain.clone(), plain),
    ] {
        let client = hybrid(file(stored, &[])).await;
        let whole = DownloadOptions::default();
        for piece in Piece::BOTH {
            let written = download(&client, &folder, piece, &whole).await.unwrap();
            assert!(written == inflated);
        }
        let first = download(&client, &folder, Piece::First, &half())
            .await
            .unwrap();
        let second = download(&client, &folder, Piece::Second, &half())
            .await
            .unwrap();
        assert!(!first.is_empty() && (!second.is_empty() || inflated.len() < 10_000));
        assert!([first, second].concat() == inflated);
    }
}

#[tokio::test]
async fn a_transfer_that_breaks_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(2_000);
    let stored = members(&records);
    let cuts = [0, 1, stored.len() / 3, 70_000];
    let client = hybrid(file(stored.clone(), &cuts)).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let mut options = DownloadOptions::default();
    options.progress = Some(Arc::new(move |done, total| {
        telling.lock().unwrap().push((done, total));
    }));
    let written = download(&client, folder.path(), Piece::First, &options)
        .await
        .unwrap();
    assert!(written == records.concat());
    let told = told.lock().unwrap();
    assert!(told.is_sorted());
    assert_eq!(
        told.last(),
        Some(&(stored.len() as u64, stored.len() as u64))
    );
}

#[tokio::test]
async fn what_is_damaged_does_not_replace_an_older_file() {
    let sound = members(&records(50));
    let mut damaged = sound.clone();
    let at = damaged.len() / 4;
    damaged[at..at + 40].fill(0x55);
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("shard.wat");
    fs::write(&old, "old").unwrap();
    // What a worker left that was killed.
    fs::write(folder.path().join(".shard.wat.x.part"), "half").unwrap();
    // A last member that is cut in its content, and one that is cut in its checksum.
    let cases = [
        (sound[..sound.len() - 60].to_vec(), Piece::Second),
        (sound[..sound.len() - 4].to_vec(), Piece::Second),
        (damaged, Piece::First),
        ([&sound, b"<html>".as_slice()].concat(), Piece::Second),
    ];
    for (stored, piece) in cases {
        let client = hybrid(file(stored, &[])).await;
        for options in [DownloadOptions::default(), half()] {
            let error = download(&client, folder.path(), piece, &options)
                .await
                .unwrap_err();
            assert!(matches!(error, DownloadError::Damaged { .. }), "{error}");
            assert!(error.is_of_the_url(), "{error}");
            assert_eq!(names(folder.path()), ["shard.wat"]);
            assert_eq!(fs::read(&old).unwrap(), b"old");
        }
    }
}

#[tokio::test]
async fn what_is_no_wat_file_has_no_halves() {
    let folder = tempfile::tempdir().unwrap();
    let page = b"<!DOCTYPE html><p>Not found</p>".repeat(100);
    let client = hybrid(file(page, &[])).await;
    for piece in Piece::BOTH {
        let error = download(&client, folder.path(), piece, &half())
            .await
            .unwrap_err();
        assert!(matches!(error, DownloadError::NotAWat { .. }), "{error}");
        assert!(error.is_of_the_url());
    }
    let client = hybrid(get(|| async { "" })).await;
    let whole = DownloadOptions::default();
    let error = download(&client, folder.path(), Piece::First, &whole)
        .await
        .unwrap_err();
    assert!(matches!(error, DownloadError::NotAWat { .. }), "{error}");
}

#[tokio::test]
async fn whose_fault_it_is_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let routes = Router::new()
        .route("/here", file(members(&records(5)), &[]))
        .route("/forbidden", get(|| async { StatusCode::FORBIDDEN }));
    let client = worker::<Hybrid>(routes, "").await;
    let mut public = DownloadOptions::default();
    public.allow_private_addresses = Some(false);
    let usual = DownloadOptions::default();
    for (url, options, is_of_the_url) in [
        ("/missing", &usual, true),
        ("/forbidden", &usual, false),
        ("gopher://example.org/x", &usual, true),
        ("no/such/file", &usual, true),
        ("http://", &usual, true),
        ("s3://", &usual, true),
        ("/here", &public, false),
        ("file:///etc/passwd", &public, false),
        ("any text", &public, true),
    ] {
        let shard = shard(&client, url, Piece::First);
        let error = client.download_shard(&shard, folder.path(), options).await;
        let error = error.unwrap_err();
        assert_eq!(error.is_of_the_url(), is_of_the_url, "{url}: {error}");
        assert!(names(folder.path()).is_empty());
    }
    // A folder that is a file is this machine's.
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    let shard = shard(&client, "/here", Piece::First);
    let error = client
        .download_shard(&shard, &taken, &usual)
        .await
        .unwrap_err();
    assert!(matches!(&error, DownloadError::Write { .. }), "{error}");
    assert!(!error.is_of_the_url() && error.to_string().contains("taken/shard.wat"));
}

/// A disk on which there is no room for it.
#[tokio::test]
#[cfg(unix)]
async fn a_file_that_does_not_fit_is_named() {
    let records = records(8_000);
    if given().is_some() {
        let folder = tempfile::tempdir().unwrap();
        let client = hybrid(file(members(&records), &[])).await;
        for options in [DownloadOptions::default(), half()] {
            let error = download(&client, folder.path(), Piece::First, &options).await;
            let error = error.unwrap_err();
            assert!(matches!(&error, DownloadError::Write { .. }), "{error}");
            let path = folder.path().join("shard.wat");
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
            assert!(!error.is_of_the_url());
            assert!(names(folder.path()).is_empty());
        }
        let client = worker::<Gpu>(archive("/1.tar", vec![0; 3 << 20]), "").await;
        let shard = shard(&client, "/1.tar", Piece::First);
        let images = folder.path().join("images");
        let error = client
            .download_shard(&shard, &images, &DownloadOptions::default())
            .await;
        let error = error.unwrap_err();
        assert!(
            !error.is_of_the_url() && error.to_string().contains("images/1"),
            "{error}"
        );
        assert!(names(folder.path()).is_empty());
        return;
    }
    assert!(records.concat().len() > 3 << 20);
    // Half a MiB, or one, by the shell: the limit is counted in blocks of 512 or 1,024 bytes.
    let limit = "trap '' XFSZ; ulimit -f 1024";
    again(
        "download::a_file_that_does_not_fit_is_named",
        limit,
        "x",
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_download_that_is_dropped_leaves_nothing() {
    let stalling = get(|| async {
        let some = Ok::<_, std::io::Error>(bytes::Bytes::from(members(&records(500))));
        let body =
            futures::StreamExt::chain(futures::stream::iter([some]), futures::stream::pending());
        (
            [("content-length", "9999999")],
            axum::body::Body::from_stream(body),
        )
    });
    let client = hybrid(stalling).await;
    let folder = tempfile::tempdir().unwrap();
    let shard = shard(&client, "/x.wat.gz", Piece::First);
    let options = DownloadOptions::default();
    let mut download = Box::pin(client.download_shard(&shard, folder.path(), &options));
    let written = async {
        while names(folder.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = &mut download => panic!("{done:?}"),
        () = written => {}
    }
    drop(download);
    let gone = async {
        while !names(folder.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
    gone.expect("the part of a dropped download stays");
}

/// A tar with one image.
fn images(image: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(image.len() as u64);
    tar.append_data(&mut header, "images/1.jpg", image).unwrap();
    tar.into_inner().unwrap()
}

fn archive(path: &str, image: Vec<u8>) -> Router {
    Router::new().route(path, file(images(&image), &[]))
}

async fn extracted(client: &GpuClient, url: &str) -> Result<Vec<u8>, DownloadError> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("images");
    let shard = shard(client, url, Piece::First);
    let options = DownloadOptions::default();
    let (spawned, within) = (client.clone(), target.clone());
    let download = async move { spawned.download_shard(&shard, &within, &options).await };
    let result = tokio::spawn(download).await.unwrap();
    if result.is_err() && target.exists() {
        assert!(names(&target).is_empty());
    }
    let extracted = result?;
    assert_eq!(names(&target), ["images"]);
    let image = fs::read(target.join("images/1.jpg")).unwrap();
    assert_eq!((extracted.files, extracted.bytes), (1, image.len() as u64));
    Ok(image)
}

#[tokio::test]
async fn what_was_handed_over_is_extracted() {
    let image: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(n) % 251) as u8)
        .collect();
    let tar = images(&image);
    let routes = Router::new()
        .route("/staging/1.tar", file(tar.clone(), &[1000, 50_000]))
        .route("/staging/2", file(gzip(&tar), &[3]));
    let client = worker::<Gpu>(routes, "HERE/staging/").await;
    for url in ["/staging/1.tar", "rsync 1.tar", "rsync   2"] {
        assert!(extracted(&client, url).await.unwrap() == image, "{url}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.tar");
    fs::write(&path, &tar).unwrap();
    let url = format!("file://{}", path.display());
    assert!(extracted(&client, &url).await.unwrap() == image);
    for missing in ["rsync 3.tar", "/nothing"] {
        let error = extracted(&client, missing).await.unwrap_err();
        assert!(error.is_of_the_url(), "{error}");
    }
}

/// The operator names several places, one of which is drawn for each worker, and clients of old leave
/// an ending out.
#[tokio::test]
async fn a_name_is_looked_for_in_all_places_that_cpu_workers_are_told() {
    let tar = gzip(&images(b"image"));
    let routes = Router::new().route("/3/1.tar.gz", file(tar, &[]));
    let client = worker::<Gpu>(routes, "HERE/COUNT").await;
    assert_eq!(extracted(&client, "rsync 1").await.unwrap(), b"image");
    let missing = extracted(&client, "rsync 2").await.unwrap_err();
    assert!(missing.is_of_the_url(), "{missing}");
}

/// A server that makes the tar while it sends it.
#[tokio::test]
async fn a_file_of_unknown_length_is_read_to_its_end() {
    let image = vec![7; 300_000];
    let tar = images(&image);
    let records = records(500);
    let stored = members(&records);
    let routes = Router::new()
        .route("/1", unmeasured(tar.clone(), false, &[]))
        .route("/2", unmeasured(tar.clone(), true, &[1_000, 70_000]))
        .route("/cut", unmeasured(tar, false, &[1_000]));
    let client = worker::<Gpu>(routes, "").await;
    for url in ["/1", "/2"] {
        assert!(extracted(&client, url).await.unwrap() == image, "{url}");
    }
    let cut = extracted(&client, "/cut").await.map(drop).unwrap_err();
    assert!(cut.to_string().contains("broke off"), "{cut}");
    assert!(!cut.is_of_the_url());

    let folder = tempfile::tempdir().unwrap();
    let client = hybrid(unmeasured(stored, false, &[])).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let mut options = DownloadOptions::default();
    options.progress = Some(Arc::new(move |done, total| {
        telling.lock().unwrap().push((done, total));
    }));
    let whole = download(&client, folder.path(), Piece::First, &options);
    assert!(whole.await.unwrap() == records.concat());
    assert!(
        told.lock()
            .unwrap()
            .iter()
            .all(|(done, total)| done == total)
    );
    // It has no middle that could be known, but may be well.
    let error = download(&client, folder.path(), Piece::First, &half()).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("cut in two"), "{error}");
    assert!(!error.is_of_the_url(), "{error}");
}

/// What no server tells the length of is limited by what comes.
#[tokio::test]
async fn the_limits_hold_for_a_file_of_unknown_length() {
    let routes = Router::new().route("/1", unmeasured(images(&[7; 300_000]), false, &[]));
    let client = worker::<Gpu>(routes, "").await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = DownloadOptions::default();
    options.limits.total = 100_000;
    let shard = shard(&client, "/1", Piece::First);
    let error = client.download_shard(&shard, folder.path(), &options).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn hostile_archives_are_of_the_url() {
    let mut escaping = tar::Header::new_gnu();
    escaping.as_mut_bytes()[..9].copy_from_slice(b"../escape");
    escaping.set_size(0);
    escaping.set_cksum();
    let escaping = [escaping.as_bytes().to_vec(), vec![0; 1024]].concat();
    let tar = images(b"x");
    let page = || async { Html("<html>gone</html>") };
    let routes = Router::new()
        .route("/escaping", file(escaping, &[]))
        .route("/cut", file(tar[..tar.len() - 1024].to_vec(), &[]))
        .route("/page", get(page));
    let client = worker::<Gpu>(routes, "").await;
    for url in ["/escaping", "/cut", "/page"] {
        let error = extracted(&client, url).await.unwrap_err();
        assert!(matches!(error, DownloadError::Archive { .. }), "{error}");
        assert!(
            error.is_of_the_url() && error.to_string().contains(url),
            "{error}"
        );
    }
}

#[tokio::test]
#[cfg(unix)]
async fn rsync_is_asked_where_only_it_knows_the_way() {
    let test = "download::rsync_is_asked_where_only_it_knows_the_way";
    match given().as_deref() {
        Some("installed") => {
            let client = worker::<Gpu>(Router::new(), "rsync://files.lan/").await;
            assert_eq!(extracted(&client, "rsync 1.tar").await.unwrap(), b"image");
            let missing = extracted(&client, "rsync 2.tar").await.unwrap_err();
            assert!(missing.is_of_the_url(), "{missing}");
        }
        Some(_) => {
            let client = worker::<Gpu>(Router::new(), "rsync://files.lan/").await;
            let error = extracted(&client, "rsync 1.tar").await.unwrap_err();
            assert!(error.to_string().contains("not installed"), "{error}");
            assert!(!error.is_of_the_url());
        }
        None => {
            let folder = tempfile::tempdir().unwrap();
            let files = folder.path().to_str().unwrap();
            fs::write(folder.path().join("1.tar"), images(b"image")).unwrap();
            let path = crate::support::rsync(folder.path());
            let env = [("PATH", path.as_str()), ("FILES", files)];
            again(test, ":", "installed", &env).await;
            // After the shell was found.
            again(test, "PATH=/nowhere", "missing", &[]).await;
        }
    }
}

#[tokio::test]
async fn a_cpu_worker_gets_its_wat_file_too() {
    let routes = Router::new().route("/x", file(members(&records(3)), &[]));
    let client = worker::<Cpu>(routes, "").await;
    let folder = tempfile::tempdir().unwrap();
    let shard = shard(&client, "/x", Piece::Second);
    let target = folder.path().to_owned();
    // On whatever thread the runtime likes.
    let download = tokio::spawn(async move {
        let options = DownloadOptions::default();
        client.download_shard(&shard, &target, &options).await
    });
    let path = download.await.unwrap().unwrap();
    assert_eq!(fs::read(path).unwrap(), records(3).concat());
}
