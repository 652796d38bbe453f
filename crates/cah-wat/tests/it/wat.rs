//! WAT files for tests, of the shape that Common Crawl writes.

use std::io::{Read as _, Write as _};

use cah_wat::{Error, Options, Page, PageReader, Piece, Reader, Report};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use proptest::prelude::*;

/// A whole WARC record.
pub(crate) fn record(kind: &str, body: &str) -> Vec<u8> {
    format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-31T01:17:49Z\r\n\
         WARC-Record-ID: <urn:uuid:3d3f4785-c69a-4f8c-968c-d23302c55ef4>\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}\r\n\r\n",
        body.len()
    )
    .into_bytes()
}

/// The metadata record of a response: a page with these links, each of them JSON.
pub(crate) fn response(page_url: &str, head: &str, links: &[&str]) -> Vec<u8> {
    let links = links.join(",");
    record(
        "metadata",
        &format!(
            r#"{{"Container":{{"Filename":"a.warc.gz","Compressed":true,"Offset":"7"}},"Envelope":{{"Payload-Metadata":{{"Actual-Content-Type":"application/http; msgtype=response","HTTP-Response-Metadata":{{"Response-Message":{{"Version":"HTTP/1.1","Status":"200","Reason":"OK"}},"Headers":{{"Content-Type":"text/html"}},"HTML-Metadata":{{"Head":{{{head}}},"Links":[{links}]}},"Entity-Length":"10"}},"Trailing-Slop-Length":"4"}},"Format":"WARC/1.0","WARC-Header-Metadata":{{"WARC-Type":"response","WARC-Target-URI":"{page_url}"}}}}}}"#
        ),
    )
}

/// The content of a metadata record.
pub(crate) fn json(record: &[u8]) -> &[u8] {
    let mut lines = record.split(|byte| *byte == b'\n');
    lines.find(|line| line.starts_with(b"{")).unwrap()
}

/// A response with one image, told apart by its number and padded to a size of its own.
pub(crate) fn numbered(number: usize) -> Vec<u8> {
    let padding: String = (0..(number * 37) % 400)
        .map(|n| char::from(b'a' + ((n * number) % 26) as u8))
        .collect();
    let image = format!(r#"{{"path":"IMG@/src","url":"/{number}.jpg","alt":"image {number}"}}"#);
    let link = format!(r#"{{"path":"A@/href","url":"/{padding}","text":"WARC/1.0"}}"#);
    response("https://example.com/", "", &[&link, &image])
}

/// The records of a small WAT file: information first, then what belongs to `count` pages.
pub(crate) fn records(count: usize) -> Vec<Vec<u8>> {
    let mut records = vec![record("warcinfo", "Software-Info: a test\r\n")];
    for number in 0..count {
        let request = r#"{"Envelope":{"Payload-Metadata":{"HTTP-Request-Metadata":{}}}}"#;
        records.push(record("metadata", request));
        records.push(numbered(number));
    }
    records
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, 6)
}

pub(crate) fn gzip_at(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a member holds, by another inflater.
pub(crate) fn gunzip(member: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(member).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// One gzip member a record, as Common Crawl writes it.
pub(crate) fn wat(count: usize) -> Vec<u8> {
    records(count)
        .iter()
        .flat_map(|record| gzip(record))
        .collect()
}

/// How a file is laid out; [`lay_out`] makes it.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// No compression.
    Plain,
    /// One member for all.
    OneMember,
    /// A member for each group of so many records.
    Members(usize),
    /// A member for each so many bytes, wherever records start (as bgzip does).
    Blocks(usize),
}

pub(crate) fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        1 => Just(Layout::Plain),
        1 => Just(Layout::OneMember),
        4 => (1_usize..4).prop_map(Layout::Members),
        1 => (50_usize..3000).prop_map(Layout::Blocks),
    ]
}

pub(crate) fn lay_out(records: &[Vec<u8>], layout: &Layout) -> Vec<u8> {
    match layout {
        Layout::Plain => records.concat(),
        Layout::OneMember => gzip(&records.concat()),
        Layout::Members(group) => records
            .chunks(*group)
            .flat_map(|group| gzip(&group.concat()))
            .collect(),
        Layout::Blocks(size) => records.concat().chunks(*size).flat_map(gzip).collect(),
    }
}

/// The bodies of the records of a piece, with where each starts.
pub(crate) type Bodies = Vec<(u64, String)>;

/// Reads a piece of `file` in steps of the given lengths, over and over.
pub(crate) fn read_piece(
    file: &[u8],
    piece: Piece,
    steps: &[usize],
) -> (Bodies, Result<Report, Error>) {
    let mut reader = Reader::for_piece(file.len() as u64, piece);
    let mut bodies = Vec::new();
    let mut take = |record: cah_wat::Record<'_>| {
        bodies.push((
            record.offset(),
            String::from_utf8_lossy(record.body()).into_owned(),
        ));
    };
    let mut rest = file
        .get(reader.start_offset() as usize..)
        .unwrap_or_default();
    for step in steps.iter().cycle() {
        if rest.is_empty() || reader.is_done() {
            break;
        }
        let (next, after) = rest.split_at((*step).clamp(1, rest.len()));
        rest = after;
        if let Err(error) = reader.decode(next, &mut take) {
            return (bodies, Err(error));
        }
    }
    let report = reader.finish(&mut take);
    (bodies, report)
}

/// Reads a whole file at once.
pub(crate) fn read(file: &[u8]) -> (Vec<String>, Report) {
    let (bodies, report) = read_piece(file, Piece::Whole, &[usize::MAX]);
    (
        bodies.into_iter().map(|(_, body)| body).collect(),
        report.unwrap(),
    )
}

/// The alternative texts of all pages.
pub(crate) fn alts(file: &[u8]) -> (Vec<String>, Report) {
    let mut alts = Vec::new();
    let mut take = |page: Page<'_>| alts.extend(page.links.iter().map(|link| link.alt.to_string()));
    let mut pages = PageReader::new(Options::default());
    pages.decode(file, &mut take).unwrap();
    let report = pages.finish(&mut take).unwrap();
    (alts, report)
}

pub(crate) fn numbered_alts(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("image {number}"))
        .collect()
}
