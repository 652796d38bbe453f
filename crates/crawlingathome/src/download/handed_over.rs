//! What a CPU worker handed over.

use std::{fs::File, io::Read, path::Path};

use cah_archive::{Extracted, Limits};
use cah_fetch::Guard;
use cah_staged::StagedFolder;
use cah_task::blocking;

use super::{
    DownloadError, DownloadOptions,
    feed::{self, Wanted},
    open,
};
use crate::{RsyncError, rsync};

/// Where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At a URL or path that can be read.
    Source(String),
    /// Where only the program `rsync` gets it.
    Rsync(String),
}

/// What the Python client of old adds to a name, and what our own workers leave out.
const ENDINGS: [&str; 3] = ["", ".tar.gz", ".tar"];

impl Place {
    fn of(address: String) -> Self {
        match rsync::is_address(&address) {
            true => Self::Rsync(address),
            false => Self::Source(address),
        }
    }
}

/// The name in `rsync NAME`, below wherever CPU workers bring what they hand over.
pub(super) fn name_in(url: &str) -> Result<Option<&str>, DownloadError> {
    let name = url.trim().strip_prefix("rsync");
    let name = name.filter(|name| name.starts_with(char::is_whitespace));
    match name.map(str::trim) {
        Some(name) if !is_file_name(name) => Err(DownloadError::BadName(url.into())),
        name => Ok(name),
    }
}

/// Where a file of that name may be: below each of these addresses, as the name is and with the
/// endings of a tar.
fn places(name: &str, bases: &[String]) -> Vec<Place> {
    let endings = match name.contains(".tar") {
        true => &ENDINGS[..1],
        false => &ENDINGS[..],
    };
    let places = bases.iter().flat_map(|base| {
        let slash = if base.ends_with('/') { "" } else { "/" };
        let addresses = endings
            .iter()
            .map(move |end| format!("{base}{slash}{name}{end}"));
        addresses.map(Place::of)
    });
    places.collect()
}

/// Whether a text is a file's name and nothing else, in a URL, a path and for a program.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+=@~,".contains(c);
    (1..=200).contains(&name.len()) && !name.starts_with(['.', '-']) && name.chars().all(is_plain)
}

/// Downloads and extracts what a URL leads to.
pub(super) async fn download(
    url: &str,
    guard: Option<&Guard>,
    folder: &Path,
    options: &DownloadOptions,
) -> Result<Extracted, DownloadError> {
    download_from(&Place::of(url.trim().to_owned()), guard, folder, options).await
}

/// The same with the file of that name, below whichever of the addresses it is.
pub(super) async fn find(
    name: &str,
    bases: &[String],
    guard: Option<&Guard>,
    folder: &Path,
    options: &DownloadOptions,
) -> Result<Extracted, DownloadError> {
    let mut why = None;
    for place in places(name, bases) {
        match download_from(&place, guard, folder, options).await {
            // An address that the tracker tells is no fault of the name's.
            Err(DownloadError::Rsync(RsyncError::BadAddress(_))) => {}
            Err(error @ (DownloadError::Source(_) | DownloadError::Rsync(_))) => {
                // It may be where somebody else could look.
                if why.as_ref().is_none_or(DownloadError::is_of_the_url) {
                    why = Some(error);
                }
            }
            done => return done,
        }
    }
    Err(why.unwrap_or_else(|| DownloadError::NoStaging(name.into())))
}

async fn download_from(
    place: &Place,
    guard: Option<&Guard>,
    folder: &Path,
    options: &DownloadOptions,
) -> Result<Extracted, DownloadError> {
    let (folder, limits) = (folder.to_owned(), options.limits);
    match place {
        Place::Source(location) => {
            let source = open(location, guard).await?;
            let wanted = Wanted {
                source: &source,
                start: 0,
                total: source.length(),
                progress: options.progress.as_ref(),
            };
            let location = location.clone();
            feed::through(wanted, move |fed| extract(fed, &location, &folder, &limits)).await
        }
        Place::Rsync(address) => {
            // Beside its end, where there is room for it, and in a folder of its own: what else the
            // server may send lands there.
            let within = folder.clone();
            let staged = blocking(move || StagedFolder::create_in(&within)).await;
            let staged = staged.map_err(|error| DownloadError::write(&folder, error))?;
            let archive = staged.path().join("archive");
            rsync::fetch(address, &archive, limits.total, guard).await?;
            let address = address.clone();
            blocking(move || {
                let opened = File::open(&archive);
                let file = opened.map_err(|error| DownloadError::write(&archive, error))?;
                let extracted = extract(file, &address, &folder, &limits);
                drop(staged);
                extracted
            })
            .await
        }
    }
}

fn extract(
    archive: impl Read,
    location: &str,
    folder: &Path,
    limits: &Limits,
) -> Result<Extracted, DownloadError> {
    let extracted = cah_archive::extract(archive, folder, limits);
    extracted.map_err(|error| DownloadError::Archive {
        location: location.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_where_files_are_brought() {
        let source = |place: &str| Place::Source(place.into());
        let rsync = |place: &str| Place::Rsync(place.into());
        for (name, base, expected) in [
            ("1.tar", "http://t/s/", source("http://t/s/1.tar")),
            ("a-1.tar.gz", "s3://b/x", source("s3://b/x/a-1.tar.gz")),
            ("a.tar", "rsync://h/m/", rsync("rsync://h/m/a.tar")),
            ("a.tar", "u@1.2.3.4::m", rsync("u@1.2.3.4::m/a.tar")),
        ] {
            assert_eq!(places(name, &[base.into()]), [expected], "{name}");
        }
        let both = places("a", &["file:///x".into(), "file:///y".into()]);
        assert_eq!(
            both[..2],
            [source("file:///x/a"), source("file:///x/a.tar.gz")]
        );
        assert_eq!(both[5], source("file:///y/a.tar"));
    }

    #[test]
    fn names_are_told_from_addresses() {
        for (url, name) in [
            ("rsync 1.tar", Some("1.tar")),
            (" rsync   a-1 ", Some("a-1")),
            ("rsync://h/m/a", None),
            (" http://h/a.tar ", None),
            ("rsyncing", None),
        ] {
            assert_eq!(name_in(url).unwrap(), name, "{url}");
        }
        for bad in [
            "rsync ../x",
            "rsync a/b",
            "rsync -e",
            "rsync .x",
            "rsync a b",
            "rsync a?b",
            "rsync a%2fb",
        ] {
            let error = name_in(bad).unwrap_err();
            assert!(error.is_of_the_url(), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn a_tracker_without_a_place_is_no_fault_of_the_name() {
        let folder = tempfile::tempdir().unwrap();
        for bases in [&[][..], &["rsync://h:x/m".into()]] {
            let options = DownloadOptions::default();
            let found = find("a", bases, None, folder.path(), &options).await;
            let error = found.unwrap_err();
            assert!(matches!(error, DownloadError::NoStaging(_)), "{error}");
            assert!(!error.is_of_the_url());
        }
    }
}
