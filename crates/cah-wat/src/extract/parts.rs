//! What both ways of reading a record's JSON give.

use std::borrow::Cow;

use super::{Link, Wanted};
use crate::licence::{self, LicenceLink};

/// The parts of a record that matter. What is missing or of another type than it should be is
/// left empty: it costs itself, not the record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) cc_filename: Cow<'a, str>,
    pub(super) page_url: Cow<'a, str>,
    pub(super) base: Option<Cow<'a, str>>,
    pub(super) links: Vec<Link<'a>>,
    pub(super) head_licences: Vec<LicenceLink>,
    pub(super) link_licences: Vec<LicenceLink>,
}

/// A JSON value where text is expected.
#[derive(Clone, Debug, Default)]
pub(super) enum Field<'a> {
    /// There is none.
    #[default]
    Missing,
    /// Text without escapes.
    Plain(&'a str),
    /// Text with escapes, in its quotes.
    Escaped(&'a str),
    /// Text that was decoded already.
    Decoded(String),
    /// Something else than text.
    Other,
}

impl<'a> Field<'a> {
    /// The text, if it is text.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Field::Plain(text) => Some(Cow::Borrowed(text)),
            Field::Escaped(quoted) => serde_json::from_str(quoted).ok().map(Cow::Owned),
            Field::Decoded(text) => Some(Cow::Owned(text.clone())),
            Field::Missing | Field::Other => None,
        }
    }

    /// The text; none is the same as an empty one, anything else than text is not.
    pub(super) fn text_or_empty(&self) -> Option<Cow<'a, str>> {
        match self {
            Field::Missing => Some(Cow::Borrowed("")),
            field => field.text(),
        }
    }

    /// Whether it is this very text.
    #[inline]
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Field::Plain(plain) => *plain == text,
            Field::Decoded(decoded) => decoded == text,
            Field::Escaped(_) => self.text().is_some_and(|decoded| decoded == text),
            Field::Missing | Field::Other => false,
        }
    }
}

/// An element of `Links`, or of the head's `Link`.
#[derive(Clone, Debug, Default)]
pub(super) struct RawLink<'a> {
    pub(super) path: Field<'a>,
    pub(super) url: Field<'a>,
    pub(super) alt: Field<'a>,
    pub(super) text: Field<'a>,
    pub(super) rel: Field<'a>,
}

impl<'a> RawLink<'a> {
    /// The field of this name, if it matters.
    pub(super) fn field(&mut self, name: &str) -> Option<&mut Field<'a>> {
        match name {
            "path" => Some(&mut self.path),
            "url" => Some(&mut self.url),
            "alt" => Some(&mut self.alt),
            "text" => Some(&mut self.text),
            "rel" => Some(&mut self.rel),
            _ => None,
        }
    }

    fn licence(&self) -> Option<LicenceLink> {
        let is_link = ["A@/href", "AREA@/href", "LINK@/href"]
            .iter()
            .any(|path| self.path.is(path));
        let url = self.url.text().filter(|_| is_link)?;
        LicenceLink::new(&url, self.rel.text().as_deref())
    }
}

/// The links of one array that are worth keeping.
#[derive(Debug, Default)]
pub(super) struct Sifted<'a> {
    pub(super) links: Vec<Link<'a>>,
    pub(super) licences: Vec<LicenceLink>,
}

impl<'a> Sifted<'a> {
    pub(super) fn take(&mut self, raw: &RawLink<'a>, wanted: Wanted) {
        self.links.extend(wanted.document_type.select(raw));
        if wanted.licences && self.licences.len() < licence::ENOUGH {
            self.licences.extend(raw.licence());
        }
    }
}
