//! Which addresses a tracker may name.

use cah_fetch::{Config, ConfigError, Guard, is_public};
use cah_protocol::is_loopback;
use url::{Host, Url};

/// What names of private networks end in; nobody can register one below them.
const PRIVATE_NAMES: [&str; 5] = [".local", ".internal", ".lan", ".home.arpa", ".localhost"];

/// The guard over what a tracker names, or none where it may name everything: where the user says
/// so, or says nothing and has named a tracker of a private network.
pub(crate) fn guard(tracker: &str, allowed: Option<bool>) -> Result<Option<Guard>, ConfigError> {
    match allowed.unwrap_or_else(|| is_private(tracker)) {
        true => Ok(None),
        false => Guard::new(&Config::default()).map(Some),
    }
}

/// Whether an address is that of this machine or of a private network, by itself: who answers for a
/// name of the public net can have it resolve to anything.
fn is_private(tracker: &str) -> bool {
    let Ok(url) = Url::parse(tracker) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let is_private = PRIVATE_NAMES.iter().any(|end| name.ends_with(end));
            is_loopback(name) || !name.contains('.') || is_private
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_cannot_be_public_are_private() {
        for private in [
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://10.1.2.3/k/KEY/",
            "http://192.168.0.7:80/",
            "http://localhost:8080/",
            "http://tracker:8080/",
            "http://tracker.lan/",
            "http://tracker.ns.svc.cluster.local/",
        ] {
            assert!(is_private(private), "{private}");
            assert!(guard(private, None).unwrap().is_none());
        }
        for public in [
            "https://tracker.example.org/",
            "http://8.8.8.8/",
            "http://10.example.org/",
            "http://local.example.org/",
            "http://tracker.notlocal.example.org/",
            "no address",
        ] {
            assert!(!is_private(public), "{public}");
            assert!(guard(public, None).unwrap().is_some());
        }
        assert!(guard("http://127.0.0.1/", Some(false)).unwrap().is_some());
        assert!(
            guard("https://a.example.org/", Some(true))
                .unwrap()
                .is_none()
        );
    }
}
