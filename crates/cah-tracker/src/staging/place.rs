//! Where an operator wants to have what CPU workers hand over.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// A folder of the tracker's, or the part of a bucket below a prefix, `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StagingPlace {
    /// Files come to the tracker itself.
    Folder(PathBuf),
    /// Files go to the bucket, at addresses that the tracker signs.
    Bucket(Url),
}

impl FromStr for StagingPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::Folder(text.into()));
        }
        let url = cah_bucket::address(text).map_err(|error| error.to_string())?;
        // What is handed over at an address with that word closes its job, in the public protocol.
        match text.contains("postgres") {
            true => Err(format!(
                "`{text}` contains `postgres`, and jobs that are handed over at such addresses are \
                 taken for done; name another bucket or prefix"
            )),
            false => Ok(Self::Bucket(url)),
        }
    }
}

impl TryFrom<String> for StagingPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StagingPlace> for String {
    fn from(place: StagingPlace) -> Self {
        place.to_string()
    }
}

impl fmt::Display for StagingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_in_a_bucket() {
        let place = |text: &str| text.parse::<StagingPlace>();
        assert_eq!(place("a/b"), Ok(StagingPlace::Folder("a/b".into())));
        let bucket = place("s3://bucket/a/b").unwrap();
        assert!(matches!(bucket, StagingPlace::Bucket(_)));
        assert_eq!(bucket.to_string(), "s3://bucket/a/b");
        for (wrong, part) in [
            ("gs://bucket/a", "not in a bucket"),
            ("s3:///a", "names no bucket"),
            ("s3://bucket/a?b", "no meaning"),
            ("s3://bucket/postgres", "another bucket or prefix"),
        ] {
            let refused = place(wrong).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
