//! What is taken.

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use cah_archive::{Limits, extract};
use proptest::prelude::*;
use rstest::rstest;
use tar::{Builder, EntryType, Header};

use crate::support::{entry, file, gzip, header, padded, pax, tar, tree};

fn built(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = tree(folder).into_iter();
    found
        .filter_map(|(name, content)| Some((name, content?)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_come_out_as_they_went_in(
        // Folders begin otherwise than files, so that no name is both.
        contents in prop::collection::btree_map(
            "(d[a-zж]{0,70}/){0,3}f[a-zA-Z0-9. ]{0,110}",
            prop::collection::vec(any::<u8>(), 0..1500),
            0..12,
        ),
        compressed: bool,
        cut in any::<prop::sample::Index>(),
    ) {
        let archive = built(&contents);
        let archive = match compressed {
            // Wherever one member ends and the next begins.
            true => {
                let (first, second) = archive.split_at(cut.index(archive.len()));
                [gzip(first), gzip(second)].concat()
            }
            false => archive,
        };
        let folder = tempfile::tempdir().unwrap();
        let extracted = extract(archive.as_slice(), folder.path(), &Limits::default()).unwrap();
        prop_assert_eq!(extracted.files, contents.len() as u64);
        prop_assert_eq!(extracted.bytes, contents.values().map(|c| c.len() as u64).sum::<u64>());
        prop_assert_eq!(files(folder.path()), contents);
    }
}

#[test]
fn the_folder_is_created_and_old_files_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("a/images");
    let archive = tar(&[
        entry(b"./", EntryType::Directory, b""),
        entry(b"d/", EntryType::Directory, b""),
        file("d/1", b"one"),
        entry(b"d", EntryType::Directory, b""),
        file("./2", b"two"),
    ]);
    extract(archive.as_slice(), &images, &Limits::default()).unwrap();
    fs::write(images.join("d/1"), "older").unwrap();
    fs::write(images.join("d/0"), "of another archive").unwrap();
    extract(archive.as_slice(), &images, &Limits::default()).unwrap();
    let expected = [
        ("2", Some("two")),
        ("d", None),
        ("d/0", Some("of another archive")),
        ("d/1", Some("one")),
    ];
    let expected = expected.map(|(name, content)| (name.into(), content.map(Into::into)));
    assert_eq!(tree(&images), expected);
}

#[test]
fn names_and_sizes_of_extended_headers_count() {
    let long = "ж".repeat(120);
    let attributes = [
        pax("mtime", "1.5"),
        pax("path", &format!("d/{long}")),
        pax("size", "3"),
    ]
    .concat();
    let archive = tar(&[
        entry(b"pax", EntryType::XGlobalHeader, &pax("comment", "x")),
        entry(b"pax", EntryType::XHeader, &attributes),
        header(b"short", EntryType::Regular, 0, |_| {}),
        padded(b"abc"),
        entry(
            b"././@LongLink",
            EntryType::GNULongName,
            format!("e/{long}\0").as_bytes(),
        ),
        file("short", b"def"),
        file("short", b"ghi"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    extract(archive.as_slice(), folder.path(), &Limits::default()).unwrap();
    let expected = [
        (format!("d/{long}"), b"abc".to_vec()),
        (format!("e/{long}"), b"def".to_vec()),
        ("short".to_owned(), b"ghi".to_vec()),
    ];
    assert_eq!(files(folder.path()), expected.into());
}

#[test]
#[cfg(unix)]
fn modes_are_not_taken() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join("usual");
    fs::write(&usual, "").unwrap();
    let archive = tar(&[file("1", b"x")]);
    extract(archive.as_slice(), folder.path(), &Limits::default()).unwrap();
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("1"), mode("usual"));
}

/// A file that lies there as a link is replaced, not written through.
#[test]
#[cfg(unix)]
fn a_link_in_a_files_place_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, "mine").unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    std::os::unix::fs::symlink(&outside, images.join("1")).unwrap();
    let archive = tar(&[file("1", b"one")]);
    extract(archive.as_slice(), &images, &Limits::default()).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"mine");
    assert_eq!(files(&images), [("1".into(), b"one".to_vec())].into());
}

#[rstest]
#[case::nothing_in_it(vec![0; 1024])]
#[case::one_block(vec![0; 512])]
#[case::a_tape(vec![0; 10240])]
#[case::in_gzip(gzip(&[0; 1024]))]
fn an_archive_may_be_empty(#[case] archive: Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let extracted = extract(archive.as_slice(), folder.path(), &Limits::default()).unwrap();
    assert_eq!(extracted.files, 0);
    assert!(tree(folder.path()).is_empty());
}

/// The reader is read to its end, so that a server sees its answer taken.
#[test]
fn nothing_is_left_unread() {
    let folder = tempfile::tempdir().unwrap();
    let archive = [tar(&[file("1", b"x")]), vec![0; 300_000]].concat();
    let mut left = archive.as_slice();
    extract(left.by_ref(), folder.path(), &Limits::default()).unwrap();
    assert!(left.is_empty());
}

#[test]
#[cfg(unix)]
fn what_a_killed_extraction_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join(".cah-staged-abcABC012345.part");
    let others = folder.path().join(".abcABC.part");
    for folder in [&left, &others] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("1.jpg"), "half").unwrap();
    }
    let archive = tar(&[file("1.jpg", b"whole")]);
    extract(archive.as_slice(), folder.path(), &Limits::default()).unwrap();
    let found: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(found, [".abcABC.part/1.jpg", "1.jpg"]);
    assert!(!left.exists());
}
