//! What the tests of files share: a server that breaks off, trackers with a file for everybody, and
//! tests that start themselves again.

use std::{
    collections::VecDeque,
    fs,
    io::Write,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
    routing::{MethodRouter, get},
};
use bytes::Bytes;
use crawlingathome::{Client, Kind, Piece, Shard};
use flate2::{Compression, write::GzEncoder};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::{config, serve};

/// A file on a server that knows ranges. Answers with bytes break off after so many of them each, as
/// long as there are such numbers; then they are whole.
pub(crate) fn file(content: Vec<u8>, cuts: &[usize]) -> MethodRouter {
    let content = Bytes::from(content);
    let cuts = Arc::new(Mutex::new(VecDeque::from(cuts.to_vec())));
    get(move |headers: HeaderMap| {
        let range = headers[header::RANGE].to_str().unwrap().to_owned();
        // The first question is for the length.
        let cut = match range.as_str() {
            "bytes=0-0" => None,
            _ => cuts.lock().unwrap().pop_front(),
        };
        let answer = part(&content, &range, cut);
        async move { answer }
    })
}

fn part(content: &Bytes, range: &str, cut: Option<usize>) -> Response {
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let first = first.parse::<usize>().unwrap();
    let end = last
        .parse()
        .map_or(content.len(), |last: usize| content.len().min(last + 1));
    if first >= end {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        return Response::builder()
            .status(status)
            .body(Body::empty())
            .unwrap();
    }
    let bytes = content.slice(first..end);
    let body = match cut {
        None => Body::from(bytes.clone()),
        Some(cut) => {
            let sent = bytes.slice(..cut.min(bytes.len()));
            let broken = Err(std::io::Error::other("cut"));
            Body::from_stream(futures::stream::iter([Ok(sent), broken]))
        }
    };
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_LENGTH, bytes.len())
        .header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{}", end - 1, content.len()),
        )
        .body(body)
        .unwrap()
}

/// As [`file`], on a server that makes the file while it sends it, and so tells no length; one that
/// knows ranges where it sends `parts`.
pub(crate) fn unmeasured(content: Vec<u8>, parts: bool, cuts: &[usize]) -> MethodRouter {
    let content = Bytes::from(content);
    let cuts = Arc::new(Mutex::new(VecDeque::from(cuts.to_vec())));
    get(move |headers: HeaderMap| {
        let range = headers.get(header::RANGE);
        let range = range.map(|range| range.to_str().unwrap().to_owned());
        let cut = match range.as_deref() {
            Some("bytes=0-0") => None,
            _ => cuts.lock().unwrap().pop_front(),
        };
        let first = range.filter(|_| parts).map(|range| {
            let (first, _) = range[6..].split_once('-').unwrap();
            first.parse::<usize>().unwrap()
        });
        let bytes = content.slice(first.unwrap_or(0)..);
        let sent = bytes.slice(..cut.unwrap_or(bytes.len()).min(bytes.len()));
        let broken = cut.map(|_| async {
            // Lets the server send what it has.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("cut"))
        });
        let sent = stream::iter([Ok(sent)]);
        // The length of a stream is not known.
        let body = Body::from_stream(sent.chain(stream::iter(broken).then(|broken| broken)));
        let mut answer = Response::new(body);
        if let Some(first) = first {
            let told = format!("bytes {first}-{}/*", content.len() - 1);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let told = told.parse().unwrap();
            answer.headers_mut().insert(header::CONTENT_RANGE, told);
        }
        async move { answer }
    })
}

/// A worker of a tracker that has these routes beside, and tells this upload address, in which
/// `HERE` is its own and `COUNT` how often it was told.
pub(crate) async fn worker<K: Kind>(routes: Router, upload_address: &str) -> Client<K> {
    let upload_address = upload_address.to_owned();
    let told = Arc::new(AtomicU32::new(0));
    let address = move |headers: &HeaderMap| {
        let here = format!("http://{}", headers[header::HOST].to_str().unwrap());
        let count = told.fetch_add(1, Relaxed).to_string();
        upload_address
            .replace("HERE", &here)
            .replace("COUNT", &count)
    };
    let again = address.clone();
    let join = move |headers: HeaderMap| async move {
        axum::Json(json!({
            "display_name": "calm-river-1",
            "token": "t",
            "upload_address": address(&headers),
        }))
    };
    let routes = routes.route("/api/new", get(join)).route(
        "/api/getUploadAddress",
        get(async move |uri: Uri, headers: HeaderMap| {
            // Only CPU workers bring anything.
            assert!(uri.query().unwrap().contains("type=CPU"), "{uri}");
            again(&headers)
        }),
    );
    let url = serve(routes).await;
    Client::connect(config(&url)).await.unwrap()
}

/// A shard at a place below the worker's tracker, or wherever else the URL leads.
pub(crate) fn shard<K: Kind>(client: &Client<K>, url: &str, piece: Piece) -> Shard {
    let url = match url.strip_prefix('/') {
        Some(path) => format!("{}{path}", client.url()),
        None => url.to_owned(),
    };
    Shard::of_chunk(1, piece, url)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The variable that tells a test that it was started by itself.
const CHILD: &str = "CRAWLINGATHOME_TEST_CHILD";

/// What a test gave itself.
pub(crate) fn given() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Starts a test again, by a shell that does `first`, and expects it to go well.
pub(crate) async fn again(test: &str, first: &str, given: &str, env: &[(&str, &str)]) {
    let mut command = Command::new("sh");
    let own = std::env::current_exe().unwrap();
    let run = format!("{first}; exec \"$0\" {test} --exact --nocapture --test-threads=1");
    command.args(["-c", &run]).arg(own).env(CHILD, given);
    command.envs(env.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

/// A program called `rsync` that copies below a folder what is asked of `rsync://files.lan/`, or
/// brought there, if it could log in nowhere; once in vain where there is a file `busy`. Gives the
/// `PATH` with it.
#[cfg(unix)]
pub(crate) fn rsync(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script = r#"#!/bin/sh
if "$RSYNC_RSH"; then exit 14; fi
while [ "$1" != "--" ]; do shift; done
from=$(echo "$2" | sed "s|^rsync://files.lan|$FILES|")
to=$(echo "$3" | sed "s|^rsync://files.lan|$FILES|")
if [ -e "$FILES/busy" ]; then
    rm "$FILES/busy"
    echo "@ERROR: max connections (1) reached -- try again later" >&2
    exit 5
fi
if [ ! -e "$from" ]; then
    echo "rsync: link_stat \"$from\" failed: No such file or directory (2)" >&2
    exit 23
fi
cp "$from" "$to"
"#;
    let program = folder.join("rsync");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", folder.display())
}
