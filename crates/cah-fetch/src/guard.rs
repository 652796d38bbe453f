//! The care that a fetch takes over addresses, for requests that are no fetch of an image.

use std::sync::Arc;

use reqwest::{ClientBuilder, redirect};
use url::{Host, Url};

use crate::{
    address::Filter,
    classify::host_of,
    config::{Config, ConfigError},
    error::{FetchError, RedirectFault},
    names::{Names, SharedNames},
    target,
};

/// Keeps an HTTP client to the addresses that a [`Config`] lets a [`Fetcher`](crate::Fetcher)
/// reach, and to its names. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    names: Arc<Names>,
    filter: Filter,
    max_redirects: u32,
}

impl Guard {
    /// # Errors
    /// As [`Fetcher::new`](crate::Fetcher::new).
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let filter = Filter::new(
            config.allow_private_addresses,
            config.allowed_networks.clone(),
        );
        Ok(Self {
            names: Arc::new(Names::new(config, filter.clone())?),
            filter,
            max_redirects: config.max_redirects,
        })
    }

    /// Has a client resolve names here and follow no redirect to an address that is not permitted.
    /// It uses no proxy: that would resolve names by itself.
    ///
    /// A client asks no resolver for an address in a URL; whoever sends a request has the URL
    /// [checked](Self::check) first.
    pub fn watch(&self, client: ClientBuilder) -> ClientBuilder {
        let guard = self.clone();
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > guard.max_redirects as usize {
                attempt.error(FetchError::BadRedirect(RedirectFault::TooMany))
            } else {
                match guard.check_literal(attempt.url()) {
                    Ok(()) => attempt.follow(),
                    Err(error) => attempt.error(error),
                }
            }
        });
        client
            .dns_resolver(Arc::new(SharedNames(Arc::clone(&self.names))))
            .redirect(redirects)
            .no_proxy()
    }

    /// Whether a URL may be asked.
    ///
    /// # Errors
    /// [`FetchError::InvalidUrl`], [`FetchError::PrivateAddress`] and, where the name does not
    /// resolve, [`FetchError::Dns`].
    pub async fn check(&self, url: &str) -> Result<(), FetchError> {
        let url = target::parse(url)?;
        self.check_literal(&url)?;
        if let Some(Host::Domain(name)) = url.host() {
            self.names.addresses(name).await?;
        }
        Ok(())
    }

    fn check_literal(&self, url: &Url) -> Result<(), FetchError> {
        match target::literal(url) {
            Some(address) if !self.filter.permits(address) => {
                let host = host_of(url);
                Err(FetchError::PrivateAddress { host })
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::NameServers, error::ErrorKind};

    fn guard(allow_private_addresses: bool) -> Guard {
        let hosts = [
            ("inside.example", "10.0.0.1:0"),
            ("out.example", "8.8.8.8:0"),
        ];
        Guard::new(&Config {
            allow_private_addresses,
            hosts: hosts
                .map(|(name, address)| (name.to_owned(), vec![address.parse().unwrap()]))
                .into(),
            name_servers: NameServers::None,
            ..Config::default()
        })
        .unwrap()
    }

    #[tokio::test]
    async fn only_the_public_web_passes() {
        for (url, kind) in [
            ("http://127.0.0.1:1/x", ErrorKind::PrivateAddress),
            ("http://2130706433/x", ErrorKind::PrivateAddress),
            ("http://[::1]/x", ErrorKind::PrivateAddress),
            ("http://169.254.169.254/latest", ErrorKind::PrivateAddress),
            ("https://localhost/x", ErrorKind::PrivateAddress),
            ("https://inside.example/x", ErrorKind::PrivateAddress),
            ("https://nobody.invalid/x", ErrorKind::Dns),
            ("file:///etc/passwd", ErrorKind::InvalidUrl),
            ("/etc/passwd", ErrorKind::InvalidUrl),
            ("https://a:b@out.example/x", ErrorKind::InvalidUrl),
        ] {
            let error = guard(false).check(url).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{url}");
        }
        guard(false).check("https://out.example/x").await.unwrap();
        guard(false).check("http://8.8.8.8/x").await.unwrap();
        guard(true).check("http://127.0.0.1:1/x").await.unwrap();
        guard(true).check("http://inside.example/x").await.unwrap();
    }
}
