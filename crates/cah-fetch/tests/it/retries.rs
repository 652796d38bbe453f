//! Second tries, counted by the server.

use std::time::{Duration, Instant};

use cah_fetch::{Config, ErrorKind, Fetcher};

use crate::support::{IMAGE, Site, answer, config, fetcher, image, kind};

fn status(code: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    answer(&format!("{code} No"), headers, b"")
}

#[tokio::test]
async fn one_try_more_where_it_can_help() {
    for code in [429, 500, 502, 503, 504] {
        let site = Site::saying_in_turn(vec![status(code, &[]), image()]).await;
        let fetched = fetcher().fetch(&site.url("/")).await.unwrap();
        assert_eq!(fetched.bytes, IMAGE);
        assert_eq!(fetched.retries, 1);
        assert_eq!(site.hits(), 2);

        let site = Site::saying(status(code, &[])).await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::Status(code));
        assert_eq!(site.hits(), 2);
    }
}

#[tokio::test]
async fn as_many_as_configured() {
    for retries in [0, 3] {
        let site = Site::saying(status(500, &[])).await;
        let fetcher = Fetcher::new(Config {
            retries,
            ..config()
        })
        .unwrap();
        let result = fetcher.fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::Status(500));
        assert_eq!(site.hits(), 1 + retries as usize);
    }
}

#[tokio::test]
async fn a_transfer_that_broke_is_begun_anew() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc".to_vec();
    let site = Site::saying_in_turn(vec![broken, image()]).await;
    let fetched = fetcher().fetch(&site.url("/")).await.unwrap();
    assert_eq!(fetched.bytes, IMAGE);
    assert_eq!(site.hits(), 2);
}

#[tokio::test]
async fn only_the_hop_that_failed_is_repeated() {
    let last = Site::saying_in_turn(vec![status(502, &[]), image()]).await;
    let first = Site::saying(crate::support::redirect_to(&last.url("/"))).await;
    let fetched = fetcher().fetch(&first.url("/")).await.unwrap();
    assert_eq!((fetched.redirects, fetched.retries), (1, 1));
    assert_eq!((first.hits(), last.hits()), (1, 2));
}

#[tokio::test]
async fn a_server_that_asks_for_more_patience_than_there_is_gets_no_second_request() {
    let patience = [
        "11",
        "3600",
        "99999999999999999999999",
        "Fri, 31 Dec 2100 23:59:59 GMT",
    ];
    for retry_after in patience {
        let site = Site::saying(status(503, &[("retry-after", retry_after)])).await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::Status(503));
        assert_eq!(site.hits(), 1);
    }
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_kept_by_everybody_at_the_host() {
    let site = Site::saying_in_turn(vec![status(429, &[("retry-after", "60")]), image()]).await;
    let fetcher = Fetcher::new(Config {
        queue_limit: Duration::from_millis(500),
        retries: 0,
        ..config()
    })
    .unwrap();
    assert_eq!(
        kind(fetcher.fetch(&site.url("/a")).await),
        ErrorKind::Status(429)
    );
    // The host wants a minute; whoever queues for half a second does not get there.
    assert_eq!(
        kind(fetcher.fetch(&site.url("/b")).await),
        ErrorKind::TimedOut
    );
    assert_eq!(site.hits(), 1);
    let patient = Fetcher::new(config()).unwrap();
    assert_eq!(patient.fetch(&site.url("/c")).await.unwrap().bytes, IMAGE);
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_waited_out() {
    let site = Site::saying_in_turn(vec![status(503, &[("retry-after", "1")]), image()]).await;
    let begun = Instant::now();
    let fetched = fetcher().fetch(&site.url("/")).await.unwrap();
    assert_eq!((&fetched.bytes[..], fetched.retries), (IMAGE, 1));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(site.hits(), 2);
}

#[tokio::test]
async fn a_date_that_has_passed_means_at_once() {
    let past = [("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")];
    let site = Site::saying_in_turn(vec![status(503, &past), image()]).await;
    assert_eq!(fetcher().fetch(&site.url("/")).await.unwrap().retries, 1);
}
