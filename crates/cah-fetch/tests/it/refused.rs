//! What is refused before or right after a request: bad URLs, private addresses, types, statuses.

use cah_fetch::{Config, ConfigError, ErrorKind, Fetcher, NameServers};

use crate::support::{IMAGE, Site, answer, config, fetcher, hosts, image, kind};

#[tokio::test]
async fn urls_that_are_none() {
    for url in [
        "",
        "cat.png",
        "//example.org/a",
        "ftp://example.org/a",
        "http://",
    ] {
        assert_eq!(
            kind(fetcher().fetch(url).await),
            ErrorKind::InvalidUrl,
            "{url}"
        );
    }
    let long = format!("http://127.0.0.1/{}", "a".repeat(100_000));
    let error = fetcher().fetch(&long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidUrl);
    assert!(error.to_string().len() < 1_000, "messages stay short");
}

#[tokio::test]
async fn private_addresses_by_default() {
    let site = Site::saying(image()).await;
    let port = site.address.port();
    let fetcher = Fetcher::new(Config {
        allowed_networks: vec![],
        hosts: hosts(&[("inside.example", site.address)]),
        ..config()
    })
    .unwrap();
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "inside.example",
        "INSIDE.example.",
    ] {
        let result = fetcher.fetch(&format!("http://{host}:{port}/")).await;
        assert_eq!(kind(result), ErrorKind::PrivateAddress, "{host}");
    }
    assert_eq!(site.hits(), 0);

    let allowing = Fetcher::new(Config {
        allow_private_addresses: true,
        ..config()
    })
    .unwrap();
    for host in ["127.0.0.1", "0x7f.1", "localhost"] {
        let fetched = allowing.fetch(&format!("http://{host}:{port}/")).await;
        assert_eq!(fetched.unwrap().bytes, IMAGE);
    }
}

#[tokio::test]
async fn bodies_that_are_said_to_be_no_image() {
    for named in ["text/html; charset=utf-8", "application/json", "video/mp4"] {
        // The body never comes, so that only the headers can have decided.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {named}\r\ncontent-length: 9\r\n\r\n");
        let site = Site::new(move |_, mut stream| {
            let head = head.clone();
            async move {
                crate::support::send(&mut stream, head.as_bytes()).await;
                std::future::pending::<()>().await;
            }
        })
        .await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::WrongContentType);
        assert_eq!(site.hits(), 1);
    }
}

#[tokio::test]
async fn bodies_whose_type_is_left_open() {
    for headers in [
        &[][..],
        &[("content-type", "application/octet-stream")],
        &[("content-type", "binary/octet-stream")],
    ] {
        let site = Site::saying(answer("200 OK", headers, IMAGE)).await;
        let fetched = fetcher().fetch(&site.url("/")).await.unwrap();
        assert_eq!(fetched.bytes, IMAGE);
        let named = headers.first().map(|(_, value)| *value);
        assert_eq!(fetched.content_type.as_deref(), named);
    }
}

#[tokio::test]
async fn statuses_that_are_no_success() {
    for code in [204, 206, 304, 400, 401, 403, 404, 410, 451, 501] {
        let site = Site::saying(answer(&format!("{code} No"), &[], b"")).await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::Status(code));
        assert_eq!(site.hits(), 1, "{code} is not tried again");
    }
}

#[test]
fn a_wrong_configuration_is_one_clear_line() {
    let error = |change: fn(&mut Config)| {
        let mut wrong = config();
        change(&mut wrong);
        Fetcher::new(wrong).unwrap_err()
    };
    assert_eq!(error(|c| c.in_flight = 0), ConfigError::Zero("in_flight"));
    assert_eq!(
        error(|c| c.contact = "me".to_owned()).to_string(),
        "contact `me` is not an http(s) or mailto URL: give one under which site owners reach you"
    );
    let empty = error(|c| c.name_servers = NameServers::List(vec![]));
    assert!(matches!(empty, ConfigError::NameServers(_)), "{empty}");
    let root = error(|c| c.extra_roots = vec!["-----BEGIN CERTIFICATE-----\n".to_owned()]);
    assert!(!root.to_string().contains('\n'), "{root}");
}
