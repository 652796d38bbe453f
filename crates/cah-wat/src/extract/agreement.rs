//! Property tests: the fast way, the sure way and a plain reading of the rules agree.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use super::{DocumentType, Wanted, full, parts::Parts, walk};
use crate::licence::HOST;

/// JSON to be written: unlike `serde_json::Value` with an order, and names that come twice.
#[derive(Clone, Debug)]
enum Json {
    /// Anything that is no text and has no members: written as it stands.
    Literal(&'static str),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// How it is written: Common Crawl's way, and ways that mean the same.
#[derive(Clone, Copy, Debug)]
enum Style {
    Compact,
    Spaced,
    Escaped,
}

impl Json {
    fn write(&self, style: Style) -> String {
        let mut out = String::new();
        self.write_to(&mut out, style);
        out
    }

    fn write_to(&self, out: &mut String, style: Style) {
        let space = if matches!(style, Style::Spaced) {
            " "
        } else {
            ""
        };
        match self {
            Json::Literal(literal) => out.push_str(literal),
            Json::Text(text) => write_text(out, text, style),
            Json::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(space);
                    element.write_to(out, style);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write_text(out, name, style);
                    out.push(':');
                    out.push_str(space);
                    value.write_to(out, style);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(out: &mut String, text: &str, style: Style) {
    if !matches!(style, Style::Escaped) {
        out.push_str(&serde_json::to_string(text).unwrap());
        return;
    }
    out.push('"');
    for (index, unit) in text.encode_utf16().enumerate() {
        match u8::try_from(unit) {
            Ok(b'/') => out.push_str("\\/"),
            Ok(byte @ (b'a'..=b'z' | b'@')) if index % 3 > 0 => out.push(char::from(byte)),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out.push('"');
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![6 => Just(Style::Compact), 1 => Just(Style::Spaced), 1 => Just(Style::Escaped)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z/.:?]{0,12}",
        "(https?:)?(//)?(cdn\\.example/)?[a-z]{1,6}\\.(jpg|mp3|mp4|pdf|MD|md|tar\\.gz)",
        "\\PC{0,10}",
        Just("quote \" backslash \\ slash / brackets }]{[ \u{1} 😀".to_owned()),
        Just("IMG@/src".to_owned()),
        Just("\"path\":\"IMG@/src\"".to_owned()),
        Just(format!("https://{HOST}/licenses/by/4.0/")),
    ]
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just("null"),
        Just("true"),
        Just("false"),
        Just("0"),
        Just("-1"),
        Just("1.5e3"),
        Just("12"),
        Just("12345678901234567890"),
    ]
    .prop_map(Json::Literal)
}

/// Anything, with the names and texts that matter in places where they do not.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![scalar(), text().prop_map(Json::Text)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![
            prop::sample::select(NAMES).prop_map(str::to_owned),
            "[a-z]{1,5}",
            text(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec((name, inner), 0..4).prop_map(Json::Object),
        ]
    })
}

const NAMES: &[&str] = &[
    "Envelope",
    "Container",
    "Filename",
    "WARC-Header-Metadata",
    "WARC-Target-URI",
    "Payload-Metadata",
    "HTTP-Response-Metadata",
    "HTML-Metadata",
    "Head",
    "Base",
    "Link",
    "Links",
    "path",
    "url",
    "alt",
    "text",
    "rel",
];

/// An object with these members in any order, among others; now and then something else.
fn object(members: Vec<(&'static str, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
    let members = members.into_iter().map(|(name, value)| {
        let value = prop_oneof![12 => value, 1 => any_json()];
        let times = prop_oneof![1 => Just(0), 12 => Just(1), 1 => Just(2)];
        (
            Just(name.to_owned()),
            times.prop_flat_map(move |n| prop::collection::vec(value.clone(), n)),
        )
    });
    let others = prop::collection::vec(("[A-Z][a-z-]{1,6}", any_json()), 0..3);
    (members.collect::<Vec<_>>(), others)
        .prop_map(|(members, others)| {
            let known = members.into_iter().flat_map(|(name, values)| {
                values.into_iter().map(move |value| (name.clone(), value))
            });
            known.chain(others).collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(Json::Object)
        .boxed()
}

fn link() -> BoxedStrategy<Json> {
    let path = prop::sample::select(vec!["IMG@/src", "A@/href", "LINK@/href", "IMG@/srcset", ""]);
    let rel = prop::sample::select(vec!["license", "nofollow", "stylesheet"]);
    object(vec![
        (
            "path",
            path.prop_map(|path| Json::Text(path.to_owned())).boxed(),
        ),
        ("url", text().prop_map(Json::Text).boxed()),
        ("alt", text().prop_map(Json::Text).boxed()),
        ("text", text().prop_map(Json::Text).boxed()),
        (
            "rel",
            rel.prop_map(|rel| Json::Text(rel.to_owned())).boxed(),
        ),
    ])
}

fn links() -> BoxedStrategy<Json> {
    let element = prop_oneof![9 => link(), 1 => any_json()];
    prop::collection::vec(element, 0..6)
        .prop_map(Json::Array)
        .boxed()
}

fn record() -> BoxedStrategy<Json> {
    let page = Just(Json::Text("https://example.com/a/".to_owned())).boxed();
    let filename = Just(Json::Text("a.warc.gz".to_owned())).boxed();
    let base = text().prop_map(Json::Text).boxed();
    let head = object(vec![("Base", base), ("Link", links())]);
    let html = object(vec![("Head", head), ("Links", links())]);
    let response = object(vec![("HTML-Metadata", html)]);
    let payload = object(vec![("HTTP-Response-Metadata", response)]);
    let header = object(vec![("WARC-Target-URI", page)]);
    object(vec![
        ("Container", object(vec![("Filename", filename)])),
        (
            "Envelope",
            object(vec![
                ("Payload-Metadata", payload),
                ("WARC-Header-Metadata", header),
            ]),
        ),
    ])
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (prop::sample::select(&DocumentType::ALL[..]), any::<bool>()).prop_map(
        |(document_type, licences)| Wanted {
            document_type,
            licences,
        },
    )
}

/// The parts of a record by its parsed tree: the rules written down once more, without speed.
fn plain_reading(record: &Value, wanted: Wanted) -> Parts<'static> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let envelope = &record["Envelope"];
    let html = &envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"];
    let links = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let licences = |value: &Value| {
        let all = links(value);
        let deeds = all.iter().filter_map(|link| {
            let is_link = ["A@/href", "AREA@/href", "LINK@/href"].contains(&link["path"].as_str()?);
            let url = link["url"].as_str().filter(|_| is_link)?;
            crate::licence::LicenceLink::new(url, link["rel"].as_str())
        });
        if wanted.licences {
            deeds.collect()
        } else {
            Vec::new()
        }
    };
    Parts {
        cc_filename: text(&record["Container"]["Filename"]).into(),
        page_url: text(&envelope["WARC-Header-Metadata"]["WARC-Target-URI"]).into(),
        base: html["Head"]["Base"]
            .as_str()
            .map(|base| base.to_owned().into()),
        links: links(&html["Links"])
            .iter()
            .filter_map(|link| plain_selection(link, wanted.document_type))
            .map(|(url, alt)| super::Link {
                url: url.into(),
                alt: alt.into(),
            })
            .collect(),
        head_licences: licences(&html["Head"]["Link"]),
        link_licences: licences(&html["Links"]),
    }
}

fn plain_selection(link: &Value, document_type: DocumentType) -> Option<(String, String)> {
    let url = link.get("url").and_then(Value::as_str);
    let text = |name: &str| match link.get(name) {
        None => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    let is_image = link["path"] == "IMG@/src";
    let ends = |endings: &str| {
        let ending = url
            .and_then(|url| url.rsplit_once('.'))
            .map(|(_, ending)| ending);
        ending.is_some_and(|ending| endings.split(' ').any(|one| one == ending))
    };
    let (is_wanted, name) = match document_type {
        DocumentType::Image => (
            is_image && link["alt"].as_str().is_some_and(|s| !s.is_empty()),
            "alt",
        ),
        DocumentType::ImageOnly => (is_image, "alt"),
        DocumentType::Audio => (ends("ogg wav mp3 flac m4a"), "text"),
        DocumentType::Video => (ends("avi mp4 mkv webm mov mpg mpeg m4v"), "text"),
        DocumentType::Text => (
            ends("pdf epub djvu mobi doc docx rtf txt odt ppt pptx pages keynote wps md"),
            "text",
        ),
    };
    is_wanted.then_some(())?;
    Some((url?.to_owned(), text(name)?))
}

/// A change of some bytes: deleted, doubled, replaced by what JSON is made of.
fn mutate(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8)]) {
    const PIECES: &[&[u8]] = &[
        b"",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\u00e9",
        b"\\ud83d",
        b"\\u12",
        b"\xff",
        b"\n",
        b"1e9",
        b"-",
        b"tru",
        b" ",
        b"\x00",
        b"\"path\":\"IMG@/src\"",
    ];
    for (index, kind) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = index.index(bytes.len());
        let piece = PIECES[usize::from(*kind) % PIECES.len()];
        let removed = usize::from(*kind > 128);
        bytes.splice(at..at + removed, piece.iter().copied());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn all_readings_agree(record in record(), style in style(), wanted in wanted()) {
        let json = record.write(style);
        let sure = full::parts(&json, wanted).unwrap();
        let tree = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&sure, &plain_reading(&tree, wanted));
        if let Ok(fast) = walk::parts(&json, wanted) {
            prop_assert_eq!(&fast, &sure);
        }
    }

    #[test]
    fn what_is_damaged_is_never_read_differently(
        record in record(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        wanted in wanted(),
    ) {
        let mut bytes = record.write(Style::Compact).into_bytes();
        mutate(&mut bytes, &changes);
        if let Ok(json) = std::str::from_utf8(&bytes)
            && let Ok(fast) = walk::parts(json, wanted)
        {
            prop_assert_eq!(fast, full::parts(json, wanted).unwrap());
        }
    }

    #[test]
    fn arbitrary_text_is_never_read_differently(json in "[\\[\\]{}\",:a-z0-9\\\\ ]{0,30}", wanted in wanted()) {
        if let Ok(fast) = walk::parts(&json, wanted) {
            prop_assert_eq!(fast, full::parts(&json, wanted).unwrap());
        }
    }
}

#[test]
fn the_fast_way_is_taken_for_what_common_crawl_writes() {
    let wanted = Wanted {
        document_type: DocumentType::Image,
        licences: true,
    };
    let links = r#"[{"path":"IMG@/src","url":"a.jpg","alt":"caf\u0085é \"x\""},{"path":"A@/href","url":"b","text":"<\/b>"}]"#;
    let html = format!(
        r#"{{"Links":{links},"Head":{{"Title":"t","Metas":[{{"name":"x"}}],"Base":"/b/"}}}}"#
    );
    let envelope = format!(
        r#"{{"Format":"WARC/1.0","WARC-Header-Length":"357","Payload-Metadata":{{"Actual-Content-Type":"x","HTTP-Response-Metadata":{{"Headers":{{"Vary":["a","b"],"X":{{}},"N":0}},"HTML-Metadata":{html}}}}},"WARC-Header-Metadata":{{"WARC-Target-URI":"http://e/"}}}}"#
    );
    for json in [
        format!(r#"{{"Container":{{"Compressed":true,"Filename":"f"}},"Envelope":{envelope}}}"#),
        format!("{{\"Envelope\":{envelope},\"Container\":{{\"Filename\":\"f\"}}}}\r\n"),
    ] {
        let parts = walk::parts(&json, wanted).unwrap();
        assert_eq!(parts.links[0].alt, "caf\u{85}é \"x\"");
        assert_eq!((&*parts.page_url, &*parts.cc_filename), ("http://e/", "f"));
        assert_eq!(parts.base.as_deref(), Some("/b/"));
    }
}

#[test]
fn anchors_are_passed_only_where_nothing_is_missed() {
    let wanted = Wanted {
        document_type: DocumentType::Image,
        licences: false,
    };
    let image = r#"{"path":"IMG@/src","url":"a.jpg","alt":"x"}"#;
    for (rest, images) in [
        (r#"}"#, Some(1)),
        (r#","url":"b"}"#, Some(1)),
        (r#","url":"b","text":"é","rel":"nofollow"}"#, Some(1)),
        (r#","text":"a \"b\"","url":"b"}"#, Some(1)),
        (r#","text":7,"url":["b"]}"#, Some(1)),
        (r#","a long name":"b"}"#, Some(1)),
        // The last one counts, whatever came first.
        (r#","path":"IMG@/src","url":"b","alt":"y"}"#, Some(2)),
        (r#","url":"b","path":"IMG@/src","alt":"y"}"#, Some(2)),
        (r#","url":"b",}"#, None),
        (r#","url":"b""#, None),
        (r#","url":"b"#, None),
        (r#","url":b"}"#, None),
        (r#","url""b"}"#, None),
        ("url\":\"b\"}", None),
        (",\"url\":\"b\n\"}", None),
        ("", None),
    ] {
        let links = format!(r#"[{{"path":"A@/href"{rest},{image}]"#);
        let json = format!(
            r#"{{"Envelope":{{"Payload-Metadata":{{"HTTP-Response-Metadata":{{"HTML-Metadata":{{"Links":{links}}}}}}}}}}}"#
        );
        let sure = full::parts(&json, wanted).ok();
        assert_eq!(
            sure.as_ref().map(|parts| parts.links.len()),
            images,
            "{json}"
        );
        if let Ok(fast) = walk::parts(&json, wanted) {
            assert_eq!(Some(fast), sure, "{json}");
        }
    }
}

#[test]
fn deep_nesting_is_no_danger() {
    let wanted = Wanted {
        document_type: DocumentType::Image,
        licences: false,
    };
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(walk::parts(&deep, wanted).unwrap_err(), walk::Surprise);
    assert_eq!(full::parts(&deep, wanted).unwrap(), Parts::default());
}
