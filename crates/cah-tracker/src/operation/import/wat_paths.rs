//! Lists of WAT files, as Common Crawl publishes them.

use url::Url;

use super::{ImportError, check::start};

/// Longest URL of a WAT file, in bytes.
pub(super) const MAX_URL: usize = 2_048;

/// The address that relative paths belong to, with a slash at its end.
pub(super) struct Base(String);

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let refuse = |reason: &str| ImportError::BaseUrl {
            url: text.chars().take(200).collect(),
            reason: reason.into(),
        };
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !is_fetchable(&url) {
            return Err(refuse("it starts with another scheme"));
        }
        Ok(Self(format!("{}/", text.trim_end_matches('/'))))
    }

    /// The address of the file that a line names, or what is wrong with the line.
    pub(super) fn resolve(&self, line: &str) -> Result<String, String> {
        if line
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "<>\"`\\{}|^".contains(c))
        {
            return Err(format!("`{}` has characters that no path has", start(line)));
        }
        let url = if line.contains("://") {
            line.to_owned()
        } else {
            format!("{}{}", self.0, line.trim_start_matches('/'))
        };
        if url.len() > MAX_URL {
            return Err(format!("its URL is longer than {MAX_URL} bytes"));
        }
        let parsed = Url::parse(&url).map_err(|error| format!("`{}`: {error}", start(line)))?;
        if !is_fetchable(&parsed) {
            return Err(format!("`{}` is no http, https or s3 address", start(line)));
        }
        let path = parsed.path();
        if path.ends_with(".wat.gz") || path.ends_with(".wat") {
            Ok(url)
        } else {
            Err(format!(
                "`{}` ends in neither .wat.gz nor .wat",
                start(line)
            ))
        }
    }
}

fn is_fetchable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "s3") && url.has_host()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_must_be_an_address() {
        for wrong in ["", "data.example.org", "ftp://host/", "http://"] {
            assert!(Base::parse(wrong).is_err(), "{wrong}");
        }
    }
}
