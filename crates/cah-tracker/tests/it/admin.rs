//! What operators do by call.

use std::sync::Arc;

use cah_tracker::{Config, ManualClock, Secret};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Answer, START, TestApp, answer, test_config},
    recount,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn tracker(config: Config) -> TestApp {
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..2).await;
    app
}

fn with_token() -> Config {
    Config {
        admin_token: Some(Secret::new(TOKEN).unwrap()),
        ..test_config()
    }
}

fn request(app: &TestApp, method: Method, path: &str) -> reqwest::RequestBuilder {
    app.client()
        .request(method, app.url(path))
        .bearer_auth(TOKEN)
}

async fn get(app: &TestApp, path: &str) -> Answer {
    answer(request(app, Method::GET, path)).await
}

async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    answer(request(app, Method::POST, path).json(&body)).await
}

const CALLS: &[(&str, &str)] = &[
    ("GET", "/admin/status"),
    ("POST", "/admin/init"),
    ("POST", "/admin/reset-job"),
    ("POST", "/admin/ban-job"),
    ("POST", "/admin/requeue"),
    ("GET", "/admin/parked"),
    ("GET", "/admin/banner"),
    ("POST", "/admin/banner"),
    ("GET", "/admin/contributors"),
    ("POST", "/admin/ban"),
    ("POST", "/admin/unban"),
    ("GET", "/admin/bans"),
    ("POST", "/admin/import?format=json"),
    ("GET", "/admin/export"),
    ("GET", "/admin/backup"),
    ("POST", "/admin/restore?replace=true"),
];

#[tokio::test]
async fn nobody_is_an_operator_without_the_token() {
    let (open, closed) = (tracker(with_token()).await, tracker(test_config()).await);
    for (method, path) in CALLS {
        let method: Method = method.parse().unwrap();
        let none = answer(request(&closed, method.clone(), path)).await;
        let text = "This tracker has no admin token; its operator can give it one.";
        assert!(none.is(403, text), "{path}: {none:?}");
        let plain = || open.client().request(method.clone(), open.url(path));
        for wrong in [
            plain(),
            plain().bearer_auth("0123456789abcdef0123456789abcdeF"),
            plain().bearer_auth(""),
            plain().basic_auth("admin", Some(TOKEN)),
            plain().header("authorization", TOKEN),
            plain().header("authorization", b"Bearer \xff".as_slice()),
        ] {
            let refused = answer(wrong).await;
            assert_eq!(refused.status, 401, "{path}: {refused:?}");
        }
    }
    assert_eq!(open.open_jobs("HYBRID").await, 4);
}

#[tokio::test]
async fn an_operator_steers_by_call() {
    let app = tracker(with_token()).await;
    let status = get(&app, "/admin/status").await.json();
    insta::assert_json_snapshot!(status);
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.done(&worker, 7).await;
    let boards = get(&app, "/admin/contributors").await.json();
    assert_eq!(
        boards[1],
        json!({"stage": "GPU", "contributors": [{"rank": 1, "nickname": "ada", "jobs": 1, "pairs": 7}]})
    );
    let banned = post(&app, "/admin/ban-job", json!({"number": 2}))
        .await
        .json();
    assert_eq!(banned["state"], "banned");
    let reset = post(&app, "/admin/reset-job", json!({"number": 1}))
        .await
        .json();
    assert_eq!(reset["state"], "open");
    assert_eq!(app.get("/data").await.json()["completion_str"], "0 / 3");
    let none = post(&app, "/admin/reset-job", json!({"number": 9})).await;
    assert!(none.is(404, "There is no job 9."));
    let requeued = post(&app, "/admin/requeue", json!({})).await.json();
    assert_eq!(requeued["requeued"], 0);

    let text = "Down at noon <script>alert(1)</script>";
    post(&app, "/admin/banner", json!({"text": text}))
        .await
        .json();
    assert_eq!(get(&app, "/admin/banner").await.json()["banner"], text);
    let page = app.get("/").await.text;
    assert!(page.contains("Down at noon &#60;script&#62;") && !page.contains("<script>alert"));
    post(&app, "/admin/banner", json!({"text": ""}))
        .await
        .json();
    assert!(!app.get("/").await.text.contains("Down at noon"));
    for wrong in [
        json!({}),
        json!({"text": 7}),
        json!({"text": "a\u{0}"}),
        json!({"text": "x".repeat(1_001)}),
    ] {
        assert_eq!(post(&app, "/admin/banner", wrong).await.status, 400);
    }

    let taken = post(&app, "/admin/init", json!({"stages": ["a", "b"]})).await;
    assert_eq!(taken.status, 409);
    assert!(taken.text.starts_with("The project has jobs"), "{taken:?}");
    for wrong in [
        json!({}),
        json!({"stages": []}),
        json!({"stages": [7]}),
        json!({"stages": ["a", "A"]}),
    ] {
        assert_eq!(post(&app, "/admin/init", wrong).await.status, 400);
    }
    recount::check(&app.db());
}

