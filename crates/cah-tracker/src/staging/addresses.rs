//! The addresses of a staging in a bucket, in every form in which they may come back.

use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

/// What the name of every object ends in.
const ENDING: &str = ".tar";

/// What an address begins with: where it leads to, and the folder there, with a slash at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    is_bucket: bool,
    host: String,
    port: Option<u16>,
    folder: String,
}

impl Root {
    /// The part of an address before a name, and the name, nothing of both encoded.
    fn split(address: &Url) -> Option<(Self, String)> {
        let is_bucket = match address.scheme() {
            "s3" | "s3a" => true,
            // A signature is good for both.
            "http" | "https" => false,
            _ => return None,
        };
        let path = percent_decode_str(address.path()).decode_utf8().ok()?;
        let (folder, name) = path.rsplit_once('/')?;
        let root = Self {
            is_bucket,
            host: address.host_str()?.to_owned(),
            port: address.port(),
            folder: format!("{folder}/"),
        };
        Some((root, name.to_owned()))
    }

    /// The same place with the bucket in the path instead of the host's name, or the other way
    /// round.
    fn in_other_style(&self, bucket: &str, prefix: &Path) -> Option<Self> {
        let prefix = match prefix.as_ref() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let before = self.folder.strip_suffix(&prefix)?;
        let (host, folder) = match before.strip_suffix(&format!("/{bucket}/")) {
            Some(before) => (format!("{bucket}.{}", self.host), format!("{before}/")),
            None => {
                let host = self.host.strip_prefix(&format!("{bucket}."))?;
                (host.to_owned(), format!("{before}{bucket}/"))
            }
        };
        Some(Self {
            host,
            folder: format!("{folder}{prefix}"),
            ..self.clone()
        })
    }
}

/// The addresses of objects below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// `s3://bucket/prefix/`.
    shown: String,
    roots: Vec<Root>,
}

impl Addresses {
    /// Learns from a signed address of any object below the prefix how the bucket is reached.
    pub(super) fn new(place: &Url, prefix: &Path, signed: &Url) -> Self {
        let shown = format!("{}/", place.as_str().trim_end_matches('/'));
        let bucket = place.host_str().unwrap_or_default();
        let own = Url::parse(&shown).ok();
        let own = own.and_then(|own| Root::split(&own));
        let signed = Root::split(signed).map(|(root, _)| root);
        let other = signed
            .as_ref()
            .and_then(|root| root.in_other_style(bucket, prefix));
        let own = own.map(|(root, _)| root);
        Self {
            shown,
            roots: own.into_iter().chain(signed).chain(other).collect(),
        }
    }

    /// The address that is stored and shown for an object: without a signature, and the same for
    /// whoever is handed it.
    pub(super) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.shown)
    }

    /// The name of the object that an address leads to, with a signature or without, if it is one
    /// of this staging.
    pub(super) fn name_at(&self, address: &str) -> Option<String> {
        let address = Url::parse(address).ok()?;
        let (root, name) = Root::split(&address)?;
        let is_ours = self.roots.contains(&root) && is_name(&name);
        is_ours.then_some(name)
    }
}

/// A name that nobody can guess.
pub(super) fn draw_name() -> String {
    format!("{:032x}{ENDING}", rand::random::<u128>())
}

