//! Relative links made absolute, in the way of Python's `urllib.parse.urljoin`.
//!
//! The rows of cc2dataset are joined by it, and it is not the join of a browser: it neither
//! encodes nor normalises, keeps what it does not understand, drops an empty query, and splits
//! off parameters (`;`). RFC 3986, section 5.2, with those differences; a table of joins made by
//! Python is the test.

use std::{borrow::Cow, net::Ipv6Addr};

use crate::{Link, extract::is_http};

/// Bytes of links and of what they are joined to that are gone through for one page. Hundreds of
/// thousands of links of a usual page are far below; with a base of half a megabyte for each of
/// its short links, a page of one megabyte would become many gigabytes.
pub(crate) const MOST_JOINED: usize = 128 << 20;

/// Joins the links of a page to its URL, or to its `base` element where it has one. What can't
/// be joined stays as it is, and so does what comes when [`MOST_JOINED`] is used up.
pub(crate) fn make_absolute(page: &str, base: Option<&str>, links: &mut [Link<'_>]) {
    let base = base
        .and_then(|base| urljoin(page, base))
        .unwrap_or(Cow::Borrowed(page));
    let clean_base = clean(&base);
    let base = Base::new(&base, &clean_base);
    let mut left = MOST_JOINED;
    for link in links.iter_mut().filter(|link| !is_http(&link.url)) {
        match left.checked_sub(base.whole.len() + link.url.len()) {
            Some(rest) => left = rest,
            None => return,
        }
        if let Some(Cow::Owned(joined)) = base.join(&link.url) {
            link.url = Cow::Owned(joined);
        }
    }
}

/// As the function of that name, for http(s) bases; a link to any other base stays as it is.
/// `None` where Python raises an error.
fn urljoin<'a>(base: &str, link: &'a str) -> Option<Cow<'a, str>> {
    Base::new(base, &clean(base)).join(link)
}

/// What links are joined to.
struct Base<'a> {
    whole: &'a str,
    parts: Option<Parts<'a>>,
}

impl<'a> Base<'a> {
    fn new(whole: &'a str, clean: &'a str) -> Self {
        Base {
            whole,
            parts: Parts::split(clean, Cow::Borrowed("")),
        }
    }

    fn join<'b>(&self, link: &'b str) -> Option<Cow<'b, str>> {
        if self.whole.is_empty() {
            return Some(Cow::Borrowed(link));
        }
        if link.is_empty() {
            return Some(Cow::Owned(self.whole.to_owned()));
        }
        let base = self.parts.as_ref()?;
        let clean_link = clean(link);
        let parts = Parts::split(&clean_link, Cow::Borrowed(&base.scheme))?;
        match base.is_http() && parts.scheme == base.scheme {
            true => Some(Cow::Owned(resolve(base, parts).unsplit())),
            false => Some(Cow::Borrowed(link)),
        }
    }
}

/// Without leading white space, and without what no URL has inside.
fn clean(url: &str) -> Cow<'_, str> {
    let url = url.trim_start_matches(|c: char| c <= ' ');
    match memchr::memchr3(b'\t', b'\r', b'\n', url.as_bytes()).is_some() {
        true => Cow::Owned(url.replace(['\t', '\r', '\n'], "")),
        false => Cow::Borrowed(url),
    }
}

/// A URL in pieces. An empty piece is the same as none.
#[derive(Debug)]
struct Parts<'a> {
    scheme: Cow<'a, str>,
    netloc: &'a str,
    path: Cow<'a, str>,
    params: &'a str,
    query: &'a str,
    fragment: &'a str,
}

/// The target of `link`, both of one scheme.
fn resolve<'a>(base: &'a Parts<'_>, mut link: Parts<'a>) -> Parts<'a> {
    if !link.netloc.is_empty() {
        return link;
    }
    link.netloc = base.netloc;
    if !link.path.is_empty() || !link.params.is_empty() {
        link.path = Cow::Owned(merge_paths(&base.path, &link.path));
        return link;
    }
    link.path = Cow::Borrowed(&base.path);
    link.params = base.params;
    if link.query.is_empty() {
        link.query = base.query;
    }
    link
}

