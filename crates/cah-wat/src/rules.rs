//! Which links become candidates: the rules of the LAION pipeline, by name, each to be switched.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use thiserror::Error;
use url::Url;

use crate::{LanguageDetector, Link, Page, UNDETERMINED, text};

/// Why a link is no candidate. Links are judged in this order; the first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// The address is not an absolute http(s) URL once it is joined to its page.
    UrlInvalid,
    /// The URL is longer than the limit.
    UrlTooLong,
    /// The path ends like a file that is no photograph (`.svg`, `.ico`, …).
    UrlExtension,
    /// The repaired text is shorter than the limit.
    TextTooShort,
    /// The repaired text is longer than the limit.
    TextTooLong,
    /// The text is not in one of the languages that are wanted.
    LanguageNotWanted,
}

impl Rejection {
    /// Every reason, in the order of judgement.
    pub const ALL: [Rejection; 6] = [
        Rejection::UrlInvalid,
        Rejection::UrlTooLong,
        Rejection::UrlExtension,
        Rejection::TextTooShort,
        Rejection::TextTooLong,
        Rejection::LanguageNotWanted,
    ];

    /// The stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::UrlInvalid => "url_invalid",
            Rejection::UrlTooLong => "url_too_long",
            Rejection::UrlExtension => "url_extension",
            Rejection::TextTooShort => "text_too_short",
            Rejection::TextTooLong => "text_too_long",
            Rejection::LanguageNotWanted => "language_not_wanted",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that can be switched off by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// `text_repair`: mojibake, entities and white space are mended before the text is judged.
    TextRepair,
    /// The rule that rejects for this reason, by the reason's name.
    Reject(Rejection),
}

/// A name that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown rule `{0}`: use one of {names}", names = Rule::names())]
pub struct UnknownRule(pub String);

impl Rule {
    /// Every rule, in the order of application.
    pub fn all() -> impl Iterator<Item = Rule> {
        std::iter::once(Rule::TextRepair).chain(Rejection::ALL.map(Rule::Reject))
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::TextRepair => "text_repair",
            Rule::Reject(rejection) => rejection.name(),
        }
    }

    fn names() -> String {
        Rule::all().map(Rule::name).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        let found = Rule::all().find(|rule| rule.name() == name);
        found.ok_or_else(|| UnknownRule(name.to_owned()))
    }
}

/// A link that passed the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Absolute http(s) URL of the image.
    pub url: String,
    /// The repaired caption.
    pub text: String,
    /// The page that has it.
    pub page_url: String,
    /// The page's licence, where it is known: the address of its deed.
    pub license: Option<String>,
    /// ISO 639-1 code of the caption's language, empty where it is not reliable.
    pub language: &'static str,
    /// The WARC file that has the page.
    pub cc_filename: String,
}

impl Candidate {
    /// The row identifier; see [`uid`](crate::uid).
    pub fn uid(&self) -> String {
        crate::uid(&self.text, &self.url)
    }
}

/// What a link has to be to become a candidate. The default is the set of the LAION-400M
/// pipeline: five characters of text, no vector graphics, icons or animations. It had no upper
/// limits; these keep out what is no caption and no address of an image.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Rules that do not apply.
    pub off: BTreeSet<Rule>,
    /// Longest URL, in bytes.
    pub max_url_bytes: usize,
    /// Endings of the path that are no photographs, in lower case, without the dot.
    pub extensions: BTreeSet<String>,
    /// Shortest text, in characters after the repair.
    pub min_text_chars: usize,
    /// Longest text, in characters after the repair.
    pub max_text_chars: usize,
    /// Tells the language of captions; without it that stays open.
    pub detector: Option<Arc<LanguageDetector>>,
    /// The languages that are wanted, by ISO 639-1 code, `und` for what is not reliable; all of
    /// them if there are none. Needs the detector.
    pub languages: Option<BTreeSet<String>>,
}

