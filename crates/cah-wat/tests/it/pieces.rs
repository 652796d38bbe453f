//! Halves of files.

use cah_wat::{Error, NotWat, Options, PageReader, Piece, Reader};
use proptest::prelude::*;
use rstest::rstest;

use crate::wat::{
    Bodies, Layout, gzip, lay_out, layout, numbered_alts, read_piece, record, records, wat,
};

fn bodies(file: &[u8], piece: Piece, steps: &[usize]) -> Bodies {
    let (bodies, report) = read_piece(file, piece, steps);
    let report = report.unwrap();
    assert!(report.is_whole(), "{piece:?}: {report:?}");
    bodies
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_two_pieces_give_each_record_once(
        count in 1_usize..14,
        layout in layout(),
        steps in prop::collection::vec(prop_oneof![1_usize..4, 1_usize..3000], 1..10),
    ) {
        let file = lay_out(&records(count), &layout);
        let whole = bodies(&file, Piece::Whole, &[usize::MAX]);
        let first = bodies(&file, Piece::First, &steps);
        let second = bodies(&file, Piece::Second, &steps);
        for (offset, _) in &first {
            prop_assert!(2 * offset < file.len() as u64);
        }
        for (offset, _) in &second {
            prop_assert!(2 * offset >= file.len() as u64);
        }
        prop_assert_eq!([first, second].concat(), whole);
    }

    /// Wherever the middle falls: on a start, just before it, just behind it.
    #[test]
    fn the_middle_may_fall_anywhere(before in 1_usize..5, after in 1_usize..5, padding in 0_usize..2000) {
        for compressed in [false, true] {
            let mut file = Vec::new();
            for (index, record) in records(before + after).into_iter().enumerate() {
                let record = if compressed { gzip(&record) } else { record };
                if index == 2 * before {
                    let fill = vec![if compressed { 0 } else { b'\n' }; padding];
                    file.extend(fill);
                }
                file.extend(record);
            }
            let whole = bodies(&file, Piece::Whole, &[usize::MAX]);
            let first = bodies(&file, Piece::First, &[100]);
            let second = bodies(&file, Piece::Second, &[100]);
            prop_assert_eq!([first, second].concat(), whole);
        }
    }
}

#[test]
fn a_piece_needs_little_more_than_its_half() {
    let file = wat(2000);
    let half = file.len() / 2;
    let mut first = Reader::for_piece(file.len() as u64, Piece::First);
    let mut used = 0;
    for chunk in file.chunks(1000) {
        if first.is_done() {
            break;
        }
        first.decode(chunk, |_| {}).unwrap();
        used += chunk.len();
    }
    assert!(used < half + 10_000, "{used} of {}", file.len());
    let second = Reader::for_piece(file.len() as u64, Piece::Second);
    assert!(second.start_offset() as usize >= half - 1);
}

#[test]
fn a_single_member_is_all_in_the_first_piece() {
    let file = lay_out(&records(3000), &Layout::OneMember);
    assert_eq!(bodies(&file, Piece::First, &[5000]).len(), 6001);
    assert_eq!(bodies(&file, Piece::Second, &[5000]).len(), 0);
}

