//! A page as a parser sees it: head and links, the one source of the served HTML and of the WAT.

use std::fmt::Write as _;

use serde::Serialize;

/// A page with its URLs.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) url: String,
    pub(crate) language: &'static str,
    pub(crate) head: Head,
    pub(crate) links: Vec<Link>,
}

/// `HTML-Metadata.Head` of a WAT.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Head {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    pub(crate) title: String,
    pub(crate) metas: Vec<Meta>,
    pub(crate) link: Vec<HeadLink>,
    pub(crate) scripts: Vec<Script>,
}

/// `<meta name content>`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Meta {
    name: &'static str,
    content: String,
}

/// `<link href rel>`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeadLink {
    path: &'static str,
    url: String,
    rel: &'static str,
}

/// `<script src>`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Script {
    path: &'static str,
    url: &'static str,
}

/// An entry of `HTML-Metadata.Links`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Link {
    path: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rel: Option<&'static str>,
}

impl Meta {
    pub(crate) fn new(name: &'static str, content: &str) -> Self {
        Self {
            name,
            content: content.to_owned(),
        }
    }
}

impl HeadLink {
    pub(crate) fn new(url: impl Into<String>, rel: &'static str) -> Self {
        Self {
            path: "LINK@/href",
            url: url.into(),
            rel,
        }
    }
}

impl Script {
    pub(crate) fn new(url: &'static str) -> Self {
        Self {
            path: "SCRIPT@/src",
            url,
        }
    }
}

impl Link {
    pub(crate) fn image(url: String, alt: Option<String>) -> Self {
        Self {
            path: "IMG@/src",
            url,
            alt,
            text: None,
            rel: None,
        }
    }

    pub(crate) fn anchor(url: &str, text: &str) -> Self {
        Self {
            path: "A@/href",
            url: url.to_owned(),
            alt: None,
            text: Some(text.to_owned()),
            rel: None,
        }
    }

    pub(crate) fn licence(url: &str, name: &str) -> Self {
        Self {
            rel: Some("license"),
            ..Self::anchor(url, name)
        }
    }

    /// Attributes stand in the page exactly as in the WAT: Common Crawl does not decode entities.
    fn html(&self) -> String {
        let mut tag = String::new();
        let mut attribute = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                debug_assert!(!value.contains('"'), "{value} would end its attribute");
                let _ = write!(tag, " {name}=\"{value}\"");
            }
        };
        match &self.text {
            None => {
                attribute("src", Some(&self.url));
                attribute("alt", self.alt.as_deref());
                format!("<figure><img{tag}></figure>\n")
            }
            Some(text) => {
                attribute("href", Some(&self.url));
                attribute("rel", self.rel);
                format!("<p><a{tag}>{text}</a></p>\n")
            }
        }
    }
}

impl Document {
    /// The page as its server sends it.
    pub(crate) fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n",
            self.language
        );
        self.head.write_html(&mut html);
        html.push_str("</head>\n<body>\n");
        html.extend(self.links.iter().map(Link::html));
        html.push_str("</body>\n</html>\n");
        html
    }
}

impl Head {
    fn write_html(&self, html: &mut String) {
        if let Some(base) = &self.base {
            let _ = writeln!(html, "<base href=\"{base}\">");
        }
        let _ = writeln!(html, "<title>{}</title>", self.title);
        for Meta { name, content } in &self.metas {
            let _ = writeln!(html, "<meta name=\"{name}\" content=\"{content}\">");
        }
        for HeadLink { url, rel, .. } in &self.link {
            let _ = writeln!(html, "<link rel=\"{rel}\" href=\"{url}\">");
        }
        for Script { url, .. } in &self.scripts {
            let _ = writeln!(html, "<script src=\"{url}\"></script>");
        }
    }
}
