//! What a CPU worker brings to its upload address.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, put},
};
use bytes::Bytes;
use crawlingathome::{Cpu, CpuClient, UploadError, UploadOptions};

use crate::support::{again, given, names, worker};

/// A file to be uploaded, as long as the folder lives.
fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.tar");
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// What was brought: where, with what headers, and what.
type Brought = Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>;

/// A server that answers the calls in turn, and the last answer again and again.
fn takes(answers: Vec<(StatusCode, &'static str)>) -> (Router, Brought) {
    let brought = Brought::default();
    let taken = brought.clone();
    let take = move |uri: Uri, headers: HeaderMap, body: Body| {
        let (taken, answers) = (taken.clone(), answers.clone());
        async move {
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let mut taken = taken.lock().unwrap();
            let turn = taken.len().min(answers.len() - 1);
            taken.push((uri, headers, body));
            answers[turn]
        }
    };
    (Router::new().route("/{*path}", put(take)), brought)
}

#[tokio::test]
async fn a_server_that_fails_first_gets_the_file() {
    let content = vec![7; 1_000_000];
    let (_folder, path) = file(&content);
    let (routes, brought) = takes(vec![
        (StatusCode::SERVICE_UNAVAILABLE, "not now"),
        (StatusCode::BAD_GATEWAY, "restarting"),
        (StatusCode::CREATED, "http://tracker.example/staging/1-abc"),
    ]);
    let client = worker::<Cpu>(routes, "HERE/staging/KEY/").await;
    let told = Arc::new(Mutex::new((0, 0)));
    let telling = told.clone();
    let mut options = UploadOptions::default();
    options.progress = Some(Arc::new(move |done, total| {
        *telling.lock().unwrap() = (done, total)
    }));
    let url = client.upload_with(&path, &options).await.unwrap();
    assert_eq!(url, "http://tracker.example/staging/1-abc");
    assert_eq!(*told.lock().unwrap(), (1_000_000, 1_000_000));
    let brought = brought.lock().unwrap();
    assert_eq!(brought.len(), 3);
    for (uri, headers, body) in brought.iter() {
        assert_eq!(headers[header::CONTENT_LENGTH], "1000000");
        assert!(*body == content);
        assert_eq!(uri.path(), brought[0].0.path());
        let name = uri.path().strip_prefix("/staging/KEY/").unwrap();
        let random = name.strip_suffix(".tar").unwrap();
        assert!(
            random.len() == 32 && random.chars().all(|c| c.is_ascii_hexdigit()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_presigned_url_is_taken_as_it_is() {
    let (_folder, path) = file(b"images");
    let (routes, brought) = takes(vec![(StatusCode::OK, "")]);
    let client = worker::<Cpu>(routes, "HERE/bucket/1.tar?X-Amz-Signature=secret").await;
    let url = client.upload(&path).await.unwrap();
    assert_eq!(url, format!("{}bucket/1.tar", client.url()));
    let brought = brought.lock().unwrap();
    assert_eq!(brought[0].0, "/bucket/1.tar?X-Amz-Signature=secret");
}

#[tokio::test]
async fn each_file_has_an_address_of_its_own() {
    let (_folder, path) = file(b"images");
    let (routes, brought) = takes(vec![(StatusCode::OK, "")]);
    let client = worker::<Cpu>(routes, "HERE/bucket/COUNT.tar?X-Amz-Signature=secret").await;
    for count in 1..3 {
        let url = client.upload(&path).await.unwrap();
        assert_eq!(url, format!("{}bucket/{count}.tar", client.url()));
    }
    assert_eq!(brought.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_and_final() {
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    // As servers refuse that do not read what they do not want.
    let refuse = move |method: Method| {
        *counted.lock().unwrap() += u32::from(method == Method::PUT);
        async { (StatusCode::PAYLOAD_TOO_LARGE, "100 bytes at most") }
    };
    let routes = Router::new()
        .route("/KEY/{name}", any(refuse))
        .route(
            "/moved/{name}",
            put(|| async { Redirect::temporary("/KEY/x") }),
        )
        .route("/forbidden/{name}", put(|| async { StatusCode::FORBIDDEN }));
    let client = worker::<Cpu>(routes.clone(), "HERE/KEY/").await;
    // The server hangs up on the long one.
    for length in [10, 20 << 20] {
        let (_folder, path) = file(&vec![7; length]);
        let error = client.upload(&path).await.unwrap_err();
        assert!(
            matches!(error, UploadError::Refused { status: 413, .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("100 bytes at most") && !text.contains("KEY"),
            "{text}"
        );
        if length == 10 {
            assert_eq!(*calls.lock().unwrap(), 1);
        }
    }
    let (_folder, path) = file(b"images");
    let moved = worker::<Cpu>(routes.clone(), "HERE/moved/").await;
    let error = moved.upload(&path).await.unwrap_err();
    assert!(
        matches!(error, UploadError::Refused { status: 307, .. }),
        "{error}"
    );
    let forbidden = worker::<Cpu>(routes, "HERE/forbidden/").await;
    let error = forbidden.upload(&path).await.unwrap_err();
    assert!(
        matches!(error, UploadError::Refused { status: 403, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    let (_folder, path) = file(b"images");
    let missing = path.with_file_name("missing.tar");
    let client = worker::<Cpu>(Router::new(), "HERE/x/").await;
    let error = client.upload(&missing).await.unwrap_err().to_string();
    assert!(error.contains("missing.tar"), "{error}");
    let mut public = UploadOptions::default();
    public.allow_private_addresses = Some(false);
    let error = client.upload_with(&path, &public).await.unwrap_err();
    assert!(matches!(error, UploadError::Private(_)), "{error}");
    for address in ["file:///tmp/", "rsync://127.0.0.1/m/"] {
        let client = worker::<Cpu>(Router::new(), address).await;
        let error = client
            .upload_with(&path, &public)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("not on the public Internet"), "{error}");
    }
    let nowhere = worker::<Cpu>(Router::new(), "").await;
    let error = nowhere.upload(&path).await.unwrap_err();
    assert!(matches!(error, UploadError::NoAddress), "{error}");
    for address in ["gopher://x/y", "some text", "host:/path"] {
        let client = worker::<Cpu>(Router::new(), address).await;
        let error = client.upload(&path).await.unwrap_err();
        assert!(matches!(error, UploadError::UnknownAddress(_)), "{error}");
    }
}

#[tokio::test]
async fn a_folder_takes_files_too() {
    let (_folder, path) = file(b"images");
    let shared = tempfile::tempdir().unwrap();
    let address = format!("file://{}/a", shared.path().display());
    let client = worker::<Cpu>(Router::new(), &address).await;
    let url = client.upload(&path).await.unwrap();
    let name = url.strip_prefix(&format!("{address}/")).unwrap();
    assert_eq!(names(&shared.path().join("a")), [name]);
    assert_eq!(
        fs::read(shared.path().join("a").join(name)).unwrap(),
        b"images"
    );
}

/// A bucket that takes what comes, in one piece or in parts.
async fn bucket(method: Method, uri: Uri, body: Body) -> Response {
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let is_of = |what: &str| uri.query().unwrap_or_default().contains(what);
    let begun =
        "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let ended = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    match method {
        Method::POST if is_of("uploads") => begun.into_response(),
        Method::POST => ended.into_response(),
        Method::PUT if uri.path().starts_with("/bucket/a/") && !body.is_empty() => {
            [(header::ETAG, "\"e\"")].into_response()
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

#[tokio::test]
async fn a_bucket_takes_short_and_long_files() {
    if given().is_some() {
        for length in [10, 9 << 20] {
            let (_folder, path) = file(&vec![7; length]);
            let client = worker::<Cpu>(Router::new(), "s3://bucket/a").await;
            let url = client.upload(&path).await.unwrap();
            assert!(
                url.starts_with("s3://bucket/a/") && url.ends_with(".tar"),
                "{url}"
            );
        }
        let (_folder, path) = file(b"images");
        let client = worker::<Cpu>(Router::new(), "s3://other/a").await;
        let error = client.upload(&path).await.unwrap_err();
        // Who is not let in is not let in later.
        assert!(
            matches!(error, UploadError::Refused { status: 403, .. }),
            "{error}"
        );
        return;
    }
    let endpoint = crate::serve(Router::new().fallback(bucket)).await;
    let env = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    again(
        "upload::a_bucket_takes_short_and_long_files",
        ":",
        "x",
        &env,
    )
    .await;
}

#[tokio::test]
#[cfg(unix)]
async fn rsync_brings_files_where_only_it_knows_the_way() {
    if given().is_some() {
        let (_folder, path) = file(b"images");
        let client: CpuClient = worker(Router::new(), "rsync://files.lan").await;
        let url = client.upload(&path).await.unwrap();
        let name = url.strip_prefix("rsync ").unwrap();
        let files = PathBuf::from(std::env::var("FILES").unwrap());
        assert_eq!(fs::read(files.join(name)).unwrap(), b"images");
        assert!(!files.join("busy").exists(), "a busy server is asked again");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = crate::support::rsync(folder.path());
    let env = [
        ("PATH", path.as_str()),
        ("FILES", folder.path().to_str().unwrap()),
    ];
    fs::write(folder.path().join("busy"), "").unwrap();
    let test = "upload::rsync_brings_files_where_only_it_knows_the_way";
    again(test, ":", "x", &env).await;
}
