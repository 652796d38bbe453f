//! The mini web's WAT files, as Common Crawl's pipeline writes them.
//!
//! A crawl gives a WARC file: a `warcinfo` record, and for each page a `request`, a `response` and
//! a `metadata` record. The WAT tells of each of them in one `metadata` record of JSON, after a
//! `warcinfo` record of its own; every record is one gzip member. The WARC's records are made here
//! too, although nobody reads them: what the WAT says of offsets, lengths, checksums and digests
//! is true of real bytes.

mod clock;
mod json;
mod message;
mod record;

use crate::{
    document::Document,
    scene::Rng,
    wat::{
        clock::Moment,
        json::{Container, Detail, Line},
        message::Message,
        record::{Identities, Record, gzip, sha1},
    },
};

/// The name of the crawl in paths.
const CRAWL: &str = "CC-MINI-2026-48";

/// What a crawler got for one URL.
pub(crate) struct Capture<'a> {
    pub(crate) url: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    /// What the parser found, where the body is HTML.
    pub(crate) document: Option<&'a Document>,
}

/// The path of the `number`th WAT file below the base URL.
pub(crate) fn path(number: usize) -> String {
    let file = file_stem(number);
    format!("crawl-data/{CRAWL}/segments/1795420800000.17/wat/{file}.warc.wat.gz")
}

/// The path below the base URL of the list of all WAT files; compressed, it ends in `.gz`.
pub(crate) fn paths_file() -> String {
    format!("crawl-data/{CRAWL}/wat.paths")
}

fn file_stem(number: usize) -> String {
    format!("CC-MINI-20261123040000-20261123070000-{number:05}")
}

/// Writes the `number`th WAT file: what the crawl of `captures` looks like.
pub(crate) fn write(number: usize, seed: u64, captures: &[Capture]) -> Vec<u8> {
    let mut writer = Writer::new(number, seed);
    writer.begin();
    for capture in captures {
        writer.describe(capture);
    }
    writer.wat
}

struct Writer {
    warc_name: String,
    /// Where the next record of the WARC starts.
    offset: usize,
    wat: Vec<u8>,
    identities: Identities,
    warcinfo: String,
    moment: Moment,
}

impl Writer {
    fn new(number: usize, seed: u64) -> Self {
        let mut identities = Identities::new(Rng::nth(seed, number as u64));
        Self {
            warc_name: format!("{}.warc.gz", file_stem(number)),
            offset: 0,
            wat: Vec::new(),
            warcinfo: identities.next(),
            identities,
            moment: Moment::CRAWL,
        }
    }

    /// The `warcinfo` of the WAT, then the description of the one of the WARC.
    fn begin(&mut self) {
        let fields = [
            (
                "Software-Info",
                concat!("cah-demo.", env!("CARGO_PKG_VERSION")),
            ),
            ("Extracted-Date", &Moment::EXTRACTION.http()),
            ("ip", "127.0.0.1"),
            ("hostname", "localhost"),
            ("format", "WARC File Format 1.0"),
            (
                "conformsTo",
                "http://bibnum.bnf.fr/WARC/WARC_ISO_28500_version1_latestdraft.pdf",
            ),
        ];
        let record = Record::new("warcinfo")
            .with("WARC-Date", Moment::EXTRACTION.warc())
            .with(
                "WARC-Filename",
                self.warc_name.replace(".warc.gz", ".warc.wat.gz"),
            )
            .with("WARC-Record-ID", self.identities.next())
            .with("Content-Type", "application/warc-fields")
            .holding(fields_block(&fields));
        self.wat.extend(gzip(&record.bytes()));
        self.describe_warcinfo();
    }

