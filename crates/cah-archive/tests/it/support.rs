//! Archives made byte by byte, and what lies in a folder.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

/// A header of the old kind, its name whatever it may be, and the content behind it.
pub(crate) fn entry(name: &[u8], kind: EntryType, content: &[u8]) -> Vec<u8> {
    header(name, kind, content.len() as u64, |_| {})
        .into_iter()
        .chain(padded(content))
        .collect()
}

pub(crate) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), EntryType::Regular, content)
}

/// A header that says what it is told to, with the right checksum.
pub(crate) fn header(
    name: &[u8],
    kind: EntryType,
    size: u64,
    change: impl FnOnce(&mut Header),
) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o7777);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

pub(crate) fn padded(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content
}

/// One line of an extended header, its own length included.
pub(crate) fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (rest.len()..).find(|all| all.to_string().len() + rest.len() == *all);
    format!("{}{rest}", length.unwrap()).into_bytes()
}

/// The entries with the end behind them.
pub(crate) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Everything below a folder: paths, and the content of files. Links are not followed.
pub(crate) fn tree(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let kind = entry.file_type().unwrap();
            found.push((name, kind.is_file().then(|| fs::read(&path).unwrap())));
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
