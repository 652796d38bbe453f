//! A WAT record → the links of its page: cc2dataset's rows.
//!
//! The record's JSON is read twice over in code, once at run time: [`walk`] goes through the
//! shape that Common Crawl writes at the speed of a byte scan and gives up on anything else;
//! [`full`] parses whatever is JSON. Both fill the same [`Parts`], and a property test holds them
//! to the same answer.

mod full;
mod parts;
mod specials;
mod walk;

use std::{borrow::Cow, fmt, str::FromStr};

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use thiserror::Error;

use self::parts::{Field, Parts, RawLink};
use crate::{Record, join, licence};

/// What to look for on a page; the names and rules are cc2dataset's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DocumentType {
    /// Images with a caption: `IMG@/src` links whose `alt` is not empty.
    #[default]
    Image,
    /// Images with or without one.
    ImageOnly,
    /// Links to audio files, by their ending.
    Audio,
    /// Links to video files, by their ending.
    Video,
    /// Links to documents, by their ending.
    Text,
}

/// A name that is no document type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown document type `{0}`: use image, image_only, audio, video or text")]
pub struct UnknownDocumentType(pub String);

impl DocumentType {
    /// Every type.
    pub const ALL: [DocumentType; 5] = [
        DocumentType::Image,
        DocumentType::ImageOnly,
        DocumentType::Audio,
        DocumentType::Video,
        DocumentType::Text,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            DocumentType::Image => "image",
            DocumentType::ImageOnly => "image_only",
            DocumentType::Audio => "audio",
            DocumentType::Video => "video",
            DocumentType::Text => "text",
        }
    }
}

impl fmt::Display for DocumentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DocumentType {
    type Err = UnknownDocumentType;

    fn from_str(name: &str) -> Result<Self, UnknownDocumentType> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownDocumentType(name.to_owned()))
    }
}

/// What to extract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What to look for.
    pub document_type: DocumentType,
    /// Exactly cc2dataset's rows: links that are not absolute `http://` or `https://` URLs once
    /// they are joined to their page are left out here, not judged later. Their page's licence,
    /// for which there is no column, is not looked for.
    pub raw: bool,
}

/// A page of the crawl with the links that were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// The page's URL.
    pub url: Cow<'a, str>,
    /// The WARC file that has the page.
    pub cc_filename: Cow<'a, str>,
    /// The page's licence: the address of a Creative Commons licence or dedication that it links
    /// to, if it is clear which one holds.
    pub license: Option<String>,
    /// At least one link, in the order of the page.
    pub links: Vec<Link<'a>>,
}

/// A link of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its target, joined to the page's base if it was relative.
    pub url: Cow<'a, str>,
    /// The alternative text of an image, the text of another link; as it stands in the page.
    pub alt: Cow<'a, str>,
}

/// The row identifier of cc2dataset: the MD5 of text and URL, one after the other, in hex.
pub fn uid(text: &str, url: &str) -> String {
    let digest = Md5::new().chain_update(text).chain_update(url).finalize();
    HEXLOWER.encode(&digest)
}

/// A metadata record whose JSON is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the JSON of the record is damaged")]
pub struct BadJson;

/// Finds the links in WAT records.
#[derive(Clone, Debug, Default)]
pub struct Extractor {
    options: Options,
}

impl Extractor {
    /// An extractor that takes what `options` say.
    pub fn new(options: Options) -> Self {
        Extractor { options }
    }

