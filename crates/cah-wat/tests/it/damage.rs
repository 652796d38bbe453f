//! Damaged files: one bad record costs one record, and the report says so.

use cah_wat::Piece;
use proptest::prelude::*;
use rstest::rstest;

use crate::wat::{
    Layout, alts, gunzip, gzip, gzip_at, lay_out, numbered, numbered_alts, read, read_piece,
    record, records, response, wat,
};

/// The alts of all pages but one.
fn all_but(count: usize, lost: usize) -> Vec<String> {
    numbered_alts((0..count).filter(|number| *number != lost))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_damaged_member_costs_itself(
        lost in 0_usize..10,
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
        steps in prop::collection::vec(1_usize..2000, 1..5),
    ) {
        let mut members: Vec<Vec<u8>> = records(10).iter().map(|record| gzip(record)).collect();
        let target = 2 + 2 * lost;
        let at = at.index(members[target].len());
        members[target][at] ^= 1 << bit;
        let file = members.concat();

        let (bodies, report) = read_piece(&file, Piece::Whole, &steps);
        let report = report.unwrap();
        // Some bits are not checked by anything: the time in the header, the padding at the end.
        let is_damaged = gunzip(&members[target]).as_ref() != Some(&records(10)[target]);
        prop_assert_eq!(report.records, if is_damaged { 20 } else { 21 });
        prop_assert_eq!(bodies.len() as u64, report.records);
        prop_assert_eq!(report.is_whole(), !is_damaged);
        prop_assert!(report.damaged <= 1 && !report.truncated);
        if is_damaged {
            prop_assert_eq!(report.lost_bytes, members[target].len() as u64);
            prop_assert_eq!(alts(&file).0, all_but(10, lost));
        }
    }

    #[test]
    fn bytes_that_are_missing_cost_one_member_or_two(
        from in any::<prop::sample::Index>(),
        length in 1_usize..100,
        steps in prop::collection::vec(1_usize..2000, 1..5),
    ) {
        let mut file = wat(20);
        let from = from.index(file.len() - length);
        file.drain(from..from + length);
        let (bodies, report) = read_piece(&file, Piece::Whole, &steps);
        prop_assert!(bodies.len() >= 39, "{} left, {report:?}", bodies.len());
        prop_assert!(!report.unwrap().is_whole());
    }

    #[test]
    fn a_cut_file_gives_what_is_before_the_cut(
        cut in any::<prop::sample::Index>(),
        steps in prop::collection::vec(1_usize..2000, 1..5),
    ) {
        let members: Vec<Vec<u8>> = records(8).iter().map(|record| gzip(record)).collect();
        let file = members.concat();
        let cut = 1 + cut.index(file.len() - 1);
        let mut whole_ones = 0;
        let mut end = 0;
        for member in &members {
            end += member.len();
            whole_ones += usize::from(end <= cut);
        }
        let (bodies, report) = read_piece(&file[..cut], Piece::Whole, &steps);
        let report = report.unwrap();
        // A record whose checksum alone is missing is there as well.
        prop_assert!((whole_ones..=whole_ones + 1).contains(&bodies.len()));
        let at_the_end_of_one = members.iter().scan(0, |end, m| { *end += m.len(); Some(*end) }).any(|end| end == cut);
        prop_assert_eq!(report.truncated, !at_the_end_of_one);
    }
}

#[rstest]
#[case::plain(Layout::Plain)]
#[case::one_member(Layout::OneMember)]
#[case::members(Layout::Members(4))]
fn a_cut_is_reported_in_every_layout(#[case] layout: Layout) {
    let file = lay_out(&records(400), &layout);
    let (bodies, report) = read(&file[..file.len() * 2 / 3]);
    assert!(report.truncated, "{report:?}");
    assert!(bodies.len() > 400, "{} of 801", bodies.len());
}

/// The end of one member and the start of the next are missing: what is left of the two inflates
/// without an error up to the end of the file, and the last member must not be lost with them.
#[test]
fn a_member_that_goes_on_over_others_costs_no_more() {
    let mut file = wat(20);
    file.drain(13761..13761 + 82);
    let (bodies, report) = read(&file);
    assert_eq!(bodies.last(), read(&wat(20)).0.last());
    assert_eq!((bodies.len(), report.truncated), (39, false));
}

