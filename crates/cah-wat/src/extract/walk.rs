//! The fast way through a record's JSON: one pass over the bytes, nothing built but what is kept.
//!
//! It understands JSON as Common Crawl writes it: compact, small integers, no escapes in the
//! names that matter. All that it passes is checked to be valid JSON, so that what it accepts it
//! reads as any parser would; whatever else it meets is a [`Surprise`], for [`full`](super::full).

use super::{
    Wanted,
    parts::{Field, Parts, RawLink, Sifted},
    specials::{Specials, special_in_word},
};

/// Something that Common Crawl does not write. The record needs a full parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surprise;

type Walk<T> = Result<T, Surprise>;

/// The path of the links that pages have most of.
const ANCHOR: &str = "A@/href";

/// How such a link begins.
const ANCHOR_START: &[u8] = br#"{"path":"A@/href""#;

/// From the end of a name to the beginning of the text under it.
const QUOTE_TO_QUOTE: &[u8] = br#"":""#;

/// Nesting beyond this is left to the full parse.
const MAX_DEPTH: u32 = 64;

/// Reads the parts out of a record.
pub(super) fn parts(json: &str, wanted: Wanted) -> Walk<Parts<'_>> {
    let json = json.trim_ascii_end();
    let specials = Specials::new(json.as_bytes());
    let mut walker = Walker {
        json,
        specials,
        at: 0,
        wanted,
    };
    let mut parts = Parts::default();
    walker.record(&mut parts)?;
    if walker.at == json.len() {
        Ok(parts)
    } else {
        Err(Surprise)
    }
}

struct Walker<'a> {
    json: &'a str,
    specials: Specials<'a>,
    at: usize,
    wanted: Wanted,
}

/// What stands under `HTML-Metadata`, and everything between it and the `Envelope`.
#[derive(Default)]
struct Html<'a> {
    base: Option<Field<'a>>,
    head: Sifted<'a>,
    links: Sifted<'a>,
}

// The structure of a record. A name that comes twice counts as it came last, as in Python.
impl<'a> Walker<'a> {
    fn record(&mut self, parts: &mut Parts<'a>) -> Walk<()> {
        let (mut page_url, mut html, mut filename) = (Field::Missing, None, Field::Missing);
        self.object(|walker, key| {
            match key {
                "Envelope" => (page_url, html) = walker.envelope()?,
                "Container" => filename = walker.text_of("Filename")?,
                _ => walker.skip(1)?,
            }
            Ok(())
        })?;
        let html: Html<'a> = html.unwrap_or_default();
        parts.cc_filename = filename.text().unwrap_or_default();
        parts.page_url = page_url.text().unwrap_or_default();
        parts.base = html.base.and_then(|base| base.text());
        parts.head_licences = html.head.licences;
        parts.links = html.links.links;
        parts.link_licences = html.links.licences;
        Ok(())
    }

    fn envelope(&mut self) -> Walk<(Field<'a>, Option<Html<'a>>)> {
        let (mut page_url, mut html) = (Field::Missing, None);
        self.object_or_skip(|walker, key| {
            match key {
                "WARC-Header-Metadata" => page_url = walker.text_of("WARC-Target-URI")?,
                "Payload-Metadata" => html = walker.payload()?,
                _ => walker.skip(2)?,
            }
            Ok(())
        })?;
        Ok((page_url, html))
    }

