//! Which hub, which cache, which repository.

use std::{env, fmt, path::PathBuf};

/// Where models are downloaded from and to.
#[derive(Clone)]
pub struct HubOptions {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// A token for gated models; it is sent to the endpoint's own host only.
    pub token: Option<String>,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Never connect; take what is in the cache.
    pub offline: bool,
}

impl HubOptions {
    /// Reads the variables of `huggingface_hub`: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, and for the
    /// cache `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` or `HOME`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let home = || PathBuf::from(get("HOME").unwrap_or_else(|| ".".into()));
        let caches = || get("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
        let hf_home = || get("HF_HOME").map_or_else(|| caches().join("huggingface"), PathBuf::from);
        Self {
            endpoint: get("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            token: get("HF_TOKEN"),
            cache: get("HF_HUB_CACHE").map_or_else(|| hf_home().join("hub"), PathBuf::from),
            offline: get("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_uppercase().as_str(),
        "1" | "ON" | "YES" | "TRUE"
    )
}

impl fmt::Debug for HubOptions {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// A repository of the hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubRepo {
    id: String,
    revision: Option<String>,
}

impl HubRepo {
    /// Reads `org/name` or `org/name@revision`; `None` where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let (org, name) = id.split_once('/')?;
        let valid = is_name(org)
            && is_name(name)
            && revision.is_none_or(|revision| revision.split('/').all(is_name));
        valid.then(|| Self {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// `org/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The branch, tag, commit or pull request; `main` where none was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for HubRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// Whether a text can be one part of a path: nothing that comes from outside leaves the cache.
pub(in crate::model) fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(known) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_and_paths_are_not() {
        let repo = HubRepo::parse("openai/clip-vit-base-patch32@refs/pr/66").unwrap();
        assert_eq!(repo.id(), "openai/clip-vit-base-patch32");
        assert_eq!(repo.revision(), "refs/pr/66");
        assert_eq!(repo.to_string(), "openai/clip-vit-base-patch32@refs/pr/66");
        assert_eq!(HubRepo::parse("a/b").unwrap().revision(), "main");
        for text in [
            "", "a", "a/b/c", "../b", "a/..", "a/b@../x", "a/b@", "a/b c", "a/b@x//y",
        ] {
            assert_eq!(HubRepo::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_variables_of_the_hubs_own_tools_count() {
        let options = |pairs: &[(&str, &str)]| {
            HubOptions::from_variables(|name| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let plain = options(&[("HOME", "/h")]);
        assert_eq!(plain.cache, PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert!(!plain.offline);
        let set = options(&[
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "http://mirror"),
            ("HF_TOKEN", "secret"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(set.cache, PathBuf::from("/hf/hub"));
        assert_eq!(set.endpoint, "http://mirror");
        assert!(set.offline);
        assert!(!format!("{set:?}").contains("secret"));
    }
}