    fn describe_warcinfo(&mut self) {
        let fields = [
            ("isPartOf", CRAWL),
            ("publisher", "The demo of Crawling@Home"),
            ("description", "The mini web, whose truth is known"),
            ("hostname", "localhost"),
            ("software", concat!("cah-demo/", env!("CARGO_PKG_VERSION"))),
            ("format", "WARC File Format 1.1"),
        ];
        let record = Record::new("warcinfo")
            .with("WARC-Date", self.moment.warc())
            .with("WARC-Record-ID", self.warcinfo.clone())
            .with("WARC-Filename", self.warc_name.clone())
            .with("Content-Type", "application/warc-fields")
            .holding(fields_block(&fields));
        let target = self.warc_name.clone();
        self.append(&target, &record, Detail::info(&fields));
    }

    /// Request, response and metadata of one page.
    fn describe(&mut self, capture: &Capture) {
        self.moment.advance();
        let request_id = self.identities.next();
        self.describe_request(capture.url, &request_id);
        let response_id = self.identities.next();
        self.describe_response(capture, &request_id, &response_id);
        self.describe_metadata(capture.url, &response_id);
    }

    fn describe_request(&mut self, url: &str, id: &str) {
        let message = Message::request(url);
        let mut block = message.bytes();
        // Common Crawl's requests end with one line break more than their headers need.
        block.extend(b"\r\n");
        let record = self
            .record_of(url, "request", id)
            .with("Content-Type", "application/http; msgtype=request")
            .with("WARC-IP-Address", "127.0.0.1")
            .with("WARC-Payload-Digest", sha1(message.entity))
            .holding(block);
        self.append(url, &record, Detail::request(&message));
    }

    fn describe_response(&mut self, capture: &Capture, request_id: &str, id: &str) {
        let message = Message::response(capture, self.moment);
        let media_type = capture.content_type.split(';').next().unwrap_or_default();
        let record = self
            .record_of(capture.url, "response", id)
            .with("Content-Type", "application/http; msgtype=response")
            .with("WARC-Concurrent-To", request_id)
            .with("WARC-IP-Address", "127.0.0.1")
            .with("WARC-Payload-Digest", sha1(message.entity))
            .with("WARC-Identified-Payload-Type", media_type)
            .holding(message.bytes());
        let detail = Detail::response(&message, capture.document);
        self.append(capture.url, &record, detail);
    }

    fn describe_metadata(&mut self, url: &str, response_id: &str) {
        let fields = [("fetchTimeMs", "12"), ("charset-detected", "UTF-8")];
        let id = self.identities.next();
        let record = self
            .record_of(url, "metadata", &id)
            .with("Content-Type", "application/warc-fields")
            .with("WARC-Concurrent-To", response_id)
            .holding(fields_block(&fields));
        self.append(url, &record, Detail::metadata(&fields));
    }

    /// A record of the WARC about a URL.
    fn record_of(&self, url: &str, kind: &'static str, id: &str) -> Record {
        Record::new(kind)
            .with("WARC-Date", self.moment.warc())
            .with("WARC-Record-ID", id)
            .with("WARC-Warcinfo-ID", self.warcinfo.clone())
            .with("WARC-Target-URI", url)
    }

    /// Appends to the WAT what it says of this record of the WARC.
    fn append(&mut self, target: &str, record: &Record, detail: Detail) {
        let whole = record.bytes();
        let member = gzip(&whole);
        let line = Line {
            container: Container::new(&self.warc_name, self.offset, &member, &whole),
            envelope: record.envelope(detail),
        };
        self.offset += member.len();
        let json = serde_json::to_vec(&line).expect("strings and lists always become JSON");
        let description = Record::new("metadata")
            .with("WARC-Target-URI", target)
            .with("WARC-Date", Moment::EXTRACTION.warc())
            .with("WARC-Record-ID", self.identities.next())
            .with("WARC-Refers-To", record.id())
            .with("Content-Type", "application/json")
            .with("WARC-Payload-Digest", sha1(&json))
            .holding(json);
        self.wat.extend(gzip(&description.bytes()));
    }
}

/// `application/warc-fields`: a line a field, and an empty one.
fn fields_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{lines}\r\n").into_bytes()
}
