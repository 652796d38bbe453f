//! What is refused, and leaves nothing behind.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use cah_archive::{ArchiveError, Limits, Refusal, extract};
use proptest::prelude::*;
use rstest::rstest;
use tar::EntryType;

use crate::support::{entry, file, gzip, header, padded, pax, tar, tree};

const LIMITS: Limits = Limits {
    total: 1 << 20,
    entry: 100 << 10,
    entries: 50,
};

/// Extracts into a folder with a file in it; whatever is refused has to leave just that.
fn refused(archive: &[u8]) -> ArchiveError {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("old"), "old").unwrap();
    let error = extract(archive, &images, &LIMITS).unwrap_err();
    let expected = [
        ("images".to_owned(), None),
        ("images/old".to_owned(), Some(b"old".to_vec())),
    ];
    assert_eq!(tree(folder.path()), expected, "{error}");
    // A folder that was made for it goes as well.
    let new = folder.path().join("new");
    extract(archive, &new, &LIMITS).unwrap_err();
    assert!(!new.exists(), "{error}");
    error
}

/// Refused behind an entry that is sound.
fn why(entries: &[Vec<u8>]) -> (String, Refusal) {
    let archive = [vec![file("sound/1", b"x")], entries.to_vec()].concat();
    let error = refused(&tar(&archive));
    assert!(error.is_of_the_archive(), "{error}");
    match error {
        ArchiveError::Refused { entry, why } => (entry, why),
        other => panic!("{other}"),
    }
}

#[rstest]
#[case("/etc/passwd", Refusal::Absolute)]
#[case("../outside", Refusal::Outside)]
#[case("sound/../../outside", Refusal::Outside)]
#[case("sound/1", Refusal::Twice)]
#[case("./sound//1", Refusal::Twice)]
#[case("sound", Refusal::Twice)]
#[case("sound/1/2", Refusal::Twice)]
#[case("", Refusal::BadName)]
#[case(".", Refusal::BadName)]
#[case("a\tb", Refusal::BadName)]
fn names_that_lead_elsewhere(#[case] name: &str, #[case] expected: Refusal) {
    let (entry, why) = why(&[file(name, b"bad")]);
    assert_eq!(why, expected, "{name}");
    assert!(!entry.contains('\t'), "{entry}");
}

#[test]
fn names_that_are_no_text() {
    let (entry, why) = why(&[entry_of(b"a\xff\x01", EntryType::Regular)]);
    assert_eq!((entry.as_str(), why), ("a\u{fffd}\\u{1}", Refusal::BadName));
}

fn entry_of(name: &[u8], kind: EntryType) -> Vec<u8> {
    entry(name, kind, b"")
}

#[rstest]
#[case(EntryType::Symlink, Refusal::Link)]
#[case(EntryType::Link, Refusal::Link)]
#[case(EntryType::Char, Refusal::Special)]
#[case(EntryType::Block, Refusal::Special)]
#[case(EntryType::Fifo, Refusal::Special)]
#[case(EntryType::GNUSparse, Refusal::Sparse)]
#[case(EntryType::GNULongLink, Refusal::Link)]
#[case(EntryType::new(b'V'), Refusal::Special)]
#[case(EntryType::new(b'X'), Refusal::Special)]
fn what_is_no_file(#[case] kind: EntryType, #[case] expected: Refusal) {
    let link = header(b"bad", kind, 0, |header| {
        header.set_link_name_literal("/etc/passwd").unwrap();
    });
    assert_eq!(why(&[link]), ("bad".into(), expected));
}

/// The way out that unpacks a link first and goes through it then.
#[test]
fn a_link_within_the_archive_is_gone_before_it_is_followed() {
    let link = header(b"d", EntryType::Symlink, 0, |header| {
        header.set_link_name_literal("/tmp").unwrap();
    });
    assert_eq!(why(&[link, file("d/x", b"x")]).1, Refusal::Link);
}

#[test]
#[cfg(unix)]
fn a_link_within_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (images, outside) = (folder.path().join("images"), folder.path().join("outside"));
    fs::create_dir(&images).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, images.join("d")).unwrap();
    for inner in ["d/x", "d/e/x", "d/"] {
        let kind = match inner {
            "d/" => EntryType::Directory,
            _ => EntryType::Regular,
        };
        let archive = tar(&[file("a", b"x"), entry_of(inner.as_bytes(), kind)]);
        let error = extract(archive.as_slice(), &images, &LIMITS).unwrap_err();
        let is_in_the_way = |why: &Refusal| *why == Refusal::InTheWay;
        assert!(
            matches!(&error, ArchiveError::Refused { why, .. } if is_in_the_way(why)),
            "{error}"
        );
        assert!(!error.is_of_the_archive());
    }
    assert!(tree(&outside).is_empty());
    assert_eq!(tree(&images).len(), 1);
}

