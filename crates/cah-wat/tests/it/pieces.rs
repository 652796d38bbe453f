//! Halves of files.

use cah_wat::{Options, PageReader, Piece, Reader};
use proptest::prelude::*;

use crate::wat::{Bodies, Layout, gzip, lay_out, layout, numbered_alts, read_piece, records, wat};

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
