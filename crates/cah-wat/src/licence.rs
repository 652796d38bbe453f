//! The licence of a page, by the Creative Commons deed that it links to.
//!
//! LAION-400M took the last link of the page to such a deed. That gives a page that merely talks
//! about licences, or shows works under several, the licence of one of them; here
//! 1. a link that says so (`rel="license"`) decides, the first in the head or else on the page;
//! 2. without one, the deed that the page links to, if it is only one;
//! 3. else the licence is not known.

use url::Url;

/// The host of the deeds. A record that does not mention it is not searched.
pub(crate) const HOST: &str = "creativecommons.org";

/// Links to deeds of one page that are looked at.
pub(crate) const ENOUGH: usize = 64;

/// The longest address of a deed, in bytes. Each candidate of the page has a copy.
const MAX_LENGTH: usize = 2048;

/// A link to a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LicenceLink {
    url: String,
    /// What the deed is, whatever the form of its address: `licenses/by/4.0`.
    deed: String,
    /// Whether the page says that this is its licence.
    is_marked: bool,
}

impl LicenceLink {
    /// The link, if it leads to a deed. `rel` is the link's attribute.
    pub(crate) fn new(url: &str, rel: Option<&str>) -> Option<Self> {
        if url.len() > MAX_LENGTH || !url.contains(HOST) {
            return None;
        }
        let absolute = if url.starts_with("//") {
            format!("https:{url}")
        } else {
            url.to_owned()
        };
        let parsed = Url::parse(absolute.trim()).ok()?;
        let host = parsed.host_str()?;
        if !matches!(parsed.scheme(), "http" | "https") || host.trim_start_matches("www.") != HOST {
            return None;
        }
        let deed = deed(parsed.path())?;
        let is_marked = rel.is_some_and(|rel| {
            rel.split_ascii_whitespace()
                .any(|token| token.eq_ignore_ascii_case("license"))
        });
        Some(LicenceLink {
            url: parsed.into(),
            deed,
            is_marked,
        })
    }
}

/// `licenses/by-sa/4.0` of `/licenses/by-sa/4.0/deed.de`; jurisdictions (`/3.0/de/`) count.
fn deed(path: &str) -> Option<String> {
    let mut steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    if steps
        .last()
        .is_some_and(|step| step.starts_with("deed") || step.starts_with("legalcode"))
    {
        steps.pop();
    }
    match steps.as_slice() {
        ["licenses" | "publicdomain", _, _, ..] => Some(steps.join("/").to_ascii_lowercase()),
        _ => None,
    }
}

/// The licence of a page by the links of its head and of its body.
pub(crate) fn choose(head: &[LicenceLink], body: &[LicenceLink]) -> Option<String> {
    let all = || head.iter().chain(body);
    if let Some(marked) = all().find(|link| link.is_marked) {
        return Some(marked.url.clone());
    }
    let first = all().next()?;
    all()
        .all(|link| link.deed == first.deed)
        .then(|| first.url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str, rel: &str) -> LicenceLink {
        LicenceLink::new(url, Some(rel)).unwrap_or_else(|| panic!("{url} is a deed"))
    }

    #[test]
    fn only_deeds_are_licences() {
        for url in [
            "https://creativecommons.org/",
            "https://creativecommons.org/licenses/",
            "https://creativecommons.org/licenses/by/",
            "https://creativecommons.org/about/downloads/x",
            "https://example.com/creativecommons.org/licenses/by/4.0/",
            "https://creativecommons.org.example.com/licenses/by/4.0/",
            "creativecommons.org/licenses/by/4.0/",
            "ftp://creativecommons.org/licenses/by/4.0/",
        ] {
            assert_eq!(LicenceLink::new(url, Some("license")), None, "{url}");
        }
    }

    #[test]
    fn an_address_beyond_measure_is_none() {
        let deed = "https://creativecommons.org/licenses/by/4.0/?";
        let padded = |length: usize| format!("{deed:x<length$}");
        assert!(LicenceLink::new(&padded(MAX_LENGTH), None).is_some());
        assert_eq!(LicenceLink::new(&padded(MAX_LENGTH + 1), None), None);
    }

    #[test]
    fn one_deed_in_several_forms_is_the_licence() {
        let links = [
            link("//creativecommons.org/licenses/by-sa/4.0/deed.de", ""),
            link(
                "http://www.creativecommons.org/licenses/BY-SA/4.0",
                "nofollow",
            ),
        ];
        let licence = choose(&[], &links).unwrap();
        assert_eq!(
            licence,
            "https://creativecommons.org/licenses/by-sa/4.0/deed.de"
        );
    }

    #[test]
    fn several_deeds_are_none_unless_one_is_marked() {
        let by = link("https://creativecommons.org/licenses/by/4.0/", "");
        let zero = link("https://creativecommons.org/publicdomain/zero/1.0/", "");
        assert_eq!(choose(&[], &[by.clone(), zero.clone()]), None);
        let marked = link(
            "https://creativecommons.org/licenses/by-nc/2.0/de/",
            "nofollow LICENSE",
        );
        let chosen = choose(&[by, zero], std::slice::from_ref(&marked));
        assert_eq!(chosen, Some(marked.url));
        assert_eq!(choose(&[], &[]), None);
    }
}
