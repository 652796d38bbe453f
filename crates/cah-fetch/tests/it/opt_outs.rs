//! Opt-outs in real answers.

use cah_fetch::{Config, ErrorKind, Fetcher, OptOut, OptOuts};

use crate::support::{IMAGE, Site, answer, config, fetcher, image, kind, path, redirect_to, send};

/// Headers, and no body ever: whoever waits for one does not come back.
async fn only_headers(headers: &str) -> Site {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n{headers}\r\n\r\n");
    Site::new(move |_, mut stream| {
        let head = head.clone();
        async move {
            send(&mut stream, head.as_bytes()).await;
            std::future::pending::<()>().await;
        }
    })
    .await
}

#[tokio::test]
async fn each_is_its_own_outcome_before_the_body_is_read() {
    for (headers, expected) in [
        ("X-Robots-Tag: noai", OptOut::Noai),
        (
            "x-robots-tag: nofollow\r\nX-ROBOTS-TAG: NoImageAI",
            OptOut::Noimageai,
        ),
        ("X-Robots-Tag: noindex, nofollow", OptOut::Noindex),
        ("X-Robots-Tag: none", OptOut::Noindex),
        ("X-Robots-Tag: noimageindex", OptOut::Noimageindex),
        ("X-Robots-Tag: crawlingathome: noai", OptOut::Noai),
        ("X-Robots-Tag : noai", OptOut::Noai),
        ("X-Robots-Tag:\r\n\tnofollow,\r\n noai", OptOut::Noai),
        ("bad header: 1\r\nX-Robots-Tag: noai", OptOut::Noai),
        ("TDM-Reservation: 1", OptOut::TdmReserved),
    ] {
        let site = only_headers(headers).await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::OptedOut(expected), "{headers}");
        assert_eq!(site.hits(), 1, "an opt-out is not asked again");
    }
}

#[tokio::test]
async fn what_is_meant_for_others_or_was_switched_off() {
    let others = [("x-robots-tag", "otherbot: noindex, noai")];
    let site = Site::saying(answer("200 OK", &others, IMAGE)).await;
    fetcher().fetch(&site.url("/")).await.unwrap();
    let named = Fetcher::new(Config {
        agents: vec!["OtherBot".to_owned()],
        ..config()
    })
    .unwrap();
    let result = named.fetch(&site.url("/")).await;
    assert_eq!(kind(result), ErrorKind::OptedOut(OptOut::Noai));

    let both = [("x-robots-tag", "noindex"), ("tdm-reservation", "1")];
    let site = Site::saying(answer("200 OK", &both, IMAGE)).await;
    let deaf = Fetcher::new(Config {
        opt_outs: OptOuts {
            noindex: false,
            tdm_reservation: false,
            ..OptOuts::default()
        },
        ..config()
    })
    .unwrap();
    assert_eq!(deaf.fetch(&site.url("/")).await.unwrap().bytes, IMAGE);
}

#[tokio::test]
async fn at_redirects_too() {
    let site = Site::new(|head, mut stream| async move {
        let said = match path(&head) {
            "/first" => answer(
                "301 Moved",
                &[("location", "/a"), ("x-robots-tag", "noai")],
                b"",
            ),
            "/second" => redirect_to("/out"),
            "/out" => answer("200 OK", &[("x-robots-tag", "noimageai")], IMAGE),
            _ => image(),
        };
        send(&mut stream, &said).await;
    })
    .await;
    let first = fetcher().fetch(&site.url("/first")).await;
    assert_eq!(kind(first), ErrorKind::OptedOut(OptOut::Noai));
    assert_eq!(site.hits(), 1);
    let second = fetcher().fetch(&site.url("/second")).await;
    assert_eq!(kind(second), ErrorKind::OptedOut(OptOut::Noimageai));
}