#[test]
fn what_lies_there_is_not_replaced_by_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::write(folder.path().join("f"), "f").unwrap();
    for name in ["d", "f/x"] {
        let archive = tar(&[file("a", b"x"), file(name, b"x")]);
        extract(archive.as_slice(), folder.path(), &LIMITS).unwrap_err();
    }
    assert_eq!(tree(folder.path()).len(), 2);
}

#[rstest]
#[case::a_folder_with_content(entry(b"d/", EntryType::Directory, b"x"))]
#[case::a_file_like_a_folder(entry(b"d/", EntryType::Regular, b"x"))]
#[case::no_size(header(b"x", EntryType::Regular, 0, |header| {
    header.as_mut_bytes()[124..136].copy_from_slice(b"not a number");
}))]
#[case::no_pax(entry(b"x", EntryType::XHeader, b"no pairs at all"))]
#[case::no_pax_size(entry(b"x", EntryType::XHeader, &pax("size", "-1")))]
#[case::a_long_extension(entry(b"x", EntryType::XHeader, &pax("x", &"x".repeat(2 << 20))))]
#[case::a_long_name(header(b"x", EntryType::GNULongName, u64::MAX >> 1, |_| {}))]
#[case::one_name_for_all(entry(b"x", EntryType::XGlobalHeader, &pax("path", "../x")))]
fn headers_without_sense(#[case] bad: Vec<u8>) {
    assert_eq!(why(&[bad]).1, Refusal::BadHeader);
}

#[rstest]
#[case("path", "../x", Refusal::Outside)]
#[case("path", "/x", Refusal::Absolute)]
#[case("path", "a\0b", Refusal::BadName)]
#[case("size", "9999999999", Refusal::TooLarge(LIMITS.entry))]
#[case("GNU.sparse.major", "1", Refusal::Sparse)]
fn extended_headers_are_no_way_round(
    #[case] key: &str,
    #[case] value: &str,
    #[case] expected: Refusal,
) {
    let extended = entry(b"x", EntryType::XHeader, &pax(key, value));
    assert_eq!(why(&[extended, file("x", b"x")]).1, expected);
}

#[test]
fn long_names_are_no_way_round() {
    for (name, expected) in [
        ("../x\0".to_owned(), Refusal::Outside),
        ("/x".to_owned(), Refusal::Absolute),
        ("a\0/../b\0".to_owned(), Refusal::BadName),
        ("d/".repeat(600), Refusal::LongName),
    ] {
        let long = entry(b"l", EntryType::GNULongName, name.as_bytes());
        assert_eq!(why(&[long, file("x", b"x")]).1, expected, "{name}");
    }
}

#[test]
fn large_files_are_refused_before_they_are_written() {
    let large = header(b"l", EntryType::Regular, LIMITS.entry + 1, |_| {});
    assert_eq!(why(&[large]), ("l".into(), Refusal::TooLarge(LIMITS.entry)));
    let just = vec![b'x'; LIMITS.entry as usize];
    let folder = tempfile::tempdir().unwrap();
    let archive = tar(&[file("l", &just)]);
    extract(archive.as_slice(), folder.path(), &LIMITS).unwrap();
}

#[test]
fn many_entries_are_refused() {
    let entries: Vec<_> = (0..=LIMITS.entries)
        .map(|i| file(&i.to_string(), b""))
        .collect();
    assert!(matches!(refused(&tar(&entries)), ArchiveError::TooMany(50)));
    let folder = tempfile::tempdir().unwrap();
    extract(tar(&entries[1..]).as_slice(), folder.path(), &LIMITS).unwrap();
}

/// A little gzip that becomes a lot, wherever in the archive.
#[rstest]
#[case::in_files((0..30).map(|i| file(&i.to_string(), &[0; 90 << 10])).collect::<Vec<_>>().concat())]
#[case::behind_the_end(vec![0; 50 << 20])]
#[case::in_headers(entry(b"x", EntryType::XHeader, &pax("x", "x")).repeat(2000))]
fn bombs_are_refused(#[case] content: Vec<u8>) {
    let bomb = gzip(&tar(&[file("a", b"x"), content]));
    assert!(bomb.len() < 100_000);
    assert!(matches!(refused(&bomb), ArchiveError::TooLarge(_)));
}

