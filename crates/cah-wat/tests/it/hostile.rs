//! Bytes that nobody wrote: no panic, no endless loop, and the same answer for every split.

use cah_wat::{Options, PageReader, Piece, Rules, repair};
use proptest::prelude::*;

use crate::wat::{gzip, lay_out, layout, read_piece, record, records};

/// The whole way, to the judged candidates.
fn run(file: &[u8], piece: Piece) {
    let rules = Rules::default();
    let mut pages = PageReader::for_piece(Options::default(), file.len() as u64, piece);
    let mut take = |page: cah_wat::Page<'_>| {
        for link in &page.links {
            let _ = rules.judge(&page, link);
        }
    };
    let from = (pages.start_offset() as usize).min(file.len());
    if pages.decode(&file[from..], &mut take).is_ok() {
        let _ = pages.finish(&mut take);
    }
}

fn mutate(file: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    for (index, kind, byte) in changes {
        let at = index.index(file.len().max(1));
        match kind % 5 {
            _ if file.is_empty() => {}
            0 => file[at] = *byte,
            1 => file.insert(at, *byte),
            2 => drop(file.drain(at..(at + usize::from(*byte)).min(file.len()))),
            3 => file.truncate(at),
            _ => {
                let piece = file[at..(at + usize::from(*byte)).min(file.len())].to_vec();
                let target = at / 2;
                file.splice(target..target, piece);
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(
        (any::<prop::sample::Index>(), any::<u8>(), any::<u8>()),
        1..8,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_do_no_harm(
        start in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08\x00", b"WARC/1.0\r\n", b"\nWARC/1.0\r\n"]),
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let file = [start, &bytes].concat();
        for piece in [Piece::Whole, Piece::First, Piece::Second] {
            run(&file, piece);
            run(&gzip(&file), piece);
        }
        run(&gzip(&record("metadata", &format!("{{{}", String::from_utf8_lossy(&bytes)))), Piece::Whole);
    }

    #[test]
    fn mutated_files_do_no_harm_and_split_alike(
        count in 1_usize..8,
        layout in layout(),
        changes in changes(),
        steps in prop::collection::vec(prop_oneof![1_usize..4, 1_usize..3000], 1..6),
    ) {
        let mut file = lay_out(&records(count), &layout);
        mutate(&mut file, &changes);
        for piece in [Piece::Whole, Piece::First, Piece::Second] {
            run(&file, piece);
            let (whole, report) = read_piece(&file, piece, &[usize::MAX]);
            let (split, split_report) = read_piece(&file, piece, &steps);
            prop_assert_eq!(split, whole);
            prop_assert_eq!(split_report.ok(), report.ok());
        }
    }

    #[test]
    fn any_text_can_be_repaired(text in "\\PC{0,40}", odd in any::<String>()) {
        for text in [text, odd] {
            let repaired = repair(&text);
            prop_assert_eq!(repaired.trim(), &repaired);
        }
    }

    /// UTF-8 that was read as Latin-1 or Windows-1252, once or twice.
    #[test]
    fn any_mojibake_can_be_repaired(text in "\\PC{0,20}", times in 1..3) {
        let mut garbled = text;
        for _ in 0..times {
            garbled = garbled.bytes().map(char::from).collect();
        }
        let _ = repair(&garbled);
    }
}
