//! What lies between callers and the tracker: proxies, keys, TLS.

use std::{num::NonZeroU32, sync::Arc};

use cah_tracker::{Config, ManualClock, Secret, Tls};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::{Answer, START, TestApp, answer, test_config};

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn tracker(config: Config) -> TestApp {
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..2).await;
    app
}

fn proxied(rate_limit: u32) -> Config {
    Config {
        rate_limit: NonZeroU32::new(rate_limit),
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..test_config()
    }
}

async fn from(app: &TestApp, address: &str) -> reqwest::Response {
    let request = app.client().get(app.url("/api/jobCount"));
    let request = request.header("x-forwarded-for", address);
    request.send().await.unwrap()
}

#[tokio::test]
async fn an_address_that_calls_too_often_is_told_so() {
    let app = tracker(proxied(1)).await;
    let mut refused = 0;
    for _ in 0..50 {
        let answer = from(&app, "192.0.2.1").await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
            let text = "Too many calls come from this address; 1 a second are allowed.";
            assert_eq!(answer.text().await.unwrap(), text);
            refused += 1;
        } else {
            assert_eq!(answer.status(), 200);
        }
    }
    assert!(refused > 20, "{refused}");
    assert_eq!(from(&app, "192.0.2.2").await.status(), 200);
    // Without a proxy that is trusted the header says nothing, and this machine is not counted.
    let app = tracker(Config {
        rate_limit: NonZeroU32::new(1),
        ..test_config()
    })
    .await;
    for _ in 0..50 {
        assert_eq!(from(&app, "192.0.2.1").await.status(), 200);
    }
}

/// A call that a proxy passes on for the address.
async fn passed_on(app: &TestApp, address: &str, path: &str, body: Value) -> Answer {
    let request = match body {
        Value::Null => app.client().get(app.url(path)),
        body => app.client().post(app.url(path)).json(&body),
    };
    answer(request.header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn an_address_has_so_many_workers() {
    let app = tracker(Config {
        max_workers_per_address: 2,
        ..proxied(1_000)
    })
    .await;
    let join = |address| passed_on(&app, address, "/api/new?nickname=a", Value::Null);
    let first = join("192.0.2.1").await.json();
    join("192.0.2.1").await.json();
    let text = "This address has 2 workers, as many as the tracker takes from one. Ask its \
                operator for more.";
    let refused = join("192.0.2.1").await;
    assert!(refused.is(403, text), "{refused:?}");
    join("192.0.2.2").await.json();
    let bye = json!({"token": first["token"]});
    passed_on(&app, "192.0.2.1", "/api/bye", bye).await;
    join("192.0.2.1").await.json();
    // The tracker's own machine is its operator's.
    for _ in 0..3 {
        app.join("a", "HYBRID").await;
    }
}

/// With a new token each time.
#[tokio::test]
async fn an_address_that_finishes_nothing_has_to_wait() {
    let app = tracker(proxied(10_000)).await;
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    let join = async |address| {
        let joined = passed_on(&app, address, "/api/new?nickname=a", Value::Null).await;
        joined.json()["token"].clone()
    };
    let new_job = async |address, token: &Value| {
        passed_on(&app, address, "/api/newJob", json!({"token": token})).await
    };
    for _ in 0..50 {
        let token = join(here).await;
        new_job(here, &token).await.json();
        let bye = json!({"token": token});
        passed_on(&app, here, "/api/bye", bye).await;
    }
    let token = join(here).await;
    let text = "This worker finished none of its last jobs. It can have another one in 1 s.";
    let braked = new_job(here, &token).await;
    assert!(braked.is(403, text), "{braked:?}");
    let other = join(there).await;
    new_job(there, &other).await.json();
    app.clock.advance(1);
    new_job(here, &token).await.json();
    let done = json!({"token": token, "type": "HYBRID", "count": 1});
    let done = passed_on(&app, here, "/api/markAsDone", done).await;
    assert!(done.is(200, "success"));
    for _ in 0..2 {
        new_job(here, &join(here).await).await.json();
    }
}

#[tokio::test]
async fn a_client_may_ask_for_a_longer_token() {
    let app = tracker(test_config()).await;
    let joined = app.get("/api/new?nickname=a&token_bits=256").await.json();
    let token = joined["token"].as_str().unwrap();
    assert!(token.len() == 64 && token.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let job = app.post("/api/newJob", json!({"token": token})).await;
    assert_eq!(job.json()["number"], 1);
    let refused = app.get("/api/new?nickname=a&token_bits=7").await;
    let text = "`token_bits` must be 256; leave it out for a UUID.";
    assert!(refused.is(400, text), "{refused:?}");
}

#[tokio::test]
async fn a_tracker_may_be_for_those_who_know_its_key() {
    let app = tracker(Config {
        join_key: Some(Secret::new(KEY).unwrap()),
        ..test_config()
    })
    .await;
    let text = "This tracker takes in only those who know its join key; ask its operator.";
    let wrong = "0123456789abcdef0123456789abcdeF";
    for path in [
        "/api/new?nickname=a".to_owned(),
        format!("/api/new?nickname=a&key={wrong}"),
        format!("/k/{wrong}/api/new?nickname=a"),
        "/custom/get-cpu-wat".to_owned(),
    ] {
        assert!(app.get(&path).await.is(403, text), "{path}");
    }
    let joined = app.get(&format!("/api/new?nickname=a&key={KEY}")).await;
    assert_eq!(joined.status, 200);
    // As a client that knows of no key calls all its life.
    let joined = app
        .get(&format!("/k/{KEY}/api/new?nickname=a"))
        .await
        .json();
    let token = &joined["token"];
    let call = async |path: &str| {
        let path = format!("/k/{KEY}{path}");
        app.post(&path, json!({"token": token})).await
    };
    assert_eq!(call("/api/newJob").await.json()["number"], 1);
    assert!(call("/api/bye").await.is(200, "success"));
    let whole = app.get(&format!("/k/{KEY}/custom/get-cpu-wat")).await;
    assert_eq!(whole.status, 200);
    // The pages are everybody's.
    assert_eq!(app.get("/").await.status, 200);
}

#[tokio::test]
async fn it_speaks_tls_itself() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let app = tracker(Config {
        tls: Some(Tls::load(&certificate, &key).unwrap()),
        ..test_config()
    })
    .await;
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(root);
    let client = client.no_proxy().build().unwrap();
    let url = app.url("/api/jobCount").replace("http:", "https:");
    assert_eq!(
        client.get(url).send().await.unwrap().text().await.unwrap(),
        "4"
    );
    let url = app.url("/api/getUploadAddress").replace("http:", "https:");
    let told = client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(told.starts_with("https://"), "{told}");
    let plain = app.client().get(app.url("/api/jobCount")).send().await;
    assert!(plain.is_err());
}
