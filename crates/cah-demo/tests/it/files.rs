//! The crawl's files: the list of WAT files, and parts of them.

use std::io::Read as _;

use reqwest::{Method, StatusCode, header};

use crate::support::{Served, served};

fn ranged(served: &Served, url: &str, range: &str) -> (StatusCode, Option<String>, Vec<u8>) {
    served.runtime.block_on(async {
        let request = served.client.get(url).header(header::RANGE, range);
        let response = request.send().await.unwrap();
        let content_range = response
            .headers()
            .get(header::CONTENT_RANGE)
            .map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        (
            status,
            content_range,
            response.bytes().await.unwrap().to_vec(),
        )
    })
}

#[test]
fn the_list_names_every_wat_below_the_base_url() {
    let served = served();
    let packed = served.bytes(&served.web.wat_paths_url());
    let mut list = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut list)
        .unwrap();
    assert_eq!(list.lines().collect::<Vec<_>>(), served.web.wat_paths());
    let plain = served.web.wat_paths_url();
    let plain = plain.strip_suffix(".gz").unwrap();
    assert_eq!(served.bytes(plain), list.as_bytes());
    for path in served.web.wat_paths() {
        assert!(path.starts_with("crawl-data/"), "{path}");
        assert!(
            path.contains("/wat/") && path.ends_with(".warc.wat.gz"),
            "{path}"
        );
        assert!(!served.bytes(&served.data_url(path)).is_empty());
    }
}

#[test]
fn two_halves_make_a_wat() {
    let served = served();
    let url = served.data_url(&served.web.wat_paths()[1]);
    let whole = served.bytes(&url);
    let (length, middle) = (whole.len(), whole.len() / 2);

    let (status, range, first) = ranged(served, &url, &format!("bytes=0-{}", middle - 1));
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.unwrap(), format!("bytes 0-{}/{length}", middle - 1));
    let (status, range, second) = ranged(served, &url, &format!("bytes={middle}-"));
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        range.unwrap(),
        format!("bytes {middle}-{}/{length}", length - 1)
    );
    assert_eq!([first, second].concat(), whole);
}

#[test]
fn a_range_behind_the_end_is_refused() {
    let served = served();
    let url = served.data_url(&served.web.wat_paths()[0]);
    let length = served.bytes(&url).len();
    let (status, range, _) = ranged(served, &url, &format!("bytes={length}-"));
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(range.unwrap(), format!("bytes */{length}"));
}

#[test]
fn head_tells_the_length_and_that_ranges_work() {
    let served = served();
    let url = served.data_url(&served.web.wat_paths()[0]);
    let length = served.bytes(&url).len().to_string();
    let response = served
        .runtime
        .block_on(served.client.head(&url).send())
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_LENGTH], length);
    assert_eq!(response.headers()[header::ACCEPT_RANGES], "bytes");
}

#[test]
fn what_is_not_there_and_what_is_not_read_only_is_refused() {
    let served = served();
    let missing = served.get(&served.data_url("crawl-data/elsewhere.gz"));
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let url = served.data_url(&served.web.wat_paths()[0]);
    let request = served.client.request(Method::DELETE, &url);
    let deleted = served.runtime.block_on(request.send()).unwrap();
    assert_eq!(deleted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let page = &served.web.page_urls()[0];
    let request = served
        .client
        .get(page)
        .header(header::HOST, "elsewhere.test");
    let misdirected = served.runtime.block_on(request.send()).unwrap();
    assert_eq!(misdirected.status(), StatusCode::MISDIRECTED_REQUEST);
}