/// Endings that LAION's workers left out (`svg`, `gif`), and others that no photograph has.
const NO_PHOTOGRAPHS: [&str; 6] = ["svg", "svgz", "gif", "ico", "cur", "webmanifest"];

impl Default for Rules {
    fn default() -> Self {
        Rules {
            off: BTreeSet::new(),
            max_url_bytes: 2048,
            extensions: NO_PHOTOGRAPHS.map(String::from).into(),
            min_text_chars: 5,
            max_text_chars: 1000,
            detector: None,
            languages: None,
        }
    }
}

impl Rules {
    /// Rules of which none applies: every link becomes a candidate.
    pub fn none() -> Self {
        Rules {
            off: Rule::all().collect(),
            ..Rules::default()
        }
    }

    /// Judges a link of a page.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks, in the order of [`Rejection::ALL`].
    pub fn judge(&self, page: &Page<'_>, link: &Link<'_>) -> Result<Candidate, Rejection> {
        let url = self.judge_url(&link.url)?;
        let text = self.judge_text(&link.alt)?;
        let language = self.judge_language(&text)?;
        Ok(Candidate {
            url,
            text,
            page_url: page.url.clone().into_owned(),
            license: page.license.clone(),
            language,
            cc_filename: page.cc_filename.clone().into_owned(),
        })
    }

    fn judge_url(&self, url: &str) -> Result<String, Rejection> {
        let url = tidy_url(url);
        let parsed = parse_http(&url);
        self.reject_if(Rejection::UrlInvalid, || parsed.is_none())?;
        self.reject_if(Rejection::UrlTooLong, || url.len() > self.max_url_bytes)?;
        self.reject_if(Rejection::UrlExtension, || {
            parsed
                .as_ref()
                .is_some_and(|parsed| self.is_no_photograph(parsed))
        })?;
        Ok(url)
    }

    fn judge_text(&self, text: &str) -> Result<String, Rejection> {
        let text = match self.is_on(Rule::TextRepair) {
            true => text::repair(text),
            false => text.to_owned(),
        };
        let chars = text.chars().count();
        self.reject_if(Rejection::TextTooShort, || chars < self.min_text_chars)?;
        self.reject_if(Rejection::TextTooLong, || chars > self.max_text_chars)?;
        Ok(text)
    }

    fn judge_language(&self, text: &str) -> Result<&'static str, Rejection> {
        let language = self
            .detector
            .as_ref()
            .map_or("", |detector| detector.detect(text));
        let name = if language.is_empty() {
            UNDETERMINED
        } else {
            language
        };
        self.reject_if(Rejection::LanguageNotWanted, || {
            self.languages
                .as_ref()
                .is_some_and(|wanted| !wanted.contains(name))
        })?;
        Ok(language)
    }

    fn is_on(&self, rule: Rule) -> bool {
        !self.off.contains(&rule)
    }

    fn reject_if(
        &self,
        reason: Rejection,
        applies: impl FnOnce() -> bool,
    ) -> Result<(), Rejection> {
        if self.is_on(Rule::Reject(reason)) && applies() {
            Err(reason)
        } else {
            Ok(())
        }
    }

    fn is_no_photograph(&self, url: &Url) -> bool {
        let file = url.path().rsplit('/').next().unwrap_or_default();
        file.rsplit_once('.')
            .is_some_and(|(_, extension)| self.extensions.contains(&extension.to_ascii_lowercase()))
    }
}

/// Leaves out what no browser sends: white space around a URL, line ends and tabs inside.
fn tidy_url(url: &str) -> String {
    url.trim_matches(|c: char| c <= ' ')
        .replace(['\t', '\r', '\n'], "")
}

fn parse_http(url: &str) -> Option<Url> {
    // The scheme first: `data:` URLs are long, and most of what is wrong.
    let scheme = url.split_once("://")?.0;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Url::parse(url).ok()
}