#[test]
fn garbage_between_members_costs_nothing_else() {
    let mut file = Vec::new();
    for record in records(6) {
        file.extend(gzip(&record));
        file.extend(b"garbage \x1f\x8b\x08 and more \x1f\x8b\x08\x00\x01\x02\x03");
    }
    let (alts, report) = alts(&file);
    assert_eq!(alts, numbered_alts(0..6));
    assert!(report.damaged > 0 && report.lost_bytes > 0);
}

#[test]
fn a_damaged_start_costs_the_first_record() {
    let mut file = wat(5);
    file[0] = b'?';
    let (bodies, report) = read(&file);
    assert_eq!((bodies.len(), report.damaged), (10, 1));
    let mut file = lay_out(&records(5), &Layout::Plain);
    file[0] = b'?';
    let (bodies, report) = read(&file);
    assert_eq!((bodies.len(), report.damaged), (10, 1));
}

#[rstest]
#[case::too_long("Content-Length: 999999")]
#[case::too_short("Content-Length: 3")]
#[case::beyond_belief("Content-Length: 18446744073709551615")]
#[case::negative("Content-Length: -5")]
#[case::none("X-Length: 5")]
fn a_wrong_length_costs_one_record(#[case] field: &str) {
    for layout in [
        Layout::Plain,
        Layout::OneMember,
        Layout::Members(1),
        Layout::Blocks(333),
    ] {
        let mut all = records(8);
        let bad = String::from_utf8(all[6].clone()).unwrap();
        let start = bad.find("Content-Length").unwrap();
        let end = start + bad[start..].find('\r').unwrap();
        all[6] = [&bad[..start], field, &bad[end..]].concat().into_bytes();
        let (alts, report) = alts(&lay_out(&all, &layout));
        assert_eq!(alts, all_but(8, 2), "{layout:?}");
        assert_eq!(report.damaged, 1, "{layout:?}");
        assert!(!report.truncated);
    }
}

/// Damage can make a member go on and on; in the last one that must not look like a file that was
/// cut, which no second try would mend.
#[test]
fn damage_in_the_last_member_is_no_cut() {
    let mut members: Vec<Vec<u8>> = records(3).iter().map(|record| gzip(record)).collect();
    let last = members.pop().unwrap();
    let before = members.concat();
    let mut damaged = 0;
    for bit in 0..8 * last.len() {
        let mut member = last.clone();
        member[bit / 8] ^= 1 << (bit % 8);
        let (_, report) = read(&[&before[..], &member].concat());
        assert!(!report.truncated, "bit {bit}: {report:?}");
        damaged += u64::from(!report.is_whole());
    }
    assert!(damaged > 7 * last.len() as u64, "{damaged}");
    for cut in 1..last.len() {
        let (_, report) = read(&[&before[..], &last[..cut]].concat());
        assert!(report.truncated, "{cut} of {}: {report:?}", last.len());
    }
}

#[test]
fn damaged_json_costs_one_record() {
    let mut all = records(4);
    for damaged in [
        r#"{"Envelope":{"#,
        "{\"\u{1}\"}",
        r#"{"Envelope":"\ud800"} x"#,
        "",
        r#"?"Envelope":{}}"#,
        "fetchTimeMs: 12",
    ] {
        all.push(record("metadata", damaged));
    }
    all.push(numbered(4));
    let (alts, report) = alts(&lay_out(&all, &Layout::Members(1)));
    assert_eq!(alts, numbered_alts(0..5));
    assert_eq!(report.damaged, 6);
}