    fn payload(&mut self) -> Walk<Option<Html<'a>>> {
        let mut html = None;
        self.object_or_skip(|walker, key| {
            match key {
                "HTTP-Response-Metadata" => html = walker.response()?,
                _ => walker.skip(3)?,
            }
            Ok(())
        })?;
        Ok(html)
    }

    fn response(&mut self) -> Walk<Option<Html<'a>>> {
        let mut html = None;
        self.object_or_skip(|walker, key| {
            match key {
                "HTML-Metadata" => html = Some(walker.html()?),
                _ => walker.skip(4)?,
            }
            Ok(())
        })?;
        Ok(html)
    }

    fn html(&mut self) -> Walk<Html<'a>> {
        let mut html = Html::default();
        self.object_or_skip(|walker, key| {
            match key {
                "Head" => (html.base, html.head) = walker.head()?,
                "Links" => html.links = walker.links(5)?,
                _ => walker.skip(5)?,
            }
            Ok(())
        })?;
        Ok(html)
    }

    fn head(&mut self) -> Walk<(Option<Field<'a>>, Sifted<'a>)> {
        let (mut base, mut links) = (None, Sifted::default());
        self.object_or_skip(|walker, key| {
            match key {
                "Base" => base = Some(walker.field(6)?),
                "Link" if walker.wanted.licences => links = walker.links(6)?,
                _ => walker.skip(6)?,
            }
            Ok(())
        })?;
        Ok((base, links))
    }

    fn links(&mut self, depth: u32) -> Walk<Sifted<'a>> {
        let mut sifted = Sifted::default();
        if self.peek()? != b'[' {
            self.skip(depth)?;
            return Ok(sifted);
        }
        let passes_anchors = !self.wanted.may_be(&Field::Plain(ANCHOR));
        self.array(|walker| {
            if passes_anchors && walker.pass_plain_anchor() {
                return Ok(());
            }
            if walker.peek()? != b'{' {
                return walker.skip(depth + 1);
            }
            if let Some(raw) = walker.link(depth + 1)? {
                sifted.take(&raw, walker.wanted);
            }
            Ok(())
        })?;
        Ok(sifted)
    }

    /// The link that comes, or `None` if its path alone tells that it does not matter.
    fn link(&mut self, depth: u32) -> Walk<Option<RawLink<'a>>> {
        let mut raw = RawLink::default();
        let mut is_wanted = true;
        self.object(|walker, key| {
            if key == "path" {
                // Only once: what was passed after the first might matter after the second.
                let Field::Missing = raw.path else {
                    return Err(Surprise);
                };
                raw.path = walker.field(depth + 1)?;
                is_wanted = walker.wanted.may_be(&raw.path);
                return Ok(());
            }
            match raw.field(key).filter(|_| is_wanted) {
                Some(field) => *field = walker.field(depth + 1)?,
                None => walker.skip(depth + 1)?,
            }
            Ok(())
        })?;
        Ok(is_wanted.then_some(raw))
    }

    /// Passes a link of the kind that most are, if it is written as most are: an anchor whose path
    /// comes first, with texts without escapes under short names. Where it is not, nothing is
    /// passed. This is [`link`](Self::link) for the case that counts: it takes half the time.
    fn pass_plain_anchor(&mut self) -> bool {
        let bytes = self.json.as_bytes();
        let Some(rest) = bytes[self.at..].strip_prefix(ANCHOR_START) else {
            return false;
        };
        let mut at = bytes.len() - rest.len();
        while let Some(text) = plain_member(bytes, at) {
            let end = self.specials.next(text);
            if bytes.get(end) != Some(&b'"') {
                return false;
            }
            at = end + 1;
        }
        let is_passed = bytes.get(at) == Some(&b'}');
        if is_passed {
            self.at = at + 1;
        }
        is_passed
    }

    /// The text under `name` in the object that comes.
    fn text_of(&mut self, name: &str) -> Walk<Field<'a>> {
        let mut text = Field::Missing;
        self.object_or_skip(|walker, key| {
            match key == name {
                true => text = walker.field(3)?,
                false => walker.skip(3)?,
            }
            Ok(())
        })?;
        Ok(text)
    }

    fn field(&mut self, depth: u32) -> Walk<Field<'a>> {
        if self.peek()? == b'"' {
            return self.string();
        }
        self.skip(depth)?;
        Ok(Field::Other)
    }
}

