//! The WAT files, member by member.

use std::{collections::BTreeMap, io::Read as _};

use cah_demo::Candidate;
use flate2::bufread::GzDecoder;
use serde_json::Value;
use url::Url;

use crate::{
    html::Link,
    support::{Served, served},
};

/// A record as it lies in one gzip member.
pub(crate) struct Record {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) block: Vec<u8>,
}

/// Inflates a WAT member by member; each must hold exactly one record.
pub(crate) fn records(wat: &[u8]) -> Vec<Record> {
    let mut rest = wat;
    let mut records = Vec::new();
    while !rest.is_empty() {
        assert_eq!(
            rest[..4],
            [0x1f, 0x8b, 8, 0],
            "a member without optional fields"
        );
        let mut member = GzDecoder::new(rest);
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        rest = member.into_inner();
        records.push(record(&bytes));
    }
    records
}

fn record(bytes: &[u8]) -> Record {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("WARC/1.0"));
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let block = bytes[end + 4..].strip_suffix(b"\r\n\r\n").unwrap();
    assert_eq!(headers["Content-Length"], block.len().to_string());
    Record {
        headers,
        block: block.to_vec(),
    }
}

fn wat(served: &Served, number: usize) -> Vec<Record> {
    records(&served.bytes(&served.data_url(&served.web.wat_paths()[number])))
}

/// The JSON of every record but the first.
fn descriptions(served: &Served, number: usize) -> Vec<Value> {
    wat(served, number)[1..]
        .iter()
        .map(|record| serde_json::from_slice(&record.block).unwrap())
        .collect()
}

fn kind(description: &Value) -> &str {
    description["Envelope"]["WARC-Header-Metadata"]["WARC-Type"]
        .as_str()
        .unwrap()
}

/// The `HTML-Metadata` of the pages of a WAT, with their URLs.
pub(crate) fn pages(served: &Served, number: usize) -> Vec<(String, Value)> {
    descriptions(served, number)
        .into_iter()
        .filter_map(|mut description| {
            let envelope = &mut description["Envelope"];
            let url = envelope["WARC-Header-Metadata"]["WARC-Target-URI"].as_str()?;
            let url = url.to_owned();
            let html =
                envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"].take();
            (!html.is_null()).then_some((url, html))
        })
        .collect()
}

/// The links of one page, as far as the HTML shows them.
pub(crate) fn links(html: &Value) -> Vec<Link> {
    let text = |link: &Value, name: &str| link[name].as_str().map(str::to_owned);
    html["Links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| Link {
            path: text(link, "path").unwrap(),
            url: text(link, "url").unwrap(),
            alt: text(link, "alt"),
            text: text(link, "text"),
        })
        .collect()
}

#[test]
fn records_come_in_common_crawls_order() {
    let served = served();
    for number in 0..2 {
        let records = wat(served, number);
        assert_eq!(records[0].headers["WARC-Type"], "warcinfo");
        let name = &records[0].headers["WARC-Filename"];
        assert!(served.web.wat_paths()[number].ends_with(name.as_str()));
        for record in &records[1..] {
            assert_eq!(record.headers["WARC-Type"], "metadata");
            assert_eq!(record.headers["Content-Type"], "application/json");
        }
        let descriptions = descriptions(served, number);
        let kinds: Vec<&str> = descriptions.iter().map(kind).collect();
        assert_eq!(kinds[0], "warcinfo");
        // 18 pages and a feed.
        assert_eq!(kinds.len(), 1 + 3 * 19);
        for three in kinds[1..].chunks(3) {
            assert_eq!(three, ["request", "response", "metadata"]);
        }
    }
}

#[test]
fn a_description_refers_to_its_record() {
    let served = served();
    for (record, description) in wat(served, 0)[1..].iter().zip(descriptions(served, 0)) {
        let headers = &description["Envelope"]["WARC-Header-Metadata"];
        assert_eq!(record.headers["WARC-Refers-To"], headers["WARC-Record-ID"]);
        let target = match kind(&description) {
            "warcinfo" => &headers["WARC-Filename"],
            _ => &headers["WARC-Target-URI"],
        };
        assert_eq!(record.headers["WARC-Target-URI"], *target);
        assert_eq!(
            headers["Content-Length"],
            description["Envelope"]["Payload-Metadata"]["Actual-Content-Length"]
        );
    }
}

#[test]
fn containers_lie_end_to_end() {
    let mut end = 0;
    for description in descriptions(served(), 1) {
        let container = &description["Container"];
        let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(number(&container["Offset"]), end);
        assert_eq!(container["Compressed"], true);
        end += number(&container["Gzip-Metadata"]["Deflate-Length"]);
        let envelope = &description["Envelope"];
        let block = number(&envelope["Payload-Metadata"]["Actual-Content-Length"]);
        let whole = number(&envelope["WARC-Header-Length"]) + block + 4;
        assert_eq!(
            number(&container["Gzip-Metadata"]["Inflated-Length"]),
            whole
        );
    }
}