fn merge_paths(base: &str, path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    if path.starts_with('/') {
        steps.extend(path.split('/'));
    } else {
        steps.extend(base.split('/'));
        // The last step of the base is a file, not a folder, unless the base ends in a slash.
        if steps.last().is_some_and(|last| !last.is_empty()) {
            steps.pop();
        }
        steps.extend(path.split('/'));
        drop_empty_inner(&mut steps);
    }
    let merged = remove_dots(&steps).join("/");
    if merged.is_empty() {
        "/".to_owned()
    } else {
        merged
    }
}

fn drop_empty_inner(steps: &mut Vec<&str>) {
    let last = steps.len().saturating_sub(1);
    let mut index = 0;
    steps.retain(|step| {
        let is_inner = index > 0 && index < last;
        index += 1;
        !(is_inner && step.is_empty())
    });
}

fn remove_dots<'a>(steps: &[&'a str]) -> Vec<&'a str> {
    let mut resolved = Vec::with_capacity(steps.len());
    for step in steps {
        match *step {
            ".." => drop(resolved.pop()),
            "." => {}
            step => resolved.push(step),
        }
    }
    if matches!(steps.last(), Some(&("." | ".."))) {
        resolved.push("");
    }
    resolved
}

impl<'a> Parts<'a> {
    /// Takes a clean URL apart; one without a scheme gets `scheme`. `None` where Python raises
    /// an error: brackets without an IPv6 address, and hosts in which a compatibility character
    /// stands for a delimiter.
    fn split(url: &'a str, scheme: Cow<'a, str>) -> Option<Self> {
        let (own_scheme, rest) = split_scheme(url);
        let scheme = own_scheme.unwrap_or(scheme);
        let (netloc, rest) = split_netloc(rest);
        is_possible_netloc(netloc).then_some(())?;
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, params) = match is_http_scheme(&scheme) {
            true => split_params(path),
            false => (path, ""),
        };
        Some(Parts {
            scheme,
            netloc,
            path: Cow::Borrowed(path),
            params,
            query,
            fragment,
        })
    }

    fn is_http(&self) -> bool {
        is_http_scheme(&self.scheme)
    }

    fn unsplit(&self) -> String {
        let mut url = format!("{}:", self.scheme);
        // A path that starts with two slashes says itself that there is no host.
        if !self.netloc.is_empty() || !self.path.starts_with("//") {
            url.push_str("//");
            url.push_str(self.netloc);
            let is_relative = !self.path.starts_with('/');
            if is_relative && !(self.path.is_empty() && self.params.is_empty()) {
                url.push('/');
            }
        }
        url.push_str(&self.path);
        for (mark, piece) in [(';', self.params), ('?', self.query), ('#', self.fragment)] {
            if !piece.is_empty() {
                url.push(mark);
                url.push_str(piece);
            }
        }
        url
    }
}

fn is_http_scheme(scheme: &str) -> bool {
    matches!(scheme, "http" | "https")
}

fn split_scheme(url: &str) -> (Option<Cow<'_, str>>, &str) {
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    // Most links that are joined are paths, which need no search.
    if !url.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return (None, url);
    }
    match url.split_once(':') {
        Some((scheme, rest)) if scheme.chars().all(is_of_scheme) => {
            let is_lower = !scheme.contains(|c: char| c.is_ascii_uppercase());
            let lower = if is_lower {
                Cow::Borrowed(scheme)
            } else {
                scheme.to_ascii_lowercase().into()
            };
            (Some(lower), rest)
        }
        _ => (None, url),
    }
}

fn split_netloc(url: &str) -> (&str, &str) {
    match url.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", url),
    }
}

/// Parameters are split off the last step of the path only.
fn split_params(path: &str) -> (&str, &str) {
    let last = path.rfind('/').unwrap_or(0);
    match path[last..].find(';') {
        Some(at) => (&path[..last + at], &path[last + at + 1..]),
        None => (path, ""),
    }
}

