//! Workers that take both shards of a WAT file.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use crawlingathome::{ClientError, Cpu, DownloadOptions, Dump, Piece, Shard, WholeWatClient};
use serde_json::{Value, json};

use crate::{
    config,
    support::{file, gzip, worker},
};

/// A tracker that names a file of which a shard is gone before it names a whole one.
async fn client(bodies: Arc<Mutex<Vec<Value>>>) -> WholeWatClient {
    let asked = Arc::new(AtomicUsize::new(0));
    let lookup = move |Json(body): Json<Value>| async move {
        let url = &body["url"];
        let shard = |number: u64, piece: u64| json!([number, {"url": url, "start_id": "2000000", "end_id": "3000000", "shard": piece}]);
        Json(match url == "gone" {
            true => json!({"status": "failed", "detail": "Fewer than two shards"}),
            false => json!({"status": "success", "shards": [shard(5, 0), shard(6, 1)]}),
        })
    };
    let name = move |headers: axum::http::HeaderMap| {
        let asked = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match asked {
                0 | 1 => Ok("gone".to_owned()),
                2 => Ok(format!(
                    "http://{}/x.wat.gz",
                    headers["host"].to_str().unwrap()
                )),
                _ => Err((StatusCode::FORBIDDEN, "Either there are no jobs, or ...")),
            }
        }
    };
    let done = move |Json(body): Json<Value>| {
        bodies.lock().unwrap().push(body);
        async { Json(json!({"status": "success", "completed": 1})) }
    };
    let routes = Router::new()
        .route("/custom/get-cpu-wat", get(name))
        .route("/custom/lookup-wat", post(lookup))
        .route("/custom/markasdone-cpu", post(done))
        .route("/x.wat.gz", file(gzip(b"WARC/1.0\r\n"), &[]));
    worker::<Cpu>(routes, "HERE/staging/").await.into()
}

#[tokio::test]
async fn both_shards_are_taken_and_handed_over() {
    let bodies = Arc::default();
    let client = client(Arc::clone(&bodies)).await;
    let asking = client.clone();
    let asking = tokio::spawn(async move { asking.next_wat().await });
    let wat = asking.await.unwrap().unwrap();
    let expected = Piece::BOTH.map(|piece| Shard::of_chunk(3, piece, &*wat.url));
    assert_eq!(wat.shards, expected);
    assert!(wat.url.ends_with("/x.wat.gz"));

    let folder = tempfile::tempdir().unwrap();
    let options = DownloadOptions::default();
    let path = client
        .download(&wat, folder.path(), &options)
        .await
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), b"WARC/1.0\r\n");

    let urls = |numbers: &[u64]| -> BTreeMap<u64, String> {
        numbers
            .iter()
            .map(|number| (*number, format!("u{number}")))
            .collect()
    };
    assert_eq!(client.complete(&wat, &urls(&[5, 6])).await.unwrap(), 1);
    let expected = json!({
        "shards": [5, 6],
        "urls": {"5": "u5", "6": "u6"},
        "nickname": "anna",
        "token": "t",
        "type": "CPU",
    });
    assert_eq!(*bodies.lock().unwrap(), [expected]);
    let error = client.complete(&wat, &urls(&[5, 7])).await.unwrap_err();
    assert!(matches!(error, ClientError::NotOfTheWat(7)), "{error}");

    let none = client.next_wat().await.unwrap_err();
    assert!(matches!(none, ClientError::ZeroJobs(_)), "{none}");
}

#[tokio::test]
async fn a_dump_has_the_file() {
    let client = client(Arc::default()).await;
    let wat = client.next_wat().await.unwrap();
    let kept = serde_json::to_value(client.dump(Some(&wat))).unwrap();
    assert_eq!(
        (&kept["_type"], &kept["wat"]),
        (&json!("FULLWAT"), &json!(wat.url))
    );
    assert_eq!(kept["shards"][1][0], 6);
    let dump: Dump = serde_json::from_value(kept).unwrap();
    let (again, had) = WholeWatClient::load(&dump, config("http://other.example/")).unwrap();
    assert_eq!(
        (again.worker().token(), again.worker().url()),
        ("t", client.worker().url())
    );
    assert_eq!(had, Some(wat));
    let (_, none) = WholeWatClient::load(&client.dump(None), config("x")).unwrap();
    assert_eq!(none, None);
    for wrong in [
        client.worker().dump(),
        Dump {
            shards: Some(json!([[1]])),
            ..dump.clone()
        },
    ] {
        let error = WholeWatClient::load(&wrong, config("x")).unwrap_err();
        assert!(matches!(error, ClientError::Dump(_)), "{error}");
    }
}

/// A tracker that always names a file of which a shard is gone is not asked for ever.
#[tokio::test]
async fn there_is_an_end_to_asking() {
    let failed = || async { Json(json!({"status": "failed", "detail": "none"})) };
    let routes = Router::new()
        .route("/custom/get-cpu-wat", get(|| async { "gone" }))
        .route("/custom/lookup-wat", post(failed));
    let joined = worker::<Cpu>(routes, "").await;
    let mut hasty = config(joined.url());
    hasty.retry.give_up_after = Some(std::time::Duration::from_millis(100));
    let (client, _) =
        WholeWatClient::load(&WholeWatClient::from(joined).dump(None), hasty).unwrap();
    let none = client.next_wat().await.unwrap_err();
    assert!(matches!(none, ClientError::ZeroJobs(_)), "{none}");
}