    /// The page of a record, or `None` where it has no link that is looked for or is the
    /// metadata of something else than a page.
    ///
    /// # Errors
    ///
    /// [`BadJson`] if it is a metadata record that can't be read.
    pub fn page<'a>(&self, record: &Record<'a>) -> Result<Option<Page<'a>>, BadJson> {
        match record.is_metadata() {
            true => self.page_of_json(record.body()),
            false => Ok(None),
        }
    }

    /// [`page`](Self::page) of a record's content.
    ///
    /// # Errors
    ///
    /// [`BadJson`] if it can't be read.
    pub fn page_of_json<'a>(&self, json: &'a [u8]) -> Result<Option<Page<'a>>, BadJson> {
        let json = simdutf8::basic::from_utf8(json).map_err(|_| BadJson)?;
        let wanted = Wanted {
            document_type: self.options.document_type,
            // Raw rows have no column for them.
            licences: !self.options.raw
                && memchr::memmem::find(json.as_bytes(), licence::HOST.as_bytes()).is_some(),
        };
        let parts = match walk::parts(json, wanted) {
            Ok(parts) => parts,
            Err(walk::Surprise) => full::parts(json, wanted).map_err(|_| BadJson)?,
        };
        // Each candidate has a copy of its page's URL, which is nothing but a hostile file's that
        // it adds up to more than links may.
        if parts.page_url.len().saturating_mul(parts.links.len()) > join::MOST_JOINED {
            return Err(BadJson);
        }
        Ok(self.page_of_parts(parts))
    }

    fn page_of_parts<'a>(&self, parts: Parts<'a>) -> Option<Page<'a>> {
        if parts.links.is_empty() {
            return None;
        }
        let mut links = parts.links;
        join::make_absolute(&parts.page_url, parts.base.as_deref(), &mut links);
        if self.options.raw {
            links.retain(|link| is_http(&link.url));
        }
        (!links.is_empty()).then(|| Page {
            url: parts.page_url,
            cc_filename: parts.cc_filename,
            license: licence::choose(&parts.head_licences, &parts.link_licences),
            links,
        })
    }
}

/// What to keep of a record.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    document_type: DocumentType,
    /// Whether the record mentions the host of licences at all.
    licences: bool,
}

impl Wanted {
    /// Whether a link of this path may be of use.
    fn may_be(self, path: &Field<'_>) -> bool {
        match self.document_type {
            DocumentType::Image | DocumentType::ImageOnly => self.licences || path.is(IMAGE),
            DocumentType::Audio | DocumentType::Video | DocumentType::Text => true,
        }
    }
}

/// The path of the links that are images.
const IMAGE: &str = "IMG@/src";

/// Whether a URL is absolute as cc2dataset sees it.
pub(crate) fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// Endings of links to audio, video and text, as cc2dataset has them; case counts.
const AUDIO: &[&str] = &[".ogg", ".wav", ".mp3", ".flac", ".m4a"];
const VIDEO: &[&str] = &[
    ".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v",
];
const TEXT: &[&str] = &[
    "pdf", "epub", "djvu", "mobi", "doc", "docx", "rtf", "txt", "odt", "ppt", "pptx", "pages",
    "keynote", "wps", "md",
];

impl DocumentType {
    /// The link, if it is one of these.
    fn select<'a>(self, raw: &RawLink<'a>) -> Option<Link<'a>> {
        match self {
            DocumentType::Image | DocumentType::ImageOnly if !raw.path.is(IMAGE) => None,
            DocumentType::Image => {
                let alt = raw.alt.text()?;
                (!alt.is_empty()).then_some(())?;
                Some(Link {
                    url: raw.url.text()?,
                    alt,
                })
            }
            DocumentType::ImageOnly => Some(Link {
                url: raw.url.text()?,
                alt: raw.alt.text_or_empty()?,
            }),
            DocumentType::Audio => raw.ending_with(|url| ends_with_any(url, AUDIO)),
            DocumentType::Video => raw.ending_with(|url| ends_with_any(url, VIDEO)),
            DocumentType::Text => raw.ending_with(|url| {
                url.rsplit_once('.')
                    .is_some_and(|(_, ending)| TEXT.contains(&ending))
            }),
        }
    }
}

fn ends_with_any(url: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| url.ends_with(ending))
}

impl<'a> RawLink<'a> {
    fn ending_with(&self, wanted: impl Fn(&str) -> bool) -> Option<Link<'a>> {
        let url = self.url.text().filter(|url| wanted(url))?;
        Some(Link {
            url,
            alt: self.text.text_or_empty()?,
        })
    }
}

#[cfg(test)]
mod agreement;