/// However much of the last record lies behind the middle.
#[rstest]
#[case::plain(Layout::Plain)]
#[case::members(Layout::Members(1))]
#[case::blocks(Layout::Blocks(1000))]
fn a_record_over_the_middle_leaves_an_empty_second_piece(#[case] layout: Layout) {
    let words = (0..3000_u64)
        .map(|n| format!(r#""{:x}","#, n * n * 7919))
        .collect::<String>();
    let long = record("metadata", &format!("{{\"x\":[{words}0]}}"));
    let mut all = records(1);
    all.push(long);
    let file = lay_out(&all, &layout);
    assert_eq!(bodies(&file, Piece::First, &[500]).len(), 4);
    assert_eq!(bodies(&file, Piece::Second, &[500]).len(), 0);
}

/// Fifty times these records, a member each.
fn gzips(all: &[(&str, &str)]) -> Vec<u8> {
    let members = all
        .iter()
        .flat_map(|(kind, body)| gzip(&record(kind, body)));
    members.collect::<Vec<_>>().repeat(50)
}

/// Whatever a server gives instead of a file, its second half is no empty half of a WAT file.
#[rstest]
#[case::page(b"<!DOCTYPE html><p>Not found</p>".repeat(100), NotWat::Unknown)]
#[case::json(br#"{"error":{"code":404,"message":"no such key, none at all"}}"#.to_vec(), NotWat::Unknown)]
#[case::image([b"\x89PNG\r\n\x1a\n\x00\x01\x02".repeat(99), b"IEND\xae\x42\x60\x82".to_vec()].concat(), NotWat::Unknown)]
#[case::a_list_of_paths(gzip(b"crawl-data/1.warc.wat.gz\n").repeat(50), NotWat::OtherGzip)]
#[case::wet(gzips(&[("conversion", "Some text of a page.")]), NotWat::OtherWarc)]
#[case::warc(gzips(&[("response", "HTTP/1.1 200 OK\r\n\r\n"), ("metadata", "fetchTimeMs: 12")]), NotWat::OtherWarc)]
fn the_second_half_of_something_else_is_refused(#[case] file: Vec<u8>, #[case] what: NotWat) {
    for steps in [&[1][..], &[usize::MAX]] {
        let (_, report) = read_piece(&file, Piece::Second, steps);
        match report {
            Err(Error::NotWat(found)) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_second_half_of_which_nothing_came_is_refused() {
    let nothing = Reader::for_piece(1000, Piece::Second).finish(|_| {});
    assert!(matches!(nothing, Err(Error::Empty)));
}

/// What is damaged right behind the middle is in neither piece's members that can be read.
#[rstest]
#[case::gzip(true)]
#[case::plain(false)]
fn damage_right_behind_the_middle_is_counted_once(#[case] compressed: bool) {
    let records = records(20).into_iter();
    let mut parts: Vec<Vec<u8>> = match compressed {
        true => records.map(|record| gzip(&record)).collect(),
        false => records.collect(),
    };
    let length: usize = parts.iter().map(Vec::len).sum();
    let mut ends = parts.iter().scan(0, |end, part| {
        *end += part.len();
        Some(*end)
    });
    let first_behind = 1 + ends.position(|end| 2 * end >= length).unwrap();
    // In a member its middle; in a plain record the line by which others would find it.
    let at = if compressed {
        parts[first_behind].len() / 2
    } else {
        2
    };
    parts[first_behind][at] ^= 0x55;
    let file = parts.concat();
    let (whole, report) = read_piece(&file, Piece::Whole, &[usize::MAX]);
    let report = report.unwrap();
    assert_eq!((whole.len(), report.damaged), (40, 1));
    for steps in [&[1][..], &[700], &[usize::MAX]] {
        let (first, first_report) = read_piece(&file, Piece::First, steps);
        let (second, second_report) = read_piece(&file, Piece::Second, steps);
        let (first_report, second_report) = (first_report.unwrap(), second_report.unwrap());
        assert_eq!([first, second].concat(), whole);
        assert_eq!(first_report.damaged + second_report.damaged, 1);
        assert_eq!(
            first_report.lost_bytes + second_report.lost_bytes,
            report.lost_bytes
        );
        assert!(!first_report.truncated && !second_report.truncated);
    }
}

/// A plain file whose second half begins with a record that never ends.
#[test]
fn a_second_half_without_an_end_is_not_kept() {
    let mut half = b"\nWARC/1.0\r\nX: ".to_vec();
    half.resize(1 << 20, b'x');
    // Where the search for a start gives up, one might be beginning.
    half[(1 << 20) - 1] = 0x1f;
    let mut reader = Reader::for_piece(64 << 20, Piece::Second);
    let mut most = 0;
    for _ in 0..30 {
        let _ = reader.decode(&half, |_| {});
        half.fill(b'x');
        most = most.max(reader.buffered());
    }
    assert!(most < 8 << 20, "{most} bytes");
}

#[test]
fn pages_come_by_halves_too() {
    let file = wat(50);
    let mut alts = Vec::new();
    for piece in [Piece::First, Piece::Second] {
        let mut take = |page: cah_wat::Page<'_>| alts.push(page.links[0].alt.to_string());
        let mut pages = PageReader::for_piece(Options::default(), file.len() as u64, piece);
        pages
            .decode(&file[pages.start_offset() as usize..], &mut take)
            .unwrap();
        assert_eq!(pages.is_done(), piece == Piece::First);
        pages.finish(&mut take).unwrap();
    }
    assert_eq!(alts, numbered_alts(0..50));
}

/// What is damaged before the middle is lost to the first piece only.
#[test]
fn damage_does_not_spread_to_the_other_piece() {
    let mut file = wat(40);
    let at = file.len() / 2 - 300;
    file[at..at + 200].fill(0x55);
    let (whole, _) = read_piece(&file, Piece::Whole, &[usize::MAX]);
    let (first, report) = read_piece(&file, Piece::First, &[50]);
    let (second, second_report) = read_piece(&file, Piece::Second, &[50]);
    assert_eq!([first, second].concat(), whole);
    assert!(report.unwrap().damaged > 0);
    assert!(second_report.unwrap().is_whole());
}
