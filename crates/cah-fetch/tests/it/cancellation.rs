//! A fetch that is dropped leaves nothing behind.

use std::{future::Future, task::Poll, time::Duration};

use cah_fetch::{Config, Fetcher};
use tokio::{io::AsyncReadExt, sync::mpsc, time::sleep};

use crate::support::{Site, config, image, path, send};

#[tokio::test]
async fn slots_are_free_at_once_and_the_connection_is_closed() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let site = Site::new(move |head, mut stream| {
        let closed = closed.clone();
        async move {
            if path(&head) == "/slow" {
                let _ = stream.read(&mut [0]).await;
                let _ = closed.send(());
            } else {
                send(&mut stream, &image()).await;
            }
        }
    })
    .await;
    let fetcher = Fetcher::new(Config {
        in_flight: 1,
        per_host: 1,
        queue_limit: Duration::from_secs(5),
        ..config()
    })
    .unwrap();
    let slow_url = site.url("/slow");
    let mut slow = Box::pin(fetcher.fetch(&slow_url));
    // Until the server has the request, its only slots are taken.
    while site.hits() == 0 {
        poll_once(&mut slow).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fetcher.in_flight(), 1);
    drop(slow);
    assert_eq!(fetcher.in_flight(), 0);
    fetcher.fetch(&site.url("/quick")).await.unwrap();
    was_closed.recv().await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_queues_can_be_dropped_as_well() {
    let site = Site::new(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let fetcher = Fetcher::new(Config {
        per_host: 1,
        ..config()
    })
    .unwrap();
    let (first_url, second_url) = (site.url("/first"), site.url("/second"));
    let mut first = Box::pin(fetcher.fetch(&first_url));
    while site.hits() == 0 {
        poll_once(&mut first).await;
        sleep(Duration::from_millis(1)).await;
    }
    let mut queued: Vec<_> = (0..100)
        .map(|_| Box::pin(fetcher.fetch(&second_url)))
        .collect();
    for one in &mut queued {
        poll_once(one).await;
    }
    drop(queued);
    drop(first);
    let mut third = Box::pin(fetcher.fetch(&second_url));
    while site.hits() == 1 {
        poll_once(&mut third).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(fetcher.in_flight(), 1);
}

async fn poll_once<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|context| {
        assert!(std::pin::Pin::new(&mut *future).poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}