/// cc2dataset gives up the whole file for each of these.
#[test]
fn what_cc2dataset_dies_of_costs_one_link() {
    let good = r#"{"path":"IMG@/src","url":"/a.jpg","alt":"good"}"#;
    let head = r#""Base":null"#;
    let all = [
        response(
            "https://example.com/",
            "",
            &[r#"{"path":"IMG@/src","alt":"no url"}"#, good],
        ),
        response(
            "https://example.com/",
            "",
            &[r#"{"path":"IMG@/src","url":"/b.jpg","alt":null}"#, good],
        ),
        response(
            "https://example.com/",
            "",
            &[
                r#"{"path":"IMG@/src","url":7,"alt":"x"}"#,
                good,
                "null",
                "[]",
            ],
        ),
        response("https://example.com/", head, &[good]),
        record("metadata", r#"{"Envelope":{"WARC-Header-Metadata":{}}}"#),
        record("metadata", r#"{"Container":{}}"#),
        response("https://example.com/", "", &[good]),
    ];
    let (alts, report) = alts(&lay_out(&all, &Layout::Members(1)));
    assert_eq!(alts, ["good"; 5]);
    assert!(report.is_whole());
}

/// A bomb: a member that inflates a thousandfold costs neither memory nor the records after it.
#[test]
fn a_bomb_is_given_up_in_bounded_memory() {
    let mut file = gzip(&numbered(1));
    file.extend(gzip_at(&vec![0; 200 << 20], 9));
    file.extend(gzip(&numbered(2)));
    let mut reader = cah_wat::Reader::new();
    let (mut count, mut most) = (0, 0);
    for chunk in file.chunks(10_000) {
        reader.decode(chunk, |_| count += 1).unwrap();
        most = most.max(reader.buffered());
    }
    let report = reader.finish(|_| count += 1).unwrap();
    assert_eq!(count, 2);
    assert!(!report.is_whole());
    assert!(most < 16 << 20, "{most} bytes");
}

/// After a bomb was given up, a record that takes long to come is no part of it.
#[test]
fn a_long_record_after_a_bomb_is_read() {
    let mut file = gzip(&numbered(1));
    file.extend(gzip_at(&vec![0; 100 << 20], 9));
    let link = r#"{"path":"A@/href","url":"/abcdefgh"}"#;
    let image = r#"{"path":"IMG@/src","url":"x.jpg","alt":"after the bomb"}"#;
    let long = response(
        "https://example.com/",
        "",
        &[&vec![link; 150_000].join(","), image],
    );
    assert!(long.len() > 5 << 20);
    file.extend(gzip(&long));
    file.extend(gzip(&numbered(2)));
    let (alts, report) = alts(&file);
    assert_eq!(alts, ["image 1", "after the bomb", "image 2"]);
    assert!(!report.is_whole());
}

/// A record that goes over a crowd of members is given up before their number costs anything.
#[rstest]
#[case::empty(b"", 600_000)]
#[case::a_byte_each(b"x", 400_000)]
fn a_crowd_of_members_takes_no_memory(#[case] content: &[u8], #[case] count: usize) {
    let head = "WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 30000000\r\n\r\n{\r\n";
    let mut file = gzip(&numbered(1));
    file.extend(gzip(head.as_bytes()));
    file.extend(gzip(content).repeat(count));
    file.extend(gzip(&numbered(2)));
    let mut reader = cah_wat::Reader::new();
    let (mut count, mut most) = (0, 0);
    for chunk in file.chunks(100_000) {
        reader.decode(chunk, |_| count += 1).unwrap();
        most = most.max(reader.buffered());
    }
    let report = reader.finish(|_| count += 1).unwrap();
    assert!(most < 8 << 20, "{most} bytes");
    assert_eq!((count, report.damaged), (2, 1));
}

/// Damage in a member too long to be held back loses what comes after it in the member.
#[test]
fn damage_in_a_giant_member_keeps_what_came_before() {
    let mut file = gzip_at(&records(30_000).concat(), 1);
    let at = file.len() - 1000;
    file[at..at + 100].fill(0xff);
    file.extend(wat(3));
    let (bodies, report) = read(&file);
    assert!(bodies.len() > 30_000, "{}", bodies.len());
    assert_eq!(bodies[bodies.len() - 1], read(&wat(3)).0[6]);
    assert!(report.damaged >= 1);
}
