//! Which URLs may be asked at all: at the start, and at each redirect.

use std::net::IpAddr;

use http::HeaderValue;
use url::{Host, ParseError, Url};

use crate::error::{FetchError, RedirectFault, shorten};

/// The URL of a fetch, without its fragment.
pub(crate) fn parse(text: &str) -> Result<Url, FetchError> {
    let invalid = |reason: String| FetchError::InvalidUrl {
        url: shorten(text),
        reason,
    };
    let url = Url::parse(text).map_err(|error| {
        invalid(match error {
            ParseError::RelativeUrlWithoutBase => "it is not absolute".to_owned(),
            error => error.to_string(),
        })
    })?;
    vet(url).map_err(|flaw| {
        invalid(match flaw {
            Flaw::Scheme => "it is neither http nor https".to_owned(),
            Flaw::Credentials => "it carries a user name or a password".to_owned(),
        })
    })
}

/// The URL that a redirect from `from` leads to.
pub(crate) fn redirect(from: &Url, location: &HeaderValue) -> Result<Url, RedirectFault> {
    let location = str::from_utf8(location.as_bytes()).map_err(|_| RedirectFault::BadLocation)?;
    let url = from
        .join(location)
        .map_err(|_| RedirectFault::BadLocation)?;
    vet(url).map_err(|flaw| match flaw {
        Flaw::Scheme => RedirectFault::OtherScheme,
        Flaw::Credentials => RedirectFault::BadLocation,
    })
}

/// The address that a URL names itself. The HTTP client asks no resolver for it, so that the
/// filter has to see it here; `url` has already read `0x7f.1` or `2130706433` as what they are.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

enum Flaw {
    Scheme,
    Credentials,
}

fn vet(mut url: Url) -> Result<Url, Flaw> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Flaw::Scheme);
    }
    // They would be sent along, and open what their owner did not mean to publish.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Flaw::Credentials);
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::{address::is_public, error::ErrorKind};

    #[rstest]
    #[case("")]
    #[case("cat.jpg")]
    #[case("/cat.jpg")]
    #[case("//example.org/cat.jpg")]
    #[case("http://")]
    #[case("http:///")]
    #[case("ftp://example.org/cat.jpg")]
    #[case("file:///etc/passwd")]
    #[case("data:image/png;base64,AAAA")]
    #[case("javascript:alert(1)")]
    #[case("http://a b/")]
    #[case("http://256.256.256.256/")]
    #[case("http://[::1/")]
    #[case("http://example.org:99999/")]
    #[case("http://anna@example.org/")]
    #[case("http://anna:secret@example.org/")]
    fn not_to_be_fetched(#[case] text: &str) {
        assert_eq!(parse(text).unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    #[rstest]
    #[case("http://example.org/cat.jpg#head", "http://example.org/cat.jpg")]
    #[case(" HTTP://EXAMPLE.org:80/a b ", "http://example.org/a%20b")]
    #[case("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC")]
    fn fetched_as(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse(text).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("http://127.0.0.1/")]
    #[case("http://127.0.0.1./")]
    #[case("http://0x7f.1/")]
    #[case("http://0177.0.0.01/")]
    #[case("http://2130706433/")]
    #[case("http://127.1/")]
    #[case("http://%31%32%37.0.0.1/")]
    #[case("http://127。0。0。1/")]
    #[case("http://①②⑦.0.0.1/")]
    #[case("http://0/")]
    #[case("http://[::1]/")]
    #[case("http://[::ffff:127.0.0.1]/")]
    #[case("http://[::ffff:7f00:1]/")]
    #[case("http://[64:ff9b::10.0.0.1]/")]
    #[case("http://169.254.169.254/latest/meta-data/")]
    fn odd_literals_are_seen_through(#[case] text: &str) {
        let address = literal(&parse(text).unwrap()).expect("it is a literal");
        assert!(!is_public(address), "{address}");
    }

    #[rstest]
    #[case("/b", Ok("http://example.org/b"))]
    #[case("b?c#d", Ok("http://example.org/dir/b?c"))]
    #[case("//cdn.example/b", Ok("http://cdn.example/b"))]
    #[case("https://example.org/dir/a", Ok("https://example.org/dir/a"))]
    #[case("", Ok("http://example.org/dir/a"))]
    #[case("/ü", Ok("http://example.org/%C3%BC"))]
    #[case("file:///etc/passwd", Err(RedirectFault::OtherScheme))]
    #[case("gopher://example.org/", Err(RedirectFault::OtherScheme))]
    #[case("data:image/png;base64,AAAA", Err(RedirectFault::OtherScheme))]
    #[case("http://a:b@example.org/", Err(RedirectFault::BadLocation))]
    #[case("http://[::1", Err(RedirectFault::BadLocation))]
    fn redirects(#[case] location: &str, #[case] expected: Result<&str, RedirectFault>) {
        let from = parse("http://example.org/dir/a").unwrap();
        let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        let to = redirect(&from, &location);
        assert_eq!(to.as_ref().map(Url::as_str), expected.as_ref().copied());
    }

    #[test]
    fn a_location_in_another_encoding_is_bad() {
        let from = parse("http://example.org/").unwrap();
        let location = HeaderValue::from_bytes(b"/\xfc").unwrap();
        assert_eq!(redirect(&from, &location), Err(RedirectFault::BadLocation));
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_http_without_credentials(text in "(http|https|ftp|//)?:?/{0,3}[ -~]{0,30}") {
            if let Ok(url) = parse(&text) {
                prop_assert!(matches!(url.scheme(), "http" | "https"));
                prop_assert!(url.has_host() && url.username().is_empty() && url.fragment().is_none());
            }
        }
    }
}
