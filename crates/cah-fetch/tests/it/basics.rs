//! What goes out and what comes back when nothing is wrong.

use axum::{Router, http::header, routing::get};
use cah_fetch::Config;

use crate::support::{IMAGE, Site, answer, config, fetcher, image};
use cah_fetch::Fetcher;

#[tokio::test]
async fn bytes_and_what_is_known_of_them() {
    let site = Site::saying(image()).await;
    let fetched = fetcher().fetch(&site.url("/cat.png#head")).await.unwrap();
    assert_eq!(fetched.bytes, IMAGE);
    assert_eq!(fetched.content_type.as_deref(), Some("image/png"));
    assert_eq!(fetched.final_url.as_str(), site.url("/cat.png"));
    assert_eq!(
        (fetched.status, fetched.redirects, fetched.retries),
        (200, 0, 0)
    );
}

#[tokio::test]
async fn requests_say_who_asks_and_nothing_else() {
    let site = Site::saying(answer(
        "200 OK",
        &[
            ("set-cookie", "id=1; path=/"),
            ("content-type", "image/png"),
        ],
        IMAGE,
    ))
    .await;
    let fetcher = Fetcher::new(Config {
        user_agent: "mybot/2.0".to_owned(),
        contact: "https://example.org/bot".to_owned(),
        ..config()
    })
    .unwrap();
    fetcher.fetch(&site.url("/a?b=c")).await.unwrap();
    fetcher.fetch(&site.url("/b")).await.unwrap();
    for request in site.requests() {
        let mut names: Vec<_> = request
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()))
            .collect();
        names.sort();
        assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
        assert!(request.contains("mybot/2.0 (+https://example.org/bot)\r\n"));
        assert!(request.contains("accept-encoding: identity\r\n"));
        assert!(request.contains("accept: image/jpeg,"));
    }
    assert!(site.requests()[0].starts_with("GET /a?b=c HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_ordinary_server_with_chunked_bodies_and_kept_connections() {
    let body = || async {
        let chunks = (0..50).map(|i| Ok::<_, std::io::Error>(vec![i; 1_000]));
        let body = axum::body::Body::from_stream(futures::stream::iter(chunks));
        ([(header::CONTENT_TYPE, "image/jpeg")], body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().route("/", get(body));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let fetcher = fetcher();
    for _ in 0..3 {
        let fetched = fetcher.fetch(&url).await.unwrap();
        assert_eq!(fetched.bytes.len(), 50_000);
        assert_eq!(fetched.bytes[49_999], 49);
    }
}

#[tokio::test]
async fn content_codings_are_not_undone() {
    // What a small body would grow to is no concern of ours: it stays as it came.
    let coded = b"\x1f\x8b\x08\x00 not even gzip";
    let headers = [("content-encoding", "gzip"), ("content-type", "image/png")];
    let site = Site::saying(answer("200 OK", &headers, coded)).await;
    let fetched = fetcher().fetch(&site.url("/")).await.unwrap();
    assert_eq!(fetched.bytes, &coded[..]);
}

#[tokio::test]
async fn many_hosts_by_name_on_one_server() {
    let site = Site::new(|head, mut stream| async move {
        let host = head.lines().find_map(|line| line.strip_prefix("host: "));
        let body = host.unwrap_or_default().as_bytes().to_vec();
        let said = answer("200 OK", &[("content-type", "image/png")], &body);
        crate::support::send(&mut stream, &said).await;
    })
    .await;
    let names: Vec<_> = (0..100).map(|i| format!("host{i}.example")).collect();
    let pairs: Vec<_> = names.iter().map(|n| (n.as_str(), site.address)).collect();
    let fetcher = Fetcher::new(Config {
        hosts: crate::support::hosts(&pairs),
        ..config()
    })
    .unwrap();
    for name in &names {
        let fetched = fetcher
            .fetch(&format!("http://{name}/a.png"))
            .await
            .unwrap();
        assert_eq!(fetched.bytes, name.as_bytes());
    }
    assert_eq!(fetcher.hosts(), 100);
}