#[tokio::test]
async fn all_parked_jobs_are_told() {
    let app = tracker(Config {
        max_failures: 1,
        ..with_token()
    })
    .await;
    app.add_wats(2..60).await;
    for i in 0..110 {
        let worker = app.join("ada", "HYBRID").await;
        app.new_job(&worker).await.json();
        let message = worker.body(json!({"message": format!("reason <{i}>")}));
        app.post("/api/failJob", message).await;
        app.post("/api/bye", worker.body(json!({}))).await;
    }
    let some = get(&app, "/admin/parked").await.json();
    assert_eq!(some.as_array().unwrap().len(), 100);
    assert_eq!(
        some[0],
        json!({
            "number": 1,
            "about": "https://data.example.org/00000.warc.wat.gz",
            "failures": 1,
            "messages": ["reason <0>"],
        })
    );
    let rest = get(&app, "/admin/parked?after=100").await.json();
    assert_eq!(rest.as_array().unwrap().len(), 10);
    assert!(app.get("/").await.text.contains("lists 90 more"));
    assert_eq!(get(&app, "/admin/parked?after=x").await.status, 400);
    let open = post(&app, "/admin/requeue", json!({"number": 120})).await;
    assert!(
        open.is(409, "Job 120 is not parked: it is open."),
        "{open:?}"
    );
    let opened = post(&app, "/admin/requeue", json!({"number": 1})).await;
    assert_eq!(opened.json()["requeued"], 1);
    recount::check(&app.db());
}

