//! One pair: what the pipeline knows of it, and what follows from that.

use std::{io::Cursor, sync::Arc};

use bytes::Bytes;
use cah_protocol::Shard;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::{names::ShardNames, text::hex};

/// What stands in the table for a page without a licence.
pub(crate) const NO_LICENSE: &str = "?";

/// What the model's prompts make of an image, as LAION-400M named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nsfw {
    /// Neither of the two likeliest categories is unsafe.
    Unlikely,
    /// One of the two is.
    Unsure,
    /// Both are.
    Nsfw,
}

impl Nsfw {
    /// The name in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Nsfw::Unlikely => "UNLIKELY",
            Nsfw::Unsure => "UNSURE",
            Nsfw::Nsfw => "NSFW",
        }
    }
}

/// An image as it goes into the tar.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// The encoded image.
    pub bytes: Bytes,
    /// The member's extension without a dot, such as `jpg`.
    pub extension: String,
}

/// A candidate whose image was fetched, as the pipeline knows it. Ids, key and hashes are added
/// here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedRow {
    /// The candidate's index in its shard.
    pub index: u64,
    /// The image's absolute address.
    pub url: String,
    /// The alternative text after clean-up.
    pub text: String,
    /// The page's licence link, where it has one.
    pub license: Option<String>,
    /// ISO 639-1 code of the text, where it is reliable.
    pub language: Option<String>,
    /// The page that shows the image.
    pub page_url: String,
    /// Media type of the downloaded bytes, by their content; empty where it is none that is known.
    pub mime: String,
    /// SHA-256 of the downloaded bytes.
    pub sha256: [u8; 32],
    /// MD5 of the downloaded bytes.
    pub md5: [u8; 16],
}

/// One pair as the pipeline hands it over.
#[derive(Clone, Debug, PartialEq)]
pub struct PairRow {
    /// What was known once its image was fetched.
    pub fetched: FetchedRow,
    /// Width and height of the stored image, in pixels; as downloaded where none is stored.
    pub size: ImageSize,
    /// Width and height as downloaded, in pixels.
    pub original_size: ImageSize,
    /// What the image may show.
    pub nsfw: Nsfw,
    /// Cosine of image and text embedding.
    pub similarity: f64,
    /// Perceptual hash (PDQ), where it is computed.
    pub pdq: Option<[u8; 32]>,
    /// How probably the image is unsafe, where that head is loaded.
    pub punsafe: Option<f32>,
    /// How probably the image has a watermark, where that head is loaded.
    pub pwatermark: Option<f32>,
    /// Aesthetic score, where that head is loaded.
    pub aesthetic: Option<f32>,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// What follows from a candidate's index and its shard.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) sample_id: i64,
    pub(crate) key: String,
    pub(crate) wat: Arc<str>,
}

impl Place {
    /// The place of an index in a shard; both were checked, so that the sum is within an i64.
    pub(crate) fn new(shard: &Shard, wat: Arc<str>, index: u64) -> Self {
        Self {
            sample_id: shard.sample_id(index) as i64,
            key: ShardNames(shard.number).key(index),
            wat,
        }
    }
}

/// A fetched candidate at its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) row: &'a FetchedRow,
    pub(crate) place: &'a Place,
}

impl<'a> Found<'a> {
    pub(crate) fn license(self) -> &'a str {
        self.row.license.as_deref().unwrap_or(NO_LICENSE)
    }

    pub(crate) fn language(self) -> &'a str {
        self.row.language.as_deref().unwrap_or_default()
    }

    pub(crate) fn hash(self) -> i64 {
        hash(&self.row.url, &self.row.text)
    }

    pub(crate) fn uid(self) -> String {
        uid(&self.row.url, &self.row.text)
    }
}

/// A pair at its place.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) row: PairRow,
    pub(crate) place: Place,
}

impl Record {
    pub(crate) fn found(&self) -> Found<'_> {
        Found {
            row: &self.row.fetched,
            place: &self.place,
        }
    }

    /// The tar's `KEY.json`: the table's row, then the names that img2dataset gives the same
    /// things (`key`, `sha256` and the original size are called so in both).
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let (row, found) = (&self.row, self.found());
        let FetchedRow { url, text, .. } = found.row;
        let sidecar = Sidecar {
            sample_id: found.place.sample_id,
            table_url: url,
            table_text: text,
            table_height: row.size.height,
            table_width: row.size.width,
            license: found.license(),
            nsfw: row.nsfw.as_str(),
            similarity: row.similarity,
            language: found.language(),
            key: &found.place.key,
            hash: found.hash(),
            uid: found.uid(),
            page_url: &found.row.page_url,
            wat: &found.place.wat,
            original_height: row.original_size.height,
            original_width: row.original_size.width,
            mime: &found.row.mime,
            sha256: hex(&found.row.sha256),
            md5: hex(&found.row.md5),
            pdq: row.pdq.map(|pdq| hex(&pdq)),
            punsafe: row.punsafe,
            pwatermark: row.pwatermark,
            aesthetic: row.aesthetic,
            url,
            caption: text,
            status: "success",
            error_message: None,
            width: row.size.width,
            height: row.size.height,
        };
        // Numbers and texts always become JSON.
        serde_json::to_vec(&sidecar).expect("a row is plain data")
    }
}

#[derive(Serialize)]
struct Sidecar<'a> {
    #[serde(rename = "SAMPLE_ID")]
    sample_id: i64,
    #[serde(rename = "URL")]
    table_url: &'a str,
    #[serde(rename = "TEXT")]
    table_text: &'a str,
    #[serde(rename = "HEIGHT")]
    table_height: u32,
    #[serde(rename = "WIDTH")]
    table_width: u32,
    #[serde(rename = "LICENSE")]
    license: &'a str,
    #[serde(rename = "NSFW")]
    nsfw: &'a str,
    similarity: f64,
    #[serde(rename = "LANGUAGE")]
    language: &'a str,
    key: &'a str,
    hash: i64,
    uid: String,
    page_url: &'a str,
    wat: &'a str,
    original_height: u32,
    original_width: u32,
    mime: &'a str,
    sha256: String,
    md5: String,
    pdq: Option<String>,
    punsafe: Option<f32>,
    pwatermark: Option<f32>,
    aesthetic: Option<f32>,
    url: &'a str,
    caption: &'a str,
    status: &'a str,
    error_message: Option<&'a str>,
    width: u32,
    height: u32,
}

/// First 64 bits, signed, of MurmurHash3 x64-128 (seed 0) of URL and text, as LAION-5B has it.
pub(crate) fn hash(url: &str, text: &str) -> i64 {
    let joined = [url, text].concat();
    // Reading from memory cannot fail.
    let both = murmur3::murmur3_x64_128(&mut Cursor::new(joined), 0).unwrap_or_default();
    both as u64 as i64
}

/// MD5 of text and URL as hexadecimal digits, cc2dataset's `uid`.
pub(crate) fn uid(url: &str, text: &str) -> String {
    hex(&Md5::new().chain_update(text).chain_update(url).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of Python's `mmh3.hash64(url + text)[0]` and
    /// `hashlib.md5((text + url).encode())`.
    #[test]
    fn hashes_are_those_of_the_public_datasets() {
        let (url, text) = ("https://example.org/a.jpg", "Ein Kätzchen, 猫");
        assert_eq!(hash(url, text), -3_916_531_776_048_998_774);
        assert_eq!(uid(url, text), "3046115b70c80df6e7d0e932c4df7743");
    }
}
