//! What machines see that watch, and pages that are kept live.

use futures::StreamExt;
use reqwest::Method;

use crate::app::TestApp;

/// The value of a metric.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn prometheus_reads_how_the_project_stands() {
    let app = TestApp::start(2).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.done(&worker, 7).await;
    app.new_job(&worker).await.json();
    app.get("/no/such/page").await;
    let metrics = app.get("/metrics").await.text;
    for (name, expected) in [
        ("cah_jobs{state=\"open\"}", 2.0),
        ("cah_jobs{state=\"leased\"}", 1.0),
        ("cah_jobs{state=\"closed\"}", 1.0),
        ("cah_jobs_open{stage=\"CPU\"}", 2.0),
        ("cah_jobs_leased{stage=\"CPU\"}", 1.0),
        ("cah_jobs_leased{stage=\"GPU\"}", 0.0),
        ("cah_pairs", 7.0),
        ("cah_workers", 1.0),
        (
            "cah_http_requests_total{method=\"POST\",route=\"/api/newJob\",status=\"200\"}",
            2.0,
        ),
        (
            "cah_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"}",
            1.0,
        ),
        (
            "cah_http_request_duration_seconds_count{route=\"/api/newJob\"}",
            2.0,
        ),
    ] {
        assert_eq!(value(&metrics, name), expected, "{name}");
    }
    assert!(metrics.contains("cah_build_info{version=") && metrics.ends_with("# EOF\n"));
}

/// Whatever callers make up, there are no more series for it.
#[tokio::test]
async fn callers_make_no_metrics() {
    let app = TestApp::start(1).await;
    let series = async || app.get("/metrics").await.text.lines().count();
    series().await;
    let method = |name: &str| Method::from_bytes(name.as_bytes()).unwrap();
    for (name, path) in [("GET", "/worker/hybrid/a/data"), ("BREW", "/nothing")] {
        app.client()
            .request(method(name), app.url(path))
            .send()
            .await
            .unwrap();
    }
    let before = series().await;
    for i in 0..20 {
        let path = format!("/worker/hybrid/w{i}/data");
        app.get(&path).await;
        let made_up = app
            .client()
            .request(method(&format!("BREW{i}")), app.url("/nothing"));
        made_up.send().await.unwrap();
    }
    assert_eq!(series().await, before);
}

#[tokio::test]
async fn the_first_page_is_pushed_as_it_changes() {
    let app = TestApp::start(2).await;
    let answer = app.client().get(app.url("/live")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    let mut parts = answer.bytes_stream();
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.done(&worker, 7).await;
    // The page may have been looked at before that, and is pushed as it was then first.
    let mut text = String::new();
    let shows_ada = |event: &&str| event.contains("ada") && event.ends_with("</main>");
    let event = loop {
        let part = parts.next().await.unwrap().unwrap();
        text += str::from_utf8(&part).unwrap();
        if let Some(event) = text.split("\n\n").find(shows_ada) {
            break event;
        }
    };
    assert!(event.starts_with("event: main\ndata: <main"), "{event}");
    assert!(!event.contains("<head>"));
    // Nobody who looks keeps the tracker from stopping.
    let stopped = app.tracker.stop();
    let rest = async { while parts.next().await.is_some_and(|part| part.is_ok()) {} };
    let (stopped, ()) = tokio::join!(stopped, rest);
    stopped.unwrap();
}