#[tokio::test]
async fn an_operator_keeps_people_out() {
    let app = tracker(Config {
        trusted_proxies: vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ],
        ..with_token()
    })
    .await;
    let from = |address: &'static str, path: &str| {
        let request = app.client().get(app.url(path));
        answer(request.header("x-forwarded-for", address))
    };
    let eve = app.join("Eve", "HYBRID").await;
    app.new_job(&eve).await.json();
    let body = json!({"nickname": "eve", "reason": "spam"});
    let banned = post(&app, "/admin/ban", body).await.json();
    assert_eq!(banned, json!({"banned": {"nickname": "eve"}, "removed": 1}));
    let text = "The operator of this tracker keeps you out; ask why.";
    assert!(app.get("/api/new?nickname=EVE").await.is(403, text));
    assert_eq!(app.new_job(&eve).await.status, 404);
    assert_eq!(app.open_jobs("HYBRID").await, 4);
    let hand_in = json!({"shards": [1], "urls": {"1": "x"}, "nickname": "eve"});
    assert!(
        app.post("/custom/markasdone-cpu", hand_in)
            .await
            .is(403, text)
    );

    let joined = from("192.0.2.7", "/api/new?nickname=mallory").await.json();
    let worker = json!({"worker": joined["display_name"]});
    let banned = post(&app, "/admin/ban", worker.clone()).await.json();
    assert_eq!(
        banned,
        json!({"banned": {"network": "192.0.2.7/32"}, "removed": 1})
    );
    assert!(from("192.0.2.7", "/").await.is(403, text));
    assert_eq!(from("192.0.2.8", "/").await.status, 200);
    assert_eq!(post(&app, "/admin/ban", worker).await.status, 409);
    let bans = get(&app, "/admin/bans").await.json();
    assert_eq!(bans.as_array().unwrap().len(), 2);
    for wrong in [
        json!({}),
        json!({"network": "0.0.0.0/0"}),
        json!({"network": "here"}),
        json!({"nickname": " "}),
        json!({"nickname": "a\u{0}"}),
        json!({"nickname": "a", "network": "192.0.2.1"}),
        json!({"nickname": "a", "reason": "two\nlines"}),
    ] {
        assert_eq!(post(&app, "/admin/ban", wrong).await.status, 400);
    }
    // Nobody keeps out everybody, or itself, by a slip.
    for (network, why) in [
        ("127.0.0.1", "You call from 127.0.0.1/32 yourself."),
        (
            "10.1.2.0/24",
            "10.1.2.0/24 has to do with the trusted proxy 10.0.0.0/8, through which others call.",
        ),
    ] {
        let refused = post(&app, "/admin/ban", json!({"network": network})).await;
        assert!(refused.is(409, why), "{refused:?}");
    }
    let operator = |path: &str, body| {
        let request = app.client().post(app.url(path)).json(&body);
        answer(
            request
                .bearer_auth(TOKEN)
                .header("x-forwarded-for", "192.0.2.7"),
        )
    };
    let own = operator("/admin/ban", json!({"network": "192.0.2.0/25"})).await;
    assert!(
        own.is(409, "You call from 192.0.2.0/25 yourself."),
        "{own:?}"
    );
    // Who has the token is let in from where nobody else is.
    let banner = operator("/admin/banner", json!({"text": "x"})).await;
    assert_eq!(banner.status, 200);
    let unban = |body: Value| post(&app, "/admin/unban", body);
    assert_eq!(unban(json!({"network": "192.0.2.7"})).await.status, 200);
    assert_eq!(from("192.0.2.7", "/").await.status, 200);
    assert_eq!(unban(json!({"nickname": "EVE"})).await.status, 200);
    assert_eq!(unban(json!({"nickname": "EVE"})).await.status, 404);
    app.join("Eve", "HYBRID").await;
    recount::check(&app.db());
}

#[tokio::test]
async fn bodies_that_are_no_calls_are_refused() {
    let app = tracker(with_token()).await;
    let deep = "[".repeat(50_000);
    for (method, path) in CALLS.iter().filter(|(method, _)| *method == "POST") {
        let method: Method = method.parse().unwrap();
        for body in ["", "null", "[]", "{", "{\"number\": -1}", &deep] {
            let request = request(&app, method.clone(), path).body(body.to_owned());
            let refused = answer(request).await;
            assert_eq!(refused.status, 400, "{path}: {refused:?}");
            assert!(!refused.text.contains('\n') && refused.text.len() < 300);
        }
    }
    assert_eq!(app.open_jobs("HYBRID").await, 4);
    recount::check(&app.db());
}

#[tokio::test]
async fn lists_are_imported_by_call() {
    let app = tracker(with_token()).await;
    let import = |query: &str, body: &str| {
        let request = request(&app, Method::POST, &format!("/admin/import?{query}"));
        answer(request.body(body.to_owned()))
    };
    let added = import("format=wat-paths&priority=3", "crawl-data/x.warc.wat.gz\n").await;
    assert_eq!(added.json(), json!({"added": 1, "jobs": 2, "known": 0}));
    let worker = app.join("ada", "HYBRID").await;
    let job = app.new_job(&worker).await.json();
    assert_eq!(
        job["url"],
        "https://data.commoncrawl.org/crawl-data/x.warc.wat.gz"
    );
    for (query, body, status) in [
        ("", "x", 400),
        ("format=csv", "x", 400),
        ("format=wat-paths&priority=high", "x.wat", 400),
        ("format=wat-paths&base_url=ftp://x", "x.wat", 400),
        ("format=wat-paths", "x.wat\nno", 400),
        ("format=json", "{}", 400),
        ("format=json&stages=a", "[\"x\"]", 409),
        ("format=json&stages=CPU,GPU", "[\"x\"]", 409),
        ("format=json&stages=CPU,b", "[\"x\"]", 409),
        ("format=json&stages=CPU,,", "[\"x\"]", 400),
    ] {
        let refused = import(query, body).await;
        assert_eq!(refused.status, status, "{query}: {refused:?}");
    }
    assert_eq!(get(&app, "/admin/status").await.json()["jobs"], 6);
    recount::check(&app.db());
}

