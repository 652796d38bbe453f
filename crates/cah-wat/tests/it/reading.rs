//! Whole and well-formed files, however they are laid out and split.

use cah_wat::{Error, NotWat, Options, PageReader, Piece, Reader};
use proptest::prelude::*;
use rstest::rstest;

use crate::wat::{
    Layout, alts, gzip, gzip_at, lay_out, layout, numbered_alts, read, read_piece, record, records,
};

const WHIRLWIND: &[u8] = include_bytes!("../data/whirlwind.warc.wat.gz");

#[test]
fn reads_a_file_of_common_crawl() {
    let mut seen = Vec::new();
    let mut reader = Reader::new();
    let mut take = |record: cah_wat::Record<'_>| {
        let uri = record.header("warc-target-uri").map(str::to_owned);
        seen.push((
            record.offset(),
            record.is_metadata(),
            record.body().len(),
            uri,
        ));
    };
    reader.decode(WHIRLWIND, &mut take).unwrap();
    let report = reader.finish(&mut take).unwrap();
    assert!(report.is_whole());
    assert_eq!(report.records, 2);
    let page = "https://an.wikipedia.org/wiki/Escopete".to_owned();
    assert_eq!((seen[0].1, seen[0].2), (false, 278));
    assert_eq!(
        (seen[1].1, seen[1].2, &seen[1].3),
        (true, 1386, &Some(page))
    );
    // The metadata of a request: it has no links.
    assert_eq!(alts(WHIRLWIND).0, [""; 0]);
}

#[rstest]
#[case::plain(Layout::Plain)]
#[case::one_member(Layout::OneMember)]
#[case::member_a_record(Layout::Members(1))]
#[case::member_for_three(Layout::Members(3))]
#[case::blocks(Layout::Blocks(700))]
fn every_layout_is_read(#[case] layout: Layout) {
    let (alts, report) = alts(&lay_out(&records(20), &layout));
    assert_eq!(alts, numbered_alts(0..20));
    assert!(report.is_whole());
    assert_eq!(report.records, 41);
}

#[test]
fn every_level_of_compression_is_read() {
    for level in 0..=9 {
        let file: Vec<u8> = records(5).iter().flat_map(|r| gzip_at(r, level)).collect();
        assert_eq!(alts(&file).0, numbered_alts(0..5), "level {level}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_gives_the_same_records(
        count in 1_usize..12,
        layout in layout(),
        steps in prop::collection::vec(prop_oneof![1_usize..5, 1_usize..3000], 1..20),
    ) {
        let file = lay_out(&records(count), &layout);
        let (whole, report) = read_piece(&file, Piece::Whole, &[usize::MAX]);
        prop_assert_eq!(whole.len(), 2 * count + 1);
        let (split, split_report) = read_piece(&file, Piece::Whole, &steps);
        prop_assert_eq!(split, whole);
        prop_assert_eq!(split_report.unwrap(), report.unwrap());
    }
}

/// A member far beyond what goes through in one call, and memory that does not grow with it.
#[test]
fn a_giant_member_is_streamed_in_bounded_memory() {
    let all = records(60_000).concat();
    assert!(all.len() > 40 << 20);
    let file = gzip_at(&all, 1);
    let mut reader = Reader::new();
    let (mut count, mut most) = (0, 0);
    for chunk in file.chunks(100_000) {
        reader.decode(chunk, |_| count += 1).unwrap();
        most = most.max(reader.buffered());
    }
    let report = reader.finish(|_| count += 1).unwrap();
    assert_eq!((count, report.records), (120_001, 120_001));
    assert!(report.is_whole());
    assert!(most < 16 << 20, "{most} bytes");
}

#[test]
fn many_small_members_are_read_in_bounded_memory() {
    let page: Vec<u8> = records(200)
        .iter()
        .flat_map(|record| gzip(record))
        .collect();
    let mut pages = PageReader::new(Options::default());
    let mut reader = Reader::new();
    let mut most = 0;
    for _ in 0..100 {
        pages.decode(&page, |_| {}).unwrap();
        reader.decode(&page, |_| {}).unwrap();
        most = most.max(reader.buffered());
    }
    assert!(most < 8 << 20, "{most} bytes");
}

#[test]
fn a_record_longer_than_the_buffers_is_read() {
    let link = r#"{"path":"A@/href","url":"/abcdefgh"},"#.repeat(300_000);
    let image = r#"{"path":"IMG@/src","url":"x.jpg","alt":"at the end"}"#;
    let long = crate::wat::response(
        "https://example.com/",
        "",
        &[link.trim_end_matches(','), image],
    );
    assert!(long.len() > 10 << 20);
    for layout in [Layout::Plain, Layout::Members(1)] {
        let file = lay_out(&[long.clone(), crate::wat::numbered(1)], &layout);
        let (alts, report) = alts(&file);
        assert_eq!(alts, ["at the end", "image 1"]);
        assert!(report.is_whole());
    }
}

#[rstest]
#[case::page(b"<!DOCTYPE html><title>404</title>", "it is an HTML or XML page")]
#[case::error_of_s3(b"\n<?xml version=\"1.0\"?><Error/>", "it is an HTML or XML page")]
#[case::text(b"crawl-data/CC-MAIN-2024-22/wat.paths", "neither gzip nor WARC")]
#[case::zeros(&[0; 5000], "neither gzip nor WARC")]
fn other_files_are_refused(#[case] bytes: &[u8], #[case] reason: &str) {
    for steps in [&[1][..], &[usize::MAX]] {
        let error = read_piece(bytes, Piece::Whole, steps).1.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn files_that_are_nearly_it_are_refused() {
    let paths = gzip(
        b"crawl-data/CC-MAIN-2024-22/wat/1.warc.wat.gz\n"
            .repeat(9)
            .as_slice(),
    );
    let error = read_piece(&paths, Piece::Whole, &[9]).1.unwrap_err();
    assert!(matches!(error, Error::NotWat(NotWat::OtherGzip)));

    let warc = [
        record("warcinfo", "x"),
        record("response", "HTTP/1.1 200 OK\r\n\r\n"),
    ]
    .concat();
    for file in [gzip(&warc), warc] {
        let error = read_piece(&file, Piece::Whole, &[9]).1.unwrap_err();
        assert!(matches!(error, Error::NotWat(NotWat::OtherWarc)));
    }

    let error = read_piece(b"", Piece::Whole, &[1]).1.unwrap_err();
    assert!(matches!(error, Error::Empty));
}

/// A download of some GB that is no WAT is not read to its end.
#[test]
fn hopeless_input_is_given_up_early() {
    for junk in [vec![b'x'; 1 << 20], gzip_at(&vec![b'x'; 8 << 20], 1)] {
        let mut reader = Reader::new();
        let given_up = (0..4).any(|_| reader.decode(&junk, |_| {}).is_err());
        assert!(given_up);
    }
}

#[test]
fn padding_and_empty_members_are_no_damage() {
    let mut file = Vec::new();
    for record in records(3) {
        file.extend(gzip(&record));
        file.extend(gzip(b""));
        file.extend([0; 600]);
    }
    let (bodies, report) = read(&file);
    assert_eq!(bodies.len(), 7);
    assert!(report.is_whole());
}