fn is_possible_netloc(netloc: &str) -> bool {
    has_possible_brackets(netloc) && !netloc.contains(is_delimiter_in_disguise)
}

fn has_possible_brackets(netloc: &str) -> bool {
    match (netloc.split_once('['), netloc.contains(']')) {
        (None, false) => true,
        (Some((_, after)), true) => {
            let host = after.split_once(']').map_or(after, |(host, _)| host);
            is_bracketed_host(host)
        }
        _ => false,
    }
}

/// An IPv6 address, with a zone perhaps, or an address of a future version (RFC 3986).
fn is_bracketed_host(host: &str) -> bool {
    if let Some(future) = host.strip_prefix('v') {
        return future.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.chars().all(|c| c.is_ascii_hexdigit())
                && !address.is_empty()
        });
    }
    match host.split_once('%') {
        Some((address, zone)) => {
            !zone.is_empty() && !zone.contains('%') && address.parse::<Ipv6Addr>().is_ok()
        }
        None => host.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Characters whose compatibility form (NFKC) has one of `/?#@:` in it.
fn is_delimiter_in_disguise(c: char) -> bool {
    matches!(
        c,
        '\u{2047}'
            ..='\u{2049}'
                | '\u{2100}'
                | '\u{2101}'
                | '\u{2105}'
                | '\u{2106}'
                | '\u{2a74}'
                | '\u{fe13}'
                | '\u{fe16}'
                | '\u{fe55}'
                | '\u{fe56}'
                | '\u{fe5f}'
                | '\u{fe6b}'
                | '\u{ff03}'
                | '\u{ff0f}'
                | '\u{ff1a}'
                | '\u{ff1f}'
                | '\u{ff20}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins that Python made: `bench/wat/golden.py`.
    const JOINS: &str = include_str!("../tests/data/joins.jsonl");

    #[test]
    fn joins_as_python_does() {
        for line in JOINS.lines() {
            let (base, link, joined): (String, String, Option<String>) =
                serde_json::from_str(line).unwrap();
            let ours = urljoin(&base, &link);
            assert_eq!(ours.as_deref(), joined.as_deref(), "{base:?} + {link:?}");
        }
        assert!(JOINS.lines().count() > 900);
    }

    #[test]
    fn a_long_base_is_not_repeated_without_end() {
        let link = Link {
            url: "c.jpg".into(),
            alt: "".into(),
        };
        let mut links = vec![link; 2_000];
        let base = format!("/{}/", "x".repeat(1 << 20));
        make_absolute("http://h.example/a/b", Some(&base), &mut links);
        let total: usize = links.iter().map(|link| link.url.len()).sum();
        assert!(total <= MOST_JOINED + links.len() * "c.jpg".len());
        assert!(links[0].url.ends_with("/c.jpg"));
        assert_eq!(links[1_999].url, "c.jpg");
    }

    #[test]
    fn a_base_element_moves_links() {
        let join = |base, link: &'static str| {
            let mut links = [Link {
                url: link.into(),
                alt: "".into(),
            }];
            make_absolute("http://h.example/a/b", base, &mut links);
            let [link] = links;
            link.url
        };
        assert_eq!(join(None, "c.jpg"), "http://h.example/a/c.jpg");
        assert_eq!(join(Some("/x/"), "c.jpg"), "http://h.example/x/c.jpg");
        assert_eq!(
            join(Some("https://o.example"), "c.jpg"),
            "https://o.example/c.jpg"
        );
        // One that is no URL is as good as none, one of another scheme makes no image.
        assert_eq!(join(Some("//[bad"), "c.jpg"), "http://h.example/a/c.jpg");
        assert_eq!(join(Some("ftp://o.example/"), "c.jpg"), "c.jpg");
        assert_eq!(
            join(Some("/x/"), "https://h.example/y.jpg"),
            "https://h.example/y.jpg"
        );
    }
}