#[tokio::test]
async fn a_project_is_kept_and_restored_by_call() {
    let app = tracker(with_token()).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.done(&worker, 7).await;
    let exported = get(&app, "/admin/export?limit=2").await.text;
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    insta::assert_json_snapshot!(lines[0]);
    let after = get(&app, "/admin/export?after=3").await.text;
    assert_eq!(after.lines().count(), 1);

    let backup = request(&app, Method::GET, "/admin/backup")
        .send()
        .await
        .unwrap();
    let backup = backup.bytes().await.unwrap();
    app.new_job(&worker).await.json();
    app.done(&worker, 5).await;
    let restore = |query: &str, body: Vec<u8>| {
        let request = request(&app, Method::POST, &format!("/admin/restore{query}"));
        answer(request.body(body))
    };
    let kept = || backup.to_vec();
    assert_eq!(restore("", kept()).await.status, 409);
    assert_eq!(restore("?replace=perhaps", kept()).await.status, 400);
    for cut in [0, 10, backup.len() / 2, backup.len() - 9] {
        let refused = restore("?replace=true", backup[..cut].to_vec()).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            refused.text.ends_with("nothing was changed."),
            "{refused:?}"
        );
    }
    assert_eq!(app.get("/data").await.json()["total_pairs_scraped"], 12);
    assert_eq!(restore("?replace=true", kept()).await.json()["closed"], 1);
    assert_eq!(app.get("/data").await.json()["total_pairs_scraped"], 7);
    // Its worker is there as it was then.
    assert_eq!(app.new_job(&worker).await.json()["number"], 2);
    recount::check(&app.db());
}

#[tokio::test]
async fn password_calls_are_answered_where_the_operator_wants_them() {
    let app = tracker(with_token()).await;
    let off = app
        .get(&format!("/admin/set-banner?password={TOKEN}&text=x"))
        .await;
    assert!(off.is(403, "Calls with a password are turned off on this tracker."));
    let app = tracker(Config {
        password_calls: true,
        ..with_token()
    })
    .await;
    let banner = async |password: &str, text: &str| {
        app.get(&format!(
            "/admin/set-banner?password={password}&text={text}"
        ))
        .await
    };
    let wrong = "The password is wrong.";
    assert!(banner("wrong", "x").await.is(403, wrong));
    let without = format!("/admin/set-banner?password={TOKEN}");
    assert_eq!(app.get(&without).await.status, 400);
    assert_eq!(banner(TOKEN, "Hello").await.status, 200);
    assert!(app.get("/").await.text.contains("Hello"));
    assert_eq!(banner(TOKEN, "RESET").await.status, 200);
    assert!(!app.get("/").await.text.contains("Hello"));

    let call = |path: &'static str, password: &'static str, count: Value| {
        app.post(path, json!({"password": password, "count": count}))
    };
    let banned = call("/admin/ban-shard", TOKEN, json!(3)).await.json();
    assert_eq!(banned["status"], "success");
    assert_eq!(app.get("/data").await.json()["completion_str"], "0 / 3");
    let reset = call("/admin/reset-shard", TOKEN, json!(3)).await.json();
    assert_eq!(reset["status"], "success");
    assert_eq!(app.get("/data").await.json()["completion_str"], "0 / 4");
    let none = call("/admin/reset-shard", TOKEN, json!(9)).await.json();
    assert_eq!(
        none,
        json!({"status": "failed", "detail": "There is no shard 9."})
    );
    let refused = call("/admin/ban-shard", "wrong", json!(3)).await;
    assert!(refused.is(403, wrong));
    assert_eq!(
        call("/admin/ban-shard", TOKEN, json!("x")).await.status,
        400
    );

    let done = |password: &str| {
        let fields = json!({"password": password, "shards": [1, 2], "count": 9, "nickname": "eve"});
        app.post("/custom/markasdone", fields)
    };
    assert!(done("wrong").await.is(403, wrong));
    assert_eq!(
        done(TOKEN).await.json(),
        json!({"status": "success", "completed": 2})
    );
    for _ in 0..2 {
        let closed = done(TOKEN).await.json();
        assert_eq!(closed, json!({"status": "success", "completed": 2}));
    }
    let none = json!({"password": TOKEN, "shards": [9], "count": 9, "nickname": "eve"});
    let none = app.post("/custom/markasdone", none).await.json();
    assert_eq!(none["status"], "failed");
    let data = app.get("/data").await.json();
    assert_eq!(data["total_pairs_scraped"], 9);
    recount::check(&app.db());
}

