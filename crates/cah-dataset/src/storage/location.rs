//! From the text that a person gives to a place.

use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{DatasetError, Result};

/// A place as it was named, not yet opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://bucket/prefix`.
    Bucket(Url),
}

impl Location {
    pub(crate) fn parse(place: &str) -> Result<Self> {
        let bad = |why: &str| DatasetError::BadAddress {
            place: place.to_owned(),
            why: why.to_owned(),
        };
        if place.is_empty() {
            return Err(bad("it is empty"));
        }
        let Some(scheme) = scheme(place) else {
            return Ok(Self::Folder(place.into()));
        };
        let url = || Url::parse(place).map_err(|cause| bad(&cause.to_string()));
        match scheme.to_ascii_lowercase().as_str() {
            "file" => url()?
                .to_file_path()
                .map(Self::Folder)
                .map_err(|()| bad("a file address is absolute, like file:///folder")),
            "s3" | "s3a" => Ok(Self::Bucket(cah_bucket::address(place)?)),
            _ => Err(DatasetError::UnknownScheme(place.to_owned())),
        }
    }
}

/// What stands before `:/`, where it looks like a scheme. One letter is a Windows drive.
fn scheme(place: &str) -> Option<&str> {
    let (scheme, _) = place.split_once(":/")?;
    let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.len() > 1 && scheme.chars().all(plausible)).then_some(scheme)
}

/// Splits the address of a file into the place it lies in and its name there.
pub(crate) fn split_file(target: &str) -> Result<(String, String)> {
    let no_name = || DatasetError::BadAddress {
        place: target.to_owned(),
        why: "it names no file".to_owned(),
    };
    if scheme(target).is_some() {
        let (place, name) = target.rsplit_once('/').ok_or_else(no_name)?;
        if name.is_empty() || place.ends_with('/') {
            return Err(no_name());
        }
        return Ok((place.to_owned(), name.to_owned()));
    }
    let path = Path::new(target);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name
        .filter(|_| !target.ends_with('/'))
        .ok_or_else(no_name)?;
    let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
    let folder = if folder.is_empty() { "." } else { folder };
    Ok((folder.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_told_apart() {
        let folder = |text: &str| Ok::<_, String>(Location::Folder(text.into()));
        let parse = |text: &str| Location::parse(text).map_err(|e| e.to_string());
        assert_eq!(parse("out"), folder("out"));
        assert_eq!(parse("/data/out 1"), folder("/data/out 1"));
        assert_eq!(parse("C:/data"), folder("C:/data"));
        assert_eq!(parse("file:///data/a%20b"), folder("/data/a b"));
        assert!(matches!(parse("s3://bucket"), Ok(Location::Bucket(_))));
        assert!(matches!(parse("S3://bucket/a/b"), Ok(Location::Bucket(_))));
    }

    #[test]
    fn what_cannot_be_used_is_named_in_one_line() {
        for (place, part) in [
            ("", "empty"),
            ("gs://bucket/x", "s3://bucket/prefix"),
            ("https://host/x", "s3://bucket/prefix"),
            ("s3:/bucket", "bucket"),
            ("s3:///x", "bucket"),
            ("s3://bucket/x?versionId=1", "`?`"),
            ("file://host/x", "absolute"),
        ] {
            let error = match Location::parse(place) {
                Err(error) => error.to_string(),
                Ok(location) => panic!("{place}: {location:?}"),
            };
            assert!(error.contains(part) && error.contains(place), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_file_has_a_place_and_a_name() {
        let split = |text: &str| split_file(text).ok();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(split("c.parquet"), pair(".", "c.parquet"));
        assert_eq!(split("/c.parquet"), pair("/", "c.parquet"));
        assert_eq!(split("a/b/c.parquet"), pair("a/b", "c.parquet"));
        assert_eq!(split("s3://b/c.parquet"), pair("s3://b", "c.parquet"));
        assert_eq!(split("file:///a/c.parquet"), pair("file:///a", "c.parquet"));
        for nothing in ["", "a/", "s3://", "s3://b/", "s3://b", ".."] {
            assert_eq!(split(nothing), None, "{nothing}");
        }
    }
}
