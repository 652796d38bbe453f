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
use crate::rsync;

/// Where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At a URL or path that can be read.
    Source(String),
    /// Where only the program `rsync` gets it.
    Rsync(String),
}

/// The place that a shard's URL names; `staging` is where CPU workers bring what they hand over.
pub(super) fn place(url: &str, staging: &str) -> Result<Place, DownloadError> {
    let address = match url.trim().strip_prefix("rsync") {
        Some(name) if name.starts_with(char::is_whitespace) => below(url, name.trim(), staging)?,
        _ => url.trim().to_owned(),
    };
    Ok(match rsync::is_address(&address) {
        true => Place::Rsync(address),
        false => Place::Source(address),
    })
}

fn below(url: &str, name: &str, staging: &str) -> Result<String, DownloadError> {
    if !is_file_name(name) {
        return Err(DownloadError::BadName(url.into()));
    }
    let staging = staging.trim();
    if staging.is_empty() {
        return Err(DownloadError::NoStaging(url.into()));
    }
    let slash = if staging.ends_with('/') { "" } else { "/" };
    Ok(format!("{staging}{slash}{name}"))
}

/// Whether a text is a file's name and nothing else, in a URL, a path and for a program.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+=@~,".contains(c);
    (1..=200).contains(&name.len()) && !name.starts_with(['.', '-']) && name.chars().all(is_plain)
}

/// Downloads and extracts.
pub(super) async fn download(
    place: &Place,
    guard: Option<Guard>,
    folder: &Path,
    options: &DownloadOptions,
) -> Result<Extracted, DownloadError> {
    let (folder, limits) = (folder.to_owned(), options.limits);
    match place {
        Place::Source(location) => {
            let source = open(location, guard.as_ref()).await?;
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
            rsync::fetch(address, &archive, limits.total, guard.as_ref()).await?;
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
        for (url, staging, expected) in [
            (
                "rsync 1.tar",
                "http://t/staging/",
                source("http://t/staging/1.tar"),
            ),
            ("rsync   a-1", "s3://b/x", source("s3://b/x/a-1")),
            ("rsync a", "file:///x", source("file:///x/a")),
            ("rsync a", "rsync://h/m/", rsync("rsync://h/m/a")),
            ("rsync a", "u@1.2.3.4::m", rsync("u@1.2.3.4::m/a")),
            ("rsync://h/m/a", "", rsync("rsync://h/m/a")),
            (" http://h/a.tar ", "", source("http://h/a.tar")),
            ("rsyncing", "http://t/", source("rsyncing")),
        ] {
            assert_eq!(place(url, staging).unwrap(), expected, "{url}");
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
            let error = place(bad, "http://t/").unwrap_err();
            assert!(error.is_of_the_url(), "{bad}: {error}");
        }
        assert!(!place("rsync a", "").unwrap_err().is_of_the_url());
    }
}