/// Whether a name is one that is given out here.
pub(super) fn is_name(name: &str) -> bool {
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let chance = name.strip_suffix(ENDING);
    chance.is_some_and(|chance| chance.len() == 32 && chance.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0123456789abcdef0123456789abcdef.tar";

    /// Those of a bucket's place, where the client signs addresses that begin so.
    fn addresses(place: &str, signed: &str) -> Addresses {
        let place = Url::parse(place).unwrap();
        let prefix = Path::from_url_path(place.path()).unwrap();
        let signed = format!("{signed}x?X-Amz-Signature=1");
        Addresses::new(&place, &prefix, &Url::parse(&signed).unwrap())
    }

    #[test]
    fn what_is_drawn_is_a_name() {
        let (one, other) = (draw_name(), draw_name());
        assert!(is_name(&one) && is_name(&other) && one != other);
    }

    #[test]
    fn addresses_come_back_in_many_forms() {
        let at_home = "http://127.0.0.1:9000/b/a%20c/";
        let at_home = addresses("s3://b/a%20c/", at_home);
        let path_style = addresses("s3://b/a", "https://s3.eu-west-1.amazonaws.com/b/a/");
        let by_host = addresses("s3://b/a", "https://b.s3.eu-west-1.amazonaws.com/a/");
        let whole = addresses("s3://b", "https://minio.example.org/s3/b/");
        for (addresses, begin) in [
            (&at_home, "http://127.0.0.1:9000/b/a%20c/"),
            (&at_home, "http://127.0.0.1:9000/b/a c/"),
            (&at_home, "http://127.0.0.1:9000/b/./x/../a%20c/"),
            (&at_home, "s3://b/a%20c/"),
            (&at_home, "s3a://b/a%20c/"),
            (&path_style, "https://s3.eu-west-1.amazonaws.com/b/a/"),
            (&path_style, "HTTPS://S3.EU-west-1.amazonaws.com:443/b/a/"),
            (&path_style, "https://b.s3.eu-west-1.amazonaws.com/a/"),
            (&path_style, "http://s3.eu-west-1.amazonaws.com/b/a/"),
            (&by_host, "https://s3.eu-west-1.amazonaws.com/b/a/"),
            (&by_host, "https://b.s3.eu-west-1.amazonaws.com/a/"),
            (&whole, "https://minio.example.org/s3/b/"),
            (&whole, "https://b.minio.example.org/s3/"),
            (&whole, "s3://b/"),
        ] {
            for rest in ["", "?X-Amz-Signature=1&X-Amz-Date=2", "#x", "?"] {
                let address = format!("{begin}{NAME}{rest}");
                let name = addresses.name_at(&address);
                assert_eq!(name.as_deref(), Some(NAME), "{address}");
            }
        }
        assert_eq!(at_home.of(NAME), format!("s3://b/a%20c/{NAME}"));
        assert_eq!(whole.of(NAME), format!("s3://b/{NAME}"));
    }

    #[test]
    fn what_only_looks_like_one_is_another() {
        let addresses = addresses("s3://b/a", "https://b.s3.example.org/a/");
        for other in [
            format!("https://b.s3.example.org.evil.org/a/{NAME}"),
            format!("https://b.s3.example.org@evil.org/a/{NAME}"),
            format!("https://evil.org/?https://b.s3.example.org/a/{NAME}"),
            format!("https://evil.org/#https://b.s3.example.org/a/{NAME}"),
            format!("https://evil.org/a/{NAME}"),
            format!("https://b.s3.example.org:8443/a/{NAME}"),
            format!("https://c.s3.example.org/a/{NAME}"),
            format!("https://b.b.s3.example.org/a/{NAME}"),
            format!("https://s3.example.org/c/a/{NAME}"),
            format!("https://s3.example.org/a/{NAME}"),
            format!("https://b.s3.example.org/{NAME}"),
            format!("https://b.s3.example.org/a//{NAME}"),
            format!("https://b.s3.example.org/a/../c/{NAME}"),
            format!("https://b.s3.example.org/a/%2e%2e/c/{NAME}"),
            format!("https://b.s3.example.org/a/c/{NAME}"),
            format!("https://b.s3.example.org/A/{NAME}"),
            format!("https://b.s3.example.org/a/{NAME}/"),
            format!("https://b.s3.example.org/a/{NAME}%00"),
            format!("https://b.s3.example.org/a/x{NAME}"),
            format!("https://b.s3.example.org/a/{}", NAME.to_uppercase()),
            "https://b.s3.example.org/a/secrets.tar".into(),
            "https://b.s3.example.org/a/".into(),
            format!("ftp://b.s3.example.org/a/{NAME}"),
            format!("s3://c/a/{NAME}"),
            format!("s3://b/{NAME}"),
            format!("s3://b.s3.example.org/a/{NAME}"),
            format!("https://b/a/{NAME}"),
            format!("rsync b/a/{NAME}"),
            NAME.into(),
            String::new(),
        ] {
            assert_eq!(addresses.name_at(&other), None, "{other}");
        }
    }

    #[test]
    fn a_prefix_that_begins_like_the_bucket_changes_nothing() {
        let addresses = addresses("s3://b/b/a", "https://b.example.org/b/a/");
        let ours = |begin: &str| addresses.name_at(&format!("{begin}{NAME}")).is_some();
        assert!(ours("https://b.example.org/b/a/") && ours("https://example.org/b/b/a/"));
        assert!(!ours("https://b.b.example.org/a/") && !ours("https://b.example.org/a/"));
    }
}
