//! The JSON of a WAT: what is said of one record. Numbers are strings, as the extractor writes them.

use flate2::Crc;
use serde::{Serialize, Serializer};

use super::{
    message::Message,
    record::{Record, sha1},
};
use crate::document::{Document, Head, Link};

/// A record's whole description.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line<'a> {
    pub(super) container: Container<'a>,
    pub(super) envelope: Envelope<'a>,
}

/// Where in the WARC the record lies.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container<'a> {
    filename: &'a str,
    compressed: bool,
    offset: String,
    #[serde(rename = "Gzip-Metadata")]
    gzip: Gzip,
}

#[derive(Serialize)]
struct Gzip {
    #[serde(rename = "Deflate-Length")]
    deflate_length: String,
    #[serde(rename = "Header-Length")]
    header_length: &'static str,
    #[serde(rename = "Footer-Length")]
    footer_length: &'static str,
    #[serde(rename = "Inflated-CRC")]
    inflated_crc: String,
    #[serde(rename = "Inflated-Length")]
    inflated_length: String,
}

/// What the record is.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "Payload-Metadata")]
    payload: Payload<'a>,
    #[serde(rename = "Format")]
    format: &'static str,
    #[serde(rename = "WARC-Header-Length")]
    header_length: String,
    #[serde(rename = "WARC-Header-Metadata")]
    headers: Fields<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "Actual-Content-Type")]
    content_type: &'static str,
    #[serde(flatten)]
    detail: Detail<'a>,
    #[serde(rename = "Actual-Content-Length")]
    content_length: String,
    #[serde(rename = "Trailing-Slop-Length")]
    trailing_slop: &'static str,
    #[serde(rename = "Block-Digest")]
    block_digest: String,
}

/// What the record holds.
#[derive(Serialize)]
pub(super) enum Detail<'a> {
    #[serde(rename = "WARC-Info-Metadata")]
    Info(Fields<'a>),
    #[serde(rename = "HTTP-Request-Metadata")]
    Request(Http<'a, RequestMessage<'a>>),
    #[serde(rename = "HTTP-Response-Metadata")]
    Response(Http<'a, ResponseMessage<'a>>),
    #[serde(rename = "WARC-Metadata-Metadata")]
    Metadata(MetadataRecords<'a>),
}

#[derive(Serialize)]
pub(super) struct Http<'a, M> {
    #[serde(flatten)]
    message: M,
    #[serde(rename = "Headers-Length")]
    headers_length: String,
    #[serde(rename = "Headers")]
    headers: Fields<'a>,
    #[serde(rename = "HTML-Metadata", skip_serializing_if = "Option::is_none")]
    html: Option<Html<'a>>,
    #[serde(rename = "Entity-Length")]
    entity_length: String,
    #[serde(rename = "Entity-Digest")]
    entity_digest: String,
    #[serde(rename = "Entity-Trailing-Slop-Length")]
    entity_trailing_slop: &'static str,
}

#[derive(Serialize)]
pub(super) struct RequestMessage<'a> {
    #[serde(rename = "Request-Message")]
    line: RequestLine<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RequestLine<'a> {
    method: &'a str,
    path: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
pub(super) struct ResponseMessage<'a> {
    #[serde(rename = "Response-Message")]
    line: StatusLine<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusLine<'a> {
    version: &'a str,
    status: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Html<'a> {
    head: &'a Head,
    links: &'a [Link],
}

#[derive(Serialize)]
pub(super) struct MetadataRecords<'a> {
    #[serde(rename = "Metadata-Records")]
    records: Vec<MetadataRecord<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetadataRecord<'a> {
    name: &'a str,
    value: &'a str,
}

/// A JSON object that keeps the order of its fields.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl<'a> Fields<'a> {
    fn of(headers: &'a [(&'static str, String)]) -> Self {
        Self(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect(),
        )
    }
}

impl<'a> Container<'a> {
    /// Describes the gzip `member` that begins at `offset` and inflates to `whole`.
    pub(super) fn new(filename: &'a str, offset: usize, member: &[u8], whole: &[u8]) -> Self {
        let mut checksum = Crc::new();
        checksum.update(whole);
        Self {
            filename,
            compressed: true,
            offset: offset.to_string(),
            gzip: Gzip {
                deflate_length: member.len().to_string(),
                header_length: "10",
                footer_length: "8",
                inflated_crc: checksum.sum().to_string(),
                inflated_length: whole.len().to_string(),
            },
        }
    }
}

impl Record {
    /// The description of the record itself.
    pub(super) fn envelope<'a>(&'a self, detail: Detail<'a>) -> Envelope<'a> {
        Envelope {
            payload: Payload {
                content_type: detail.content_type(),
                trailing_slop: detail.trailing_slop(),
                detail,
                content_length: self.block.len().to_string(),
                block_digest: sha1(&self.block),
            },
            format: "WARC/1.0",
            header_length: self.head().len().to_string(),
            headers: Fields::of(&self.headers),
        }
    }
}

impl<'a> Detail<'a> {
    pub(super) fn info(fields: &[(&'a str, &'a str)]) -> Self {
        Self::Info(Fields(fields.to_vec()))
    }

    pub(super) fn metadata(fields: &[(&'a str, &'a str)]) -> Self {
        Self::Metadata(MetadataRecords {
            records: fields
                .iter()
                .map(|&(name, value)| MetadataRecord { name, value })
                .collect(),
        })
    }

    pub(super) fn request(message: &'a Message) -> Self {
        let [method, path, version] = &message.first_line;
        let line = RequestLine {
            method,
            path,
            version,
        };
        Self::Request(Http::new(RequestMessage { line }, message, None))
    }

    pub(super) fn response(message: &'a Message, document: Option<&'a Document>) -> Self {
        let [version, status, reason] = &message.first_line;
        let line = StatusLine {
            version,
            status,
            reason,
        };
        let html = document.map(|document| Html {
            head: &document.head,
            links: &document.links,
        });
        Self::Response(Http::new(ResponseMessage { line }, message, html))
    }

    fn content_type(&self) -> &'static str {
        match self {
            Self::Info(_) => "application/warc-fields",
            Self::Request(_) => "application/http; msgtype=request",
            Self::Response(_) => "application/http; msgtype=response",
            Self::Metadata(_) => "application/metadata-fields",
        }
    }

    /// The line breaks behind the block, where the extractor counts them.
    fn trailing_slop(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Response(_) => "4",
            Self::Info(_) | Self::Metadata(_) => "0",
        }
    }
}

impl<'a, M> Http<'a, M> {
    fn new(first_line: M, message: &'a Message, html: Option<Html<'a>>) -> Self {
        Self {
            message: first_line,
            headers_length: message.head().len().to_string(),
            headers: Fields::of(&message.headers),
            html,
            entity_length: message.entity.len().to_string(),
            entity_digest: sha1(message.entity),
            entity_trailing_slop: "0",
        }
    }
}