#[rstest]
#[case::nothing(b"".to_vec())]
#[case::a_page(b"<!DOCTYPE html><p>Not found</p>".to_vec())]
#[case::a_long_page(b"<p>".repeat(10_000))]
#[case::a_page_in_gzip(gzip(&b"<p>".repeat(10_000)))]
#[case::an_image([b"\x89PNG\r\n\x1a\n".to_vec(), vec![7; 5000]].concat())]
fn what_is_no_archive(#[case] bytes: Vec<u8>) {
    assert!(matches!(refused(&bytes), ArchiveError::NotATar));
}

#[test]
fn garbage_behind_the_end_is_refused() {
    let archive = [tar(&[file("a", b"x")]), vec![0; 5000], b"GET /".to_vec()].concat();
    assert!(matches!(refused(&archive), ArchiveError::Damaged(_)));
    let two = [tar(&[file("a", b"x")]), tar(&[file("b", b"x")])].concat();
    assert!(matches!(refused(&two), ArchiveError::Damaged(_)));
}

/// Wherever an archive is cut, it is noticed, unless nothing but zeros is missing.
#[test]
fn a_cut_is_noticed() {
    let entries = [
        file("a", &[1; 700]),
        entry(b"l", EntryType::GNULongName, b"long"),
        file("b", b"x"),
    ];
    let archive = tar(&entries);
    let whole = archive.len() - 512;
    for cut in (0..whole).step_by(61) {
        let error = refused(&archive[..cut]);
        assert!(
            matches!(error, ArchiveError::Damaged(_) | ArchiveError::NotATar),
            "{cut}: {error}"
        );
    }
    let compressed = gzip(&archive);
    for cut in 1..compressed.len() {
        refused(&compressed[..cut]);
    }
}

#[test]
fn a_long_name_without_an_entry_is_a_cut() {
    let archive = tar(&[entry(b"l", EntryType::GNULongName, b"long")]);
    assert!(matches!(refused(&archive), ArchiveError::Damaged(_)));
}

/// Breaks off as a connection does.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_reader_that_fails_is_no_fault_of_the_archive() {
    let archive = tar(&[file("a", &[1; 5000])]);
    for bytes in [archive.clone(), gzip(&archive)] {
        let folder = tempfile::tempdir().unwrap();
        let cut = &bytes[..bytes.len() / 2];
        let error = extract(Broken(cut), folder.path(), &LIMITS).unwrap_err();
        assert!(matches!(error, ArchiveError::Read(_)), "{error}");
        assert!(!error.is_of_the_archive());
        assert!(tree(folder.path()).is_empty());
    }
}

/// Whatever the bytes are, nothing appears outside of the folder, and nothing stays of what is
/// refused.
fn stays_within(bytes: &[u8]) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a/b/c");
    let result = extract(bytes, &folder, &LIMITS);
    let found = tree(outer.path());
    let is_within = |path: &str| {
        let path = Path::new(path);
        path.starts_with("a/b/c") || Path::new("a/b/c").starts_with(path)
    };
    assert!(found.iter().all(|(path, _)| is_within(path)), "{found:?}");
    if result.is_err() {
        assert!(
            found.iter().all(|(_, content)| content.is_none()),
            "{found:?}"
        );
    }
}

fn any_kind() -> impl Strategy<Value = EntryType> {
    prop_oneof![
        6 => Just(EntryType::Regular),
        2 => Just(EntryType::Directory),
        1 => Just(EntryType::XHeader),
        1 => Just(EntryType::GNULongName),
        1 => any::<u8>().prop_map(EntryType::new),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_entries_get_out(
        entries in prop::collection::vec(
            (
                prop_oneof![
                    "[ab./]{1,12}".prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..20),
                ],
                any_kind(),
                prop_oneof![
                    "[ab./\0]{0,30}".prop_map(String::into_bytes),
                    "[ab./]{1,12}".prop_map(|path| pax("path", &path)),
                ],
            ),
            1..8,
        ),
    ) {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, kind, content)| match kind {
                EntryType::Directory => entry(name, *kind, b""),
                _ => [header(name, *kind, content.len() as u64, |_| {}), padded(content)].concat(),
            })
            .collect();
        stays_within(&tar(&entries));
    }

    #[test]
    fn no_damage_gets_out(at in 0_usize..3000, byte: u8, compressed: bool) {
        let archive = tar(&[
            entry(b"x", EntryType::XHeader, &pax("path", "d/long")),
            file("x", b"text"),
            file("d/y", b"text"),
        ]);
        let mut archive = if compressed { gzip(&archive) } else { archive };
        let at = at % archive.len();
        archive[at] = byte;
        stays_within(&archive);
    }
}
