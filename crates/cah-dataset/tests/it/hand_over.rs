//! What a CPU worker hands over, on both sides.

use std::{
    fs::{self, File},
    path::Path,
};

use cah_dataset::{DatasetError, FetchedRow, HandOver, HandOverPacker, HandedOver};
use cah_protocol::{Outcome, OutcomeCounts, Shard};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::support;

const NUMBER: u64 = 8;

fn job() -> Shard {
    Shard::numbered(NUMBER, "http://tracker/staging/8-abc.tar")
}

fn image(index: u64) -> Vec<u8> {
    vec![index as u8; 100 + index as usize]
}

fn row(index: u64) -> FetchedRow {
    FetchedRow {
        sha256: Sha256::digest(image(index)).into(),
        ..support::row(index).fetched
    }
}

fn rows() -> Vec<FetchedRow> {
    let mut rows: Vec<_> = [0, 1, 5, 700].map(row).into();
    rows[1].license = Some("https://creativecommons.org/licenses/by/4.0/".into());
    rows[2].language = None;
    rows[3].mime = String::new();
    rows
}

fn about(images: u64) -> HandOver {
    let mut outcomes = OutcomeCounts::default();
    (0..3).for_each(|_| outcomes.add(Outcome::TimedOut));
    HandOver {
        shard: Shard::numbered(NUMBER, "https://crawl/x.wat.gz"),
        settings: [("max_image_bytes".into(), 7.into())].into(),
        candidates: images + 3,
        outcomes,
        program: "cah 0.1.0".into(),
    }
}

/// Packs a hand-over and extracts it.
fn handed_over(folder: &Path, about: &HandOver, rows: Vec<FetchedRow>) {
    let tar = folder.join("x.tar");
    let mut packer = HandOverPacker::open(&tar, about.shard.number).unwrap();
    for row in &rows {
        packer.push(row, &image(row.index)).unwrap();
    }
    packer.finish(about, rows.into_iter().map(Ok)).unwrap();
    let mut archive = tar::Archive::new(File::open(&tar).unwrap());
    archive.unpack(folder.join("files")).unwrap();
}

fn read(folder: &Path) -> Result<Vec<FetchedRow>, DatasetError> {
    let handed_over = HandedOver::open(&folder.join("files"), &job())?;
    let rows: Result<Vec<_>, _> = handed_over.rows()?.collect();
    for row in rows.as_ref().into_iter().flatten() {
        handed_over.image(row, 1 << 20)?;
    }
    rows
}

/// Why it is refused; any other error is none that a hand-over may cause.
fn refused(folder: &Path) -> String {
    match read(folder) {
        Err(DatasetError::BadHandOver { number, why }) => {
            assert_eq!(number, NUMBER);
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_packed_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    handed_over(folder.path(), &about(4), rows());
    let handed_over = HandedOver::open(&folder.path().join("files"), &job()).unwrap();
    assert_eq!(*handed_over.about(), about(4));
    assert_eq!(read(folder.path()).unwrap(), rows());
    let five = handed_over.image(&row(5), 105).unwrap();
    assert_eq!(five, image(5));
    assert_eq!(handed_over.image_length(&row(5)).unwrap(), 105);
    assert!(handed_over.image(&row(5), 104).is_err());
}

#[test]
fn a_shard_without_images_is_handed_over_too() {
    let folder = tempfile::tempdir().unwrap();
    handed_over(folder.path(), &about(0), Vec::new());
    assert_eq!(read(folder.path()).unwrap(), []);
}

#[test]
fn what_does_not_add_up_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let packer = HandOverPacker::open(&folder.path().join("x.tar"), NUMBER).unwrap();
    let packed = packer.finish(&about(1), std::iter::empty());
    assert!(matches!(packed, Err(DatasetError::NotConserved { .. })));
}

#[test]
fn settings_that_no_manifest_has_room_for_are_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let packer = HandOverPacker::open(&folder.path().join("x.tar"), NUMBER).unwrap();
    let mut about = about(0);
    about
        .settings
        .insert("x".into(), "x".repeat(1 << 14).into());
    let packed = packer.finish(&about, std::iter::empty());
    assert!(matches!(packed, Err(DatasetError::BadShard { .. })));
}

/// The table is what it was written as, the images are not.
#[test]
fn images_that_are_not_theirs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    handed_over(folder.path(), &about(4), rows());
    let image = folder.path().join("files/images/00000000800005.jpg");
    fs::write(&image, "something else").unwrap();
    assert!(refused(folder.path()).contains("00000000800005.jpg is not what"));
    fs::remove_file(&image).unwrap();
    assert!(refused(folder.path()).contains("is missing"));
    fs::create_dir(&image).unwrap();
    assert!(refused(folder.path()).contains("is no file"));
}

/// What the system says of a path through a file is not that there is none.
#[test]
fn a_file_in_the_place_of_the_images_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    handed_over(folder.path(), &about(4), rows());
    let images = folder.path().join("files/images");
    fs::remove_dir_all(&images).unwrap();
    fs::write(&images, "a file").unwrap();
    assert!(refused(folder.path()).contains("is missing"));
    fs::remove_dir_all(folder.path().join("files")).unwrap();
    fs::write(folder.path().join("files"), "a file").unwrap();
    assert!(refused(folder.path()).contains("no candidates.parquet"));
}

