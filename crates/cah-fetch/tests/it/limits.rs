//! Time and size: slow, endless, oversized and truncated answers.

use std::time::Duration;

use cah_fetch::{Config, ErrorKind, FetchError, Fetcher, Stage};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

use crate::support::{IMAGE, Site, answer, config, fetcher, hosts, image, kind, redirect_to, send};

const SHORT: Duration = Duration::from_millis(300);

fn impatient() -> Fetcher {
    Fetcher::new(Config {
        deadline: SHORT,
        ..config()
    })
    .unwrap()
}

fn at_most(max_bytes: usize) -> Fetcher {
    Fetcher::new(Config {
        max_bytes,
        ..config()
    })
    .unwrap()
}

#[tokio::test]
async fn headers_that_do_not_come() {
    let site = Site::new(|_, stream| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let error = impatient().fetch(&site.url("/")).await.unwrap_err();
    assert_eq!(error, FetchError::TimedOut(Stage::Fetching));
    assert_eq!(site.hits(), 1, "a timeout is not tried again");
}

#[tokio::test]
async fn headers_that_drip() {
    let site = Site::new(|_, mut stream| async move {
        send(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: 1\r\n").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    })
    .await;
    let result = impatient().fetch(&site.url("/")).await;
    assert_eq!(kind(result), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_body_that_drips() {
    let site = Site::new(|_, mut stream| async move {
        send(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
        )
        .await;
        while stream.write_all(b"x").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    })
    .await;
    let result = impatient().fetch(&site.url("/")).await;
    assert_eq!(kind(result), ErrorKind::TimedOut);
}

#[tokio::test]
async fn one_deadline_over_all_hops() {
    let site = Site::new(|head, mut stream| async move {
        sleep(SHORT / 3).await;
        let hop = head.len();
        send(&mut stream, &redirect_to(&format!("/{}", "x".repeat(hop)))).await;
    })
    .await;
    let fetcher = Fetcher::new(Config {
        deadline: SHORT,
        max_redirects: 1_000,
        ..config()
    })
    .unwrap();
    let result = fetcher.fetch(&site.url("/")).await;
    assert_eq!(kind(result), ErrorKind::TimedOut);
}

#[tokio::test]
async fn one_deadline_over_all_retries() {
    let site = Site::saying(answer("500 No", &[], b"")).await;
    let fetcher = Fetcher::new(Config {
        deadline: SHORT,
        retries: u32::MAX,
        retry_pause: SHORT / 4,
        ..config()
    })
    .unwrap();
    let result = fetcher.fetch(&site.url("/")).await;
    // Either the next pause would have passed the deadline or a request did.
    let kind = kind(result);
    assert!(
        matches!(kind, ErrorKind::Status(500) | ErrorKind::TimedOut),
        "{kind:?}"
    );
    assert!(site.hits() < 20);
}

#[tokio::test]
async fn a_connection_that_does_not_come() {
    // A full queue of connections that nobody accepts: the kernel leaves the next one unanswered.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(address)).await
    {
        filling.push(stream);
    }
    let fetcher = Fetcher::new(Config {
        connect_timeout: SHORT,
        ..config()
    })
    .unwrap();
    let error = fetcher.fetch(&format!("http://{address}/")).await;
    assert_eq!(error.unwrap_err(), FetchError::TimedOut(Stage::Connecting));
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(kind(fetcher().fetch(&url).await), ErrorKind::Connect);
}

#[tokio::test]
async fn an_endless_body() {
    let site = Site::new(|_, mut stream| async move {
        send(&mut stream, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        while stream.write_all(&[7; 10_000]).await.is_ok() {}
    })
    .await;
    let result = at_most(1 << 20).fetch(&site.url("/")).await;
    assert_eq!(result.unwrap_err(), FetchError::TooLarge { limit: 1 << 20 });
    assert_eq!(
        site.hits(),
        1,
        "a body that is too large is not tried again"
    );
}

#[tokio::test]
async fn a_length_over_the_limit_stops_before_the_body() {
    let site = Site::new(|_, mut stream| async move {
        send(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n",
        )
        .await;
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let result = at_most(100).fetch(&site.url("/")).await;
    assert_eq!(kind(result), ErrorKind::TooLarge);
}

#[tokio::test]
async fn exactly_the_limit_is_fine_with_and_without_a_length() {
    let closing = [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(),
        IMAGE,
    ];
    for said in [image(), closing.concat()] {
        let site = Site::saying(said).await;
        let fetched = at_most(IMAGE.len()).fetch(&site.url("/")).await.unwrap();
        assert_eq!(fetched.bytes, IMAGE);
        let result = at_most(IMAGE.len() - 1).fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::TooLarge);
    }
}

#[tokio::test]
async fn a_length_that_nobody_can_mean() {
    for length in ["18446744073709551615", "99999999999999999999", "-1", "1, 2"] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nabc");
        let site = Site::saying(head).await;
        let error = kind(fetcher().fetch(&site.url("/")).await);
        assert!(
            matches!(error, ErrorKind::TooLarge | ErrorKind::Transfer),
            "{length}: {error:?}"
        );
        assert_eq!(site.hits(), 1, "it would be no better again: {length}");
    }
}

#[tokio::test]
async fn a_truncated_body_is_never_returned() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabcde\r\n",
        "HTTP/1.1 200",
        "",
    ] {
        let site = Site::saying(head).await;
        let result = fetcher().fetch(&site.url("/")).await;
        assert_eq!(kind(result), ErrorKind::Transfer, "{head}");
        assert_eq!(site.hits(), 2, "a broken transfer is tried again: {head}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http() {
    for greeting in [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "220 mail.example ESMTP\r\n",
        "<!DOCTYPE html>\r\n",
        "HTTP/1.1 abc\r\n\r\n",
    ] {
        let site = Site::saying(greeting).await;
        let error = fetcher().fetch(&site.url("/")).await.unwrap_err();
        assert!(
            matches!(error, FetchError::NotHttp { .. }),
            "{greeting}: {error}"
        );
        assert_eq!(error.kind(), ErrorKind::Transfer);
        assert_eq!(site.hits(), 1, "it would be no better again: {greeting}");
    }
}

#[tokio::test]
async fn queueing_is_bounded() {
    let site = Site::new(|_, stream| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let fetcher = Fetcher::new(Config {
        per_host: 1,
        queue_limit: SHORT,
        hosts: hosts(&[("slow.example", site.address)]),
        ..config()
    })
    .unwrap();
    let url = "http://slow.example/";
    let (first, second) = (fetcher.fetch(url), fetcher.fetch(url));
    let second = async {
        let error = second.await.unwrap_err();
        assert_eq!(error, FetchError::TimedOut(Stage::Queueing));
    };
    tokio::select! {
        biased;
        _ = first => panic!("the first one waits for its answer"),
        () = second => {}
    }
    assert_eq!(site.hits(), 1);
}