/// Where the text begins of a member that follows another one at `at`, if it has a text, and a
/// short name other than `path`.
#[inline]
fn plain_member(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    // The two that most anchors have, a word each.
    match rest.first_chunk()? {
        br#","url":""# => return Some(at + 8),
        br#","text":"# => return (rest.get(8) == Some(&b'"')).then_some(at + 9),
        _ => {}
    }
    let name = at + br#",""#.len();
    let end = name + special_in_word(bytes, name)?;
    let is_plain = rest.starts_with(br#",""#)
        && bytes[end..].starts_with(QUOTE_TO_QUOTE)
        && &bytes[name..end] != b"path";
    is_plain.then_some(end + QUOTE_TO_QUOTE.len())
}

// JSON.
impl<'a> Walker<'a> {
    fn peek(&self) -> Walk<u8> {
        self.json.as_bytes().get(self.at).copied().ok_or(Surprise)
    }

    fn next(&mut self) -> Walk<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.next()? == byte {
            Ok(())
        } else {
            Err(Surprise)
        }
    }

    fn object_or_skip(&mut self, member: impl FnMut(&mut Self, &'a str) -> Walk<()>) -> Walk<()> {
        if self.peek()? == b'{' {
            self.object(member)
        } else {
            self.skip(1)
        }
    }

    /// Goes through an object; `member` is called at each value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Walk<()>) -> Walk<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            self.expect(b':')?;
            member(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(Surprise),
            }
        }
    }

    /// Goes through an array; `element` is called at each value.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Walk<()>) -> Walk<()> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.next()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(Surprise),
            }
        }
    }

    /// Passes a value that does not matter.
    fn skip(&mut self, depth: u32) -> Walk<()> {
        if depth > MAX_DEPTH {
            return Err(Surprise);
        }
        match self.peek()? {
            b'"' => self.pass_string().map(drop),
            b'{' => self.skip_object(depth),
            b'[' => self.array(|walker| walker.skip(depth + 1)),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.small_integer(),
        }
    }

    /// As [`object`](Self::object), but names may have escapes.
    fn skip_object(&mut self, depth: u32) -> Walk<()> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.pass_string()?;
            self.expect(b':')?;
            self.skip(depth + 1)?;
            match self.next()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(Surprise),
            }
        }
    }

    fn literal(&mut self, word: &str) -> Walk<()> {
        let rest = &self.json.as_bytes()[self.at..];
        self.at += word.len();
        if rest.starts_with(word.as_bytes()) {
            Ok(())
        } else {
            Err(Surprise)
        }
    }

    /// Digits only, few enough for any parser.
    fn small_integer(&mut self) -> Walk<()> {
        let rest = &self.json.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_plain = digits == 1 || (2..=15).contains(&digits) && rest[0] != b'0';
        let goes_on = matches!(rest.get(digits), Some(b'.' | b'e' | b'E'));
        self.at += digits;
        if is_plain && !goes_on {
            Ok(())
        } else {
            Err(Surprise)
        }
    }

    /// A name. Those that matter are short: most end within the first eight bytes.
    fn key(&mut self) -> Walk<&'a str> {
        let start = self.at + 1;
        if self.peek()? == b'"'
            && let Some(length) = special_in_word(self.json.as_bytes(), start)
            && self.json.as_bytes()[start + length] == b'"'
        {
            self.at = start + length + 1;
            return Ok(&self.json[start..start + length]);
        }
        match self.string()? {
            Field::Plain(key) => Ok(key),
            _ => Err(Surprise),
        }
    }

    fn string(&mut self) -> Walk<Field<'a>> {
        let start = self.at;
        let is_escaped = self.pass_string()?;
        // Both ends are at ASCII quotes, so they lie between characters.
        match is_escaped {
            false => Ok(Field::Plain(&self.json[start + 1..self.at - 1])),
            true => Ok(Field::Escaped(&self.json[start..self.at])),
        }
    }

    /// Passes a string. Tells whether it has escapes.
    fn pass_string(&mut self) -> Walk<bool> {
        self.expect(b'"')?;
        let mut is_escaped = false;
        loop {
            self.at = self.specials.next(self.at);
            match self.next()? {
                b'"' => return Ok(is_escaped),
                b'\\' => {
                    self.escape()?;
                    is_escaped = true;
                }
                _ => return Err(Surprise),
            }
        }
    }

    /// Passes what follows a backslash. Surrogates come in pairs, which is for the full parse.
    fn escape(&mut self) -> Walk<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self
                    .json
                    .as_bytes()
                    .get(self.at..self.at + 4)
                    .ok_or(Surprise)?;
                let is_surrogate =
                    matches!(digits[0], b'd' | b'D') && !matches!(digits[1], b'0'..=b'7');
                self.at += 4;
                let is_plain = digits.iter().all(u8::is_ascii_hexdigit) && !is_surrogate;
                if is_plain { Ok(()) } else { Err(Surprise) }
            }
            _ => Err(Surprise),
        }
    }
}