/// Has the footer of a table count other rows, and other candidates so that these add up. No writer
/// does that, so it is done to the bytes.
fn recount(table: &Path, rows: u8, instead: u8) {
    let mut bytes = fs::read(table).unwrap();
    let mut replace = |old: &[u8], new: &[u8]| {
        let mut places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old));
        let (at, another) = (places.next_back().unwrap(), places.next());
        assert_eq!(another, None);
        bytes[at..at + new.len()].copy_from_slice(new);
    };
    // In Thrift's compact protocol: the next field, of 64 bits, zigzag; then the list of row groups.
    let field = |rows: u8| [0x16, 2 * rows, 0x19];
    replace(&field(rows), &field(instead));
    let candidates = |rows: u8| format!("\"candidates\":{},", rows + 3).into_bytes();
    replace(&candidates(rows), &candidates(instead));
    fs::write(table, bytes).unwrap();
}

/// The reader of parquet files compares the two nowhere.
#[test]
fn tables_with_other_rows_than_they_say_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    handed_over(folder.path(), &about(4), rows());
    let table = folder.path().join("files/candidates.parquet");
    recount(&table, 4, 6);
    let said = refused(folder.path());
    assert!(said.contains("2 of its rows are missing"), "{said}");
    recount(&table, 6, 3);
    let said = refused(folder.path());
    assert!(said.contains("more rows than it says"), "{said}");
    recount(&table, 3, 4);
    assert_eq!(read(folder.path()).unwrap(), rows());
}

#[test]
fn rows_that_break_a_rule_are_refused() {
    let spoilt = |change: fn(&mut Vec<FetchedRow>)| {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = rows();
        change(&mut rows);
        handed_over(folder.path(), &about(rows.len() as u64), rows);
        refused(folder.path())
    };
    assert!(spoilt(|rows| rows.swap(0, 1)).contains("sample id"));
    assert!(spoilt(|rows| rows[1] = row(0)).contains("sample id"));
    for url in [
        "file:///etc/passwd",
        "https://",
        "https://a b/",
        "javascript:x",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = rows();
        rows[0].url = url.into();
        handed_over(folder.path(), &about(4), rows);
        assert!(refused(folder.path()).contains("no address"), "{url}");
    }
    assert!(spoilt(|rows| rows[0].text = "x".repeat(1 << 17)).contains("too long"));
}

#[test]
fn hand_overs_that_are_of_something_else_are_refused() {
    let spoilt = |change: fn(&mut HandOver)| {
        let folder = tempfile::tempdir().unwrap();
        let mut about = about(4);
        change(&mut about);
        handed_over(folder.path(), &about, rows());
        refused(folder.path())
    };
    assert!(spoilt(|about| about.shard = Shard::numbered(10, "u")).contains("of shard 10"));
    assert!(spoilt(|about| about.shard.start_id += 1).contains("another project"));
    assert!(spoilt(|about| about.shard.url = "x".repeat(1 << 17)).contains("too long"));
}

#[test]
fn what_is_no_hand_over_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    let table = files.join("candidates.parquet");
    assert!(refused(folder.path()).contains("no candidates.parquet"));
    fs::create_dir(&table).unwrap();
    assert!(refused(folder.path()).contains("no table"));
    fs::remove_dir(&table).unwrap();
    for text in ["", "PAR", "PAR1", "PAR1PAR1", "a text that is no table"] {
        fs::write(&table, text).unwrap();
        refused(folder.path());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is changed in a table, it is read as it was or refused, and nothing breaks.
    #[test]
    fn a_damaged_table_breaks_nothing(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        handed_over(folder.path(), &about(4), rows());
        let table = folder.path().join("files/candidates.parquet");
        let mut bytes = fs::read(&table).unwrap();
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&table, bytes).unwrap();
        match read(folder.path()) {
            Ok(_) | Err(DatasetError::BadHandOver { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// A packer that continues believes what is there and cuts off the rest, wherever a crash was.
    #[test]
    fn a_torn_tar_is_continued(cut in any::<prop::sample::Index>(), spoil: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (whole, torn) = (folder.path().join("whole.tar"), folder.path().join("torn.tar"));
        let pack = |path: &Path, from: usize, mut packer: HandOverPacker| {
            for row in &rows()[from..] {
                packer.push(row, &image(row.index)).unwrap();
            }
            packer.finish(&about(4), rows().into_iter().map(Ok)).unwrap();
            fs::read(path).unwrap()
        };
        let expected = pack(&whole, 0, HandOverPacker::open(&whole, NUMBER).unwrap());
        let mut bytes = expected[..cut.index(expected.len())].to_vec();
        if spoil && let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(&torn, &bytes).unwrap();
        let mut packer = HandOverPacker::open(&torn, NUMBER).unwrap();
        let mut held = 0;
        for row in &rows() {
            if !packer.holds(row).unwrap() {
                break;
            }
            held += 1;
        }
        packer.cut().unwrap();
        prop_assert!(held * 1024 <= bytes.len());
        prop_assert_eq!(pack(&torn, held, packer), expected);
    }
}