/// The very names that Common Crawl's extractor writes, in its order.
#[test]
fn a_response_has_the_true_shape() {
    let served = served();
    let records = wat(served, 0);
    let text = String::from_utf8(records[3].block.clone()).unwrap();
    let mut rest = text.as_str();
    for name in [
        "{\"Container\":{\"Filename\":\"CC-MINI-",
        "\"Compressed\":true,\"Offset\":\"",
        "\"Gzip-Metadata\":{\"Deflate-Length\":\"",
        "\"Header-Length\":\"10\",\"Footer-Length\":\"8\",\"Inflated-CRC\":\"",
        "\"Inflated-Length\":\"",
        "\"Envelope\":{\"Payload-Metadata\":{\"Actual-Content-Type\":\"application/http; msgtype=response\",",
        "\"HTTP-Response-Metadata\":{\"Response-Message\":{\"Version\":\"HTTP/1.1\",\"Status\":\"200\",\"Reason\":\"OK\"},",
        "\"Headers-Length\":\"",
        "\"Headers\":{\"content-type\":\"text/html; charset=utf-8\"",
        "\"HTML-Metadata\":{\"Head\":{",
        "\"Title\":\"",
        "\"Metas\":[{\"name\":\"viewport\",\"content\":\"",
        "\"Link\":[{\"path\":\"LINK@/href\",\"url\":\"/style.css\",\"rel\":\"stylesheet\"}",
        "\"Scripts\":[{\"path\":\"SCRIPT@/src\",\"url\":\"/site.js\"}]",
        "\"Links\":[{\"path\":\"A@/href\",\"url\":\"/\",\"text\":\"Home\"}",
        "\"Entity-Length\":\"",
        "\"Entity-Digest\":\"sha1:",
        "\"Entity-Trailing-Slop-Length\":\"0\"},",
        "\"Actual-Content-Length\":\"",
        "\"Trailing-Slop-Length\":\"4\",\"Block-Digest\":\"sha1:",
        "\"Format\":\"WARC/1.0\",\"WARC-Header-Length\":\"",
        "\"WARC-Header-Metadata\":{\"WARC-Type\":\"response\",\"WARC-Date\":\"2026-11-23T04:00:01Z\"",
        "\"WARC-Target-URI\":\"http://www.atelier.test:",
    ] {
        let found = rest.find(name);
        let at =
            found.unwrap_or_else(|| panic!("{name} is not behind what comes before it in {text}"));
        rest = &rest[at + name.len()..];
    }
}

#[test]
fn what_is_no_page_has_no_links() {
    let descriptions = descriptions(served(), 0);
    let feed = descriptions
        .iter()
        .map(|description| &description["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"])
        .find(|response| response["Headers"]["content-type"] == "application/json")
        .unwrap();
    assert!(feed["HTML-Metadata"].is_null());
}

/// What an extractor makes of an image link: absolute URL and repaired text.
fn candidates_of(page: &str, html: &Value) -> Vec<(String, String)> {
    let page = Url::parse(page).unwrap();
    let base = match html["Head"]["Base"].as_str() {
        Some(base) => page.join(base).unwrap(),
        None => page,
    };
    links(html)
        .into_iter()
        .filter(|link| link.path == "IMG@/src")
        .filter_map(|link| {
            let alt = link.alt.filter(|alt| !alt.is_empty())?;
            let url = base.join(&link.url).map_or(link.url, String::from);
            let text = plsfix::fix_text(&htmlize::unescape(alt), None);
            Some((url, text.trim().to_owned()))
        })
        .collect()
}

#[test]
fn the_candidates_of_the_wats_are_those_of_the_truth_in_order() {
    let served = served();
    for number in 0..2 {
        let found: Vec<(String, String, String)> = pages(served, number)
            .into_iter()
            .flat_map(|(page, html)| {
                candidates_of(&page, &html)
                    .into_iter()
                    .map(move |(url, text)| (page.clone(), url, text))
            })
            .collect();
        let known: Vec<(String, String, String)> = served
            .web
            .truth()
            .candidates()
            .iter()
            .filter(|candidate| candidate.wat == number)
            .map(|candidate: &Candidate| {
                let Candidate {
                    page_url,
                    url,
                    text,
                    ..
                } = candidate.clone();
                (page_url, url, text)
            })
            .collect();
        assert_eq!(found, known);
    }
}

#[test]
fn licences_of_the_truth_stand_on_the_pages() {
    let served = served();
    let mut named = 0;
    for number in 0..2 {
        for (page, html) in pages(served, number) {
            let licence = html["Links"]
                .as_array()
                .unwrap()
                .iter()
                .find(|link| link["rel"] == "license")
                .map(|link| link["url"].as_str().unwrap());
            let candidates = served.web.truth().candidates();
            let of_page = candidates
                .iter()
                .filter(|candidate| candidate.page_url == page);
            for candidate in of_page {
                assert_eq!(candidate.licence.as_deref(), licence);
                named += usize::from(licence.is_some());
            }
        }
    }
    assert!(named > 0);
}
