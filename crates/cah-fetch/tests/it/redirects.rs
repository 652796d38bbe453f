//! Redirects, hop by hop.

use cah_fetch::{Config, ErrorKind, FetchError, Fetcher, RedirectFault};

use crate::support::{
    IMAGE, Site, answer, config, fetcher, hosts, image, kind, path, redirect_to, send,
};

/// A server on which `/5` leads to `/4` and so on, and `/0` is the image.
async fn staircase() -> Site {
    Site::new(|head, mut stream| async move {
        let step: u32 = path(&head)[1..].parse().unwrap();
        let said = match step.checked_sub(1) {
            Some(below) => redirect_to(&format!("/{below}")),
            None => image(),
        };
        send(&mut stream, &said).await;
    })
    .await
}

#[tokio::test]
async fn as_many_as_allowed_and_not_one_more() {
    let site = staircase().await;
    let fetched = fetcher().fetch(&site.url("/5")).await.unwrap();
    assert_eq!(fetched.bytes, IMAGE);
    assert_eq!(fetched.redirects, 5);
    assert_eq!(fetched.final_url.path(), "/0");
    assert_eq!(site.hits(), 6);

    let error = fetcher().fetch(&site.url("/6")).await.unwrap_err();
    assert_eq!(error, FetchError::BadRedirect(RedirectFault::TooMany));
    assert_eq!(site.hits(), 12);
}

#[tokio::test]
async fn a_circle() {
    let site = Site::new(|head, mut stream| async move {
        let to = if path(&head) == "/a" {
            "/b"
        } else {
            "/a#again"
        };
        send(&mut stream, &redirect_to(to)).await;
    })
    .await;
    let error = fetcher().fetch(&site.url("/a")).await.unwrap_err();
    assert_eq!(error, FetchError::BadRedirect(RedirectFault::Loop));
    assert_eq!(site.hits(), 2);
}

#[tokio::test]
async fn places_that_nobody_can_go_to() {
    for (location, fault) in [
        ("file:///etc/passwd", RedirectFault::OtherScheme),
        ("ftp://example.org/cat.png", RedirectFault::OtherScheme),
        (
            "data:image/png;base64,iVBORw0KGgo=",
            RedirectFault::OtherScheme,
        ),
        ("http://[::1", RedirectFault::BadLocation),
        (
            "http://user:secret@example.org/",
            RedirectFault::BadLocation,
        ),
    ] {
        let site = Site::saying(redirect_to(location)).await;
        let error = fetcher().fetch(&site.url("/")).await.unwrap_err();
        assert_eq!(error, FetchError::BadRedirect(fault), "{location}");
        assert_eq!(site.hits(), 1);
    }
    let site = Site::saying(answer("302 Found", &[], b"")).await;
    let error = fetcher().fetch(&site.url("/")).await.unwrap_err();
    assert_eq!(error, FetchError::BadRedirect(RedirectFault::NoLocation));
}

#[tokio::test]
async fn private_addresses_behind_a_redirect() {
    let inside = Site::saying(image()).await;
    let port = inside.address.port();
    for location in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("http://127.0.0.2:{port}/"),
        format!("http://0x7f.2:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        "http://inside.example/".to_owned(),
        format!("http://inside.example:{port}/"),
    ] {
        let outside = Site::saying(redirect_to(&location)).await;
        let fetcher = Fetcher::new(Config {
            hosts: hosts(&[("inside.example", ([127, 0, 0, 2], port).into())]),
            ..config()
        })
        .unwrap();
        let result = fetcher.fetch(&outside.url("/")).await;
        assert_eq!(kind(result), ErrorKind::PrivateAddress, "{location}");
        assert_eq!(outside.hits(), 1);
    }
    assert_eq!(inside.hits(), 0);
}

/// Of its two addresses 127.0.0.1 is allowed in these tests, and only that one is asked.
#[tokio::test]
async fn localhost_behind_a_redirect_is_judged_by_its_addresses() {
    let inside = Site::saying(image()).await;
    let port = inside.address.port();
    for host in ["localhost", "localhost.", "box.localhost"] {
        let outside = Site::saying(redirect_to(&format!("http://{host}:{port}/"))).await;
        let fetched = fetcher().fetch(&outside.url("/")).await.unwrap();
        assert_eq!(fetched.bytes, IMAGE, "{host}");
    }
}

#[tokio::test]
async fn names_behind_a_redirect_may_be_dead() {
    let site = Site::saying(redirect_to("http://dead.invalid/cat.png")).await;
    assert_eq!(kind(fetcher().fetch(&site.url("/")).await), ErrorKind::Dns);
}

#[tokio::test]
async fn from_host_to_host_each_with_one_slot() {
    // Two hosts that lead to each other's images, with one slot each: nobody may keep a slot
    // while it waits for another.
    let crossing = |to: &'static str| {
        Site::new(move |head, mut stream| async move {
            let said = match path(&head) {
                "/there" => redirect_to(to),
                _ => image(),
            };
            send(&mut stream, &said).await;
        })
    };
    let (a, b) = (
        crossing("http://b.example/").await,
        crossing("http://a.example/").await,
    );
    let fetcher = Fetcher::new(Config {
        per_host: 1,
        in_flight: 1,
        hosts: hosts(&[("a.example", a.address), ("b.example", b.address)]),
        ..config()
    })
    .unwrap();
    let urls = ["http://a.example/there", "http://b.example/there"];
    let fetches = urls.iter().cycle().take(40).map(|url| fetcher.fetch(url));
    for result in futures::future::join_all(fetches).await {
        assert_eq!(result.unwrap().redirects, 1);
    }
}

#[tokio::test]
async fn a_redirect_at_the_same_host_does_not_queue_again() {
    let site = staircase().await;
    let fetcher = Fetcher::new(Config {
        per_host: 1,
        ..config()
    })
    .unwrap();
    let urls: Vec<_> = (0..8).map(|_| site.url("/2")).collect();
    for result in futures::future::join_all(urls.iter().map(|url| fetcher.fetch(url))).await {
        assert_eq!(result.unwrap().redirects, 2);
    }
    let requests = site.requests();
    let paths: Vec<_> = requests.iter().map(|head| path(head)).collect();
    assert_eq!(paths, ["/2", "/1", "/0"].repeat(8));
}
