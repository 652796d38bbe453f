//! WAT files on servers that fail, change and lie.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};
use bytes::Bytes;
use cah_worker::{Source, SourceError};
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
};

use crate::support::{Ask, part, read, serve, status};

const TEXT: &[u8] = b"0123456789abcdefghij";

#[tokio::test]
async fn a_cut_transfer_is_taken_up_where_it_stopped() {
    let server = serve(async |ask: Ask| match ask.count {
        // The length, then five bytes of the file and no more.
        1 => {
            let five = stream::iter([Ok(Bytes::from_static(&TEXT[..5]))]);
            let cut = stream::once(async {
                // Lets the server send what it has.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            let cut = five.chain(cut);
            let mut answer = part(TEXT, ask.range);
            *answer.body_mut() = Body::from_stream(cut);
            answer
        }
        2 => {
            assert_eq!(ask.range, Some((5, None)));
            part(TEXT, ask.range)
        }
        _ => part(TEXT, ask.range),
    })
    .await;
    let source = Source::open(&server.url).await.unwrap();
    assert_eq!(source.length(), TEXT.len() as u64);
    assert_eq!(read(&source, 0).await.unwrap(), TEXT);
    assert_eq!(server.asked(), 3);
}

#[tokio::test]
async fn a_server_without_ranges_will_do() {
    let server = serve(async |_| part(TEXT, None)).await;
    let source = Source::open(&server.url).await.unwrap();
    assert_eq!(source.length(), TEXT.len() as u64);
    assert_eq!(read(&source, 12).await.unwrap(), &TEXT[12..]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = serve(async |ask: Ask| match ask.count {
        0 => status(503),
        2 => status(429),
        _ => part(TEXT, ask.range),
    })
    .await;
    let source = Source::open(&server.url).await.unwrap();
    assert_eq!(read(&source, 3).await.unwrap(), &TEXT[3..]);
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn a_connection_that_breaks_at_once_is_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer = b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-0/20\r\nContent-Length: 1\r\n\r\n0";
        stream.write_all(answer).await.unwrap();
    });
    assert_eq!(Source::open(&url).await.unwrap().length(), 20);
}

#[tokio::test]
async fn what_does_not_pass_is_said_at_once() {
    let server = serve(async |ask: Ask| status(ask.path[1..].parse().unwrap())).await;
    let open = async |code: &str| {
        let asked = server.asked();
        let url = format!("{}/{code}", server.url);
        let error = Source::open(&url).await.unwrap_err();
        assert_eq!(server.asked(), asked + 1, "{code}");
        error
    };
    assert!(matches!(open("404").await, SourceError::NotFound(_)));
    assert!(matches!(open("410").await, SourceError::NotFound(_)));
    assert!(matches!(
        open("403").await,
        SourceError::Status { status: 403, .. }
    ));
}

#[tokio::test]
async fn a_file_that_changed_is_not_mixed_with_what_it_was() {
    let server = serve(async |ask: Ask| match ask.count {
        0 => part(TEXT, ask.range),
        _ => part(&TEXT[1..], ask.range),
    })
    .await;
    let source = Source::open(&server.url).await.unwrap();
    let error = read(&source, 4).await.unwrap_err();
    assert!(error.contains("changed while it was read"), "{error}");

    let shrunk = serve(async |ask: Ask| match ask.count {
        0 => part(TEXT, ask.range),
        _ => status(416),
    })
    .await;
    let source = Source::open(&shrunk.url).await.unwrap();
    let error = read(&source, 15).await.unwrap_err();
    assert!(error.contains("changed while it was read"), "{error}");
}

#[tokio::test]
async fn other_bytes_than_those_asked_for_are_refused() {
    let told: [Option<&str>; 3] = [Some("bytes 4-19/20"), Some("nonsense"), None];
    for told in told {
        let server = serve(move |ask: Ask| async move {
            if ask.count == 0 {
                return part(TEXT, ask.range);
            }
            let mut answer = Response::builder().status(StatusCode::PARTIAL_CONTENT);
            if let Some(told) = told {
                answer = answer.header(header::CONTENT_RANGE, told);
            }
            answer.body(Bytes::from_static(&TEXT[4..]).into()).unwrap()
        })
        .await;
        let source = Source::open(&server.url).await.unwrap();
        let error = read(&source, 5).await.unwrap_err();
        assert!(error.contains("its bytes from 5 on"), "{told:?}: {error}");
        assert_eq!(server.asked(), 2, "{told:?}");
    }
}

#[tokio::test]
async fn a_local_file_fails_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wat");
    std::fs::write(&path, TEXT).unwrap();
    let source = Source::open(path.to_str().unwrap()).await.unwrap();
    assert_eq!(read(&source, 15).await.unwrap(), &TEXT[15..]);
    std::fs::write(&path, &TEXT[..10]).unwrap();
    let error = read(&source, 0).await.unwrap_err();
    assert!(error.contains("changed while it was read"), "{error}");
}

/// The variable by which a test that starts itself again, for another environment, gives itself
/// the location to read.
const CHILD: &str = "CAH_WORKER_CHILD";

/// This test binary for one test alone, as the child of that test.
fn child(test: &str, location: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, location);
    command
}

async fn succeeds(command: &mut Command) {
    let output = command.output().await.unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_this_machine() {
    if let Ok(location) = std::env::var(CHILD) {
        let source = Source::open(&location).await.unwrap();
        assert_eq!(read(&source, 3).await.unwrap(), &TEXT[3..]);
        return;
    }
    let server = serve(async |ask: Ask| part(TEXT, ask.range)).await;
    let mut command = child(
        "sources::a_proxy_is_not_asked_for_this_machine",
        &server.url,
    );
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    succeeds(&mut command).await;
    assert_eq!(server.asked(), 2);
}

/// Longer than what is asked of a bucket at a time.
fn long() -> Vec<u8> {
    (0..9 << 20).map(|i: u32| (i % 251) as u8).collect()
}

/// Only the `AWS_*` variables are its settings, whatever else is there.
#[tokio::test]
async fn a_bucket_is_read_in_parts_and_asked_again() {
    if let Ok(location) = std::env::var(CHILD) {
        let source = Source::open(&location).await.unwrap();
        assert_eq!(source.length(), long().len() as u64);
        assert!(read(&source, 100).await.unwrap() == long()[100..]);
        let missing = Source::open("s3://bucket/missing").await.unwrap_err();
        assert!(matches!(missing, SourceError::NotFound(_)), "{missing}");
        return;
    }
    let content = Bytes::from(long());
    let server = serve(move |ask: Ask| {
        let content = content.clone();
        async move {
            match (ask.path.as_str(), ask.count) {
                (_, 0 | 2) => status(503),
                ("/bucket/a/b.wat.gz", _) => part(&content, ask.range),
                _ => status(404),
            }
        }
    })
    .await;
    let test = "sources::a_bucket_is_read_in_parts_and_asked_again";
    let mut command = child(test, "s3://bucket/a/b.wat.gz");
    command
        .env("AWS_ENDPOINT", &server.url)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("ENDPOINT", "http://127.0.0.1:1")
        .env("PROXY_URL", "http://127.0.0.1:1")
        .env("TOKEN", "of something else")
        .env("CAH_ODD", OsStr::from_bytes(b"\xff"));
    succeeds(&mut command).await;
    // Its length, then two parts; a failure before each; and the missing one.
    assert_eq!(server.asked(), 6);
}
