//! The pages as their servers send them are those that the WAT describes.

use reqwest::header;

use crate::{
    html,
    support::served,
    wat::{links, pages},
};

#[test]
fn every_page_has_the_links_and_the_base_of_its_record() {
    let served = served();
    let mut seen = Vec::new();
    for number in 0..2 {
        for (url, described) in pages(served, number) {
            let page = String::from_utf8(served.bytes(&url)).unwrap();
            assert_eq!(html::links(&page), links(&described), "{url}");
            assert_eq!(
                html::base(&page).as_deref(),
                described["Head"]["Base"].as_str()
            );
            seen.push(url);
        }
    }
    assert_eq!(seen, served.web.page_urls());
}

#[test]
fn a_page_is_utf8_html() {
    let served = served();
    let response = served.get(&served.web.page_urls()[0]);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
}

#[test]
fn links_come_in_every_form() {
    let served = served();
    let written: Vec<String> = pages(served, 0)
        .into_iter()
        .flat_map(|(_, described)| links(&described))
        .filter(|link| link.path == "IMG@/src")
        .map(|link| link.url)
        .collect();
    for form in [
        "http://", "https://", "//", "/media/", "img/", "../img/", "data:",
    ] {
        assert!(written.iter().any(|url| url.starts_with(form)), "{form}");
    }
}

#[test]
fn some_pages_are_in_other_languages() {
    let candidates = served().web.truth().candidates();
    let foreign = candidates
        .iter()
        .filter(|candidate| candidate.language != "en");
    assert!(foreign.count() >= 4);
}