/// Whether an answer that everybody gets has a text.
async fn is_public(app: &TestApp, path: &str, text: &str) -> bool {
    let answer = app.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text.contains(text)
}

#[tokio::test]
async fn texts_of_jobs_and_what_is_handed_over_are_told_to_operators_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        max_failures: 1,
        ..with_token()
    };
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    let stages = ["make", "check"].map(str::to_owned);
    app.store.init(stages.into()).await.unwrap();
    let text = "s3://bucket?key=hunter2".to_owned();
    app.store.add_payloads(vec![text.clone()], 0).await.unwrap();
    let output = format!("rsync://hunter2{}", "x".repeat(3_000));
    for stage in ["a", "b"] {
        let join = format!("/api/new?nickname=ada&stage={stage}");
        let token = app.get(&join).await.json()["token"].clone();
        let call = async |path: &str, field: &str, value: &str| {
            let body = json!({"token": token, field: value});
            assert_eq!(app.post(path, body).await.status, 200, "{path}");
        };
        call("/api/newJob", "n", "").await;
        match stage {
            "a" => call("/api/completeJob", "data", &output).await,
            _ => call("/api/failJob", "message", "no such key").await,
        }
    }
    for path in ["/", "/job/1", "/job/1/data"] {
        assert!(!is_public(&app, path, "hunter2").await, "{path}");
    }
    assert!(is_public(&app, "/", "23 bytes of text").await);
    assert!(is_public(&app, "/job/1", "3,015 bytes of text").await);
    let told = app.get("/job/1/data").await.json();
    assert_eq!(
        (&told["data"], &told["data_bytes"]),
        (&Value::Null, &23.into())
    );
    let done = &told["completions"][0];
    assert_eq!(
        (&done["output"], &done["output_bytes"]),
        (&Value::Null, &3_015.into())
    );

    let page = get(&app, "/job/1").await.text;
    assert!(
        page.contains("key=hunter2") && page.contains("rsync://hunter2xxx"),
        "{page}"
    );
    assert!(page.contains("xxx…") && !page.contains(&output));
    let told = get(&app, "/job/1/data").await.json();
    assert_eq!(
        (&told["data"], &told["attempts_left_off"]),
        (&text.into(), &0.into())
    );
    assert_eq!(told["completions"][0]["output"], output);
}

#[tokio::test]
async fn a_job_tells_of_its_last_attempts() {
    let app = tracker(with_token()).await;
    let worker = app.join("ada", "HYBRID").await;
    for attempt in 1..=103 {
        let answer = post(&app, "/admin/reset-job", json!({"number": 1})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(app.new_job(&worker).await.status, 200);
        app.done(&worker, attempt).await;
    }
    let page = app.get("/job/1").await.text;
    assert!(
        page.contains("the 3 attempts before") && !page.contains(">3 pairs"),
        "{page}"
    );
    let told = app.get("/job/1/data").await.json();
    let completions = told["completions"].as_array().unwrap();
    assert_eq!(
        (completions.len(), &completions[0]["attempt"]),
        (100, &4.into())
    );
    assert_eq!(told["attempts_left_off"], 3);
}
