//! Building, starting and stopping.

use std::time::Duration;

use cah_demo::{Config, Error, MiniWeb};
use cah_protocol::Outcome;
use tokio::runtime::Runtime;

use crate::support::{client, config, serve};

fn small() -> Config {
    Config {
        pages: 3,
        wats: 1,
        ..config()
    }
}

#[test]
fn stopping_closes_the_ports_and_breaks_what_never_ends() {
    Runtime::new().unwrap().block_on(async {
        let web = serve(small()).await;
        let client = client(&web);
        let endless: Vec<String> = web
            .truth()
            .candidates()
            .iter()
            .filter(|candidate| candidate.wanted == Outcome::TimedOut)
            .map(|candidate| candidate.url.clone())
            .collect();
        let waiting: Vec<_> = endless
            .iter()
            .map(|url| tokio::spawn(client.get(url).send()))
            .collect();
        let page = web.page_urls()[0].clone();
        client.get(&page).send().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;

        web.stop().await;

        for request in waiting {
            let broken = match request.await.unwrap() {
                Ok(response) => response.bytes().await.is_err(),
                Err(_) => true,
            };
            assert!(broken);
        }
        let refused = client.get(&page).send().await.unwrap_err();
        assert!(refused.is_connect() || refused.is_request(), "{refused:?}");
    });
}

#[test]
fn one_seed_makes_one_web_whatever_the_ports() {
    Runtime::new().unwrap().block_on(async {
        let (one, other) = (serve(small()).await, serve(small()).await);
        let texts = |web: &cah_demo::ServedWeb| -> Vec<(String, Outcome)> {
            let candidates = web.truth().candidates().iter();
            candidates
                .map(|candidate| (candidate.text.clone(), candidate.wanted))
                .collect()
        };
        assert_eq!(texts(&one), texts(&other));
        assert_eq!(one.wat_paths(), other.wat_paths());
        assert_ne!(one.base_url(), other.base_url());
        let (first, second) = (client(&one), client(&other));
        let pairs = one
            .truth()
            .candidates()
            .iter()
            .zip(other.truth().candidates());
        for (a, b) in pairs.filter(|(a, _)| a.wanted == Outcome::Kept) {
            let a = first.get(&a.url).send().await.unwrap();
            let b = second.get(&b.url).send().await.unwrap();
            assert_eq!(a.status(), b.status());
            if a.status().is_success() {
                assert_eq!(a.bytes().await.unwrap(), b.bytes().await.unwrap());
            }
        }
    });
}

#[test]
fn a_web_without_a_page_for_each_wat_is_refused() {
    for (pages, wats) in [(0, 1), (1, 2), (5, 0)] {
        let config = Config {
            pages,
            wats,
            ..Config::default()
        };
        let error = MiniWeb::build(config).unwrap_err();
        assert!(matches!(error, Error::TooFewPages { .. }), "{error}");
    }
}
