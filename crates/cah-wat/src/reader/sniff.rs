//! Whether an input is gzip or plain, by its content.

use super::{header, stream};

/// How far to look before giving up.
const MAX_PREAMBLE: usize = 1 << 20;

/// The bytes that it takes: a member that starts within the preamble has to be seen to do so.
pub(crate) const ENOUGH: usize = MAX_PREAMBLE + stream::START_TAIL;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniffed {
    Gzip,
    Plain,
    /// Not clear yet; nothing starts in the first `passed` bytes.
    Unclear {
        passed: usize,
    },
}

/// Tells what an input is that is read from somewhere inside: what starts first in it, a gzip
/// member or a plain record. Members count from `owned` on. `last`: nothing follows `bytes`.
///
/// Incompressible content stands in a member as it is, so that the text of a record proves
/// nothing if a member starts within it: that never happens in a plain one, whose content is
/// UTF-8.
pub(crate) fn sniff(bytes: &[u8], owned: usize, last: bool) -> Sniffed {
    let bytes = &bytes[..bytes.len().min(ENOUGH)];
    let is_enough = bytes.len() == ENOUGH;
    let (member, sure) = match stream::find_member_start(bytes, owned) {
        // Whatever may start at the very end is beyond what is looked at.
        (_, false) if is_enough => (ENOUGH, false),
        found => found,
    };
    let record = header::find_start(bytes).filter(|at| *at < member);
    let record_end = record.map(|at| match header::read(&bytes[at..]) {
        header::Head::Known { end, .. } => at + end,
        header::Head::Short | header::Head::Bad => usize::MAX,
    });
    // Whether the record ends before any member starts; `None` while that is open.
    let is_plain = record_end.and_then(|end| match end <= member {
        true => Some(true),
        false if member < bytes.len() => Some(false),
        false => (last || is_enough).then_some(true),
    });
    match (is_plain, record) {
        (Some(true), _) => Sniffed::Plain,
        _ if sure => Sniffed::Gzip,
        // A few bytes that start like a member are all there is: gzip, cut off.
        _ if last && member < bytes.len() => Sniffed::Gzip,
        (_, Some(at)) => Sniffed::Unclear { passed: at - 1 },
        _ => Sniffed::Unclear {
            passed: bytes.len().saturating_sub(header::START_TAIL),
        },
    }
}

/// As [`sniff`], at the start of a file.
pub(crate) fn sniff_start(bytes: &[u8], last: bool) -> Sniffed {
    if bytes.starts_with(b"WARC/") {
        Sniffed::Plain
    } else {
        sniff(bytes, 0, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] = b"\nWARC/1.0\r\nContent-Length: 4\r\n\r\ntext\r\n\r\n";
    const MEMBER: &[u8] = b"\x1f\x8b\x08\x00";

    #[test]
    fn the_first_to_start_tells() {
        assert_eq!(
            sniff(&[b"xx", MEMBER, RECORD].concat(), 0, false),
            Sniffed::Gzip
        );
        assert_eq!(
            sniff(&[b"xx", RECORD, MEMBER].concat(), 0, false),
            Sniffed::Plain
        );
        assert_eq!(sniff(b"xx", 0, true), Sniffed::Unclear { passed: 0 });
        assert_eq!(sniff_start(b"WARC/1.0", false), Sniffed::Plain);
        // In the middle this is but a text.
        assert_eq!(sniff(b"WARC/1.0", 0, false), Sniffed::Unclear { passed: 1 });
    }

    #[test]
    fn a_record_with_a_member_in_it_is_content_of_another_member() {
        let cut = &RECORD[..RECORD.len() - 6];
        assert_eq!(sniff(cut, 0, false), Sniffed::Unclear { passed: 0 });
        assert_eq!(sniff(cut, 0, true), Sniffed::Plain);
        assert_eq!(sniff(&[cut, MEMBER].concat(), 0, false), Sniffed::Gzip);
        assert_eq!(
            sniff(&[&RECORD[..15], MEMBER].concat(), 0, false),
            Sniffed::Gzip
        );
    }

    /// Whatever stands at the edge of what is looked at, it is not looked at for ever.
    #[test]
    fn an_endless_record_is_plain_in_the_end() {
        for edge in 0..8 {
            let mut bytes = b"\nWARC/1.0\r\n".to_vec();
            bytes.resize(ENOUGH - edge, b'x');
            bytes.extend(MEMBER[..1].repeat(20));
            bytes.resize(ENOUGH + 100, b'x');
            assert_eq!(sniff(&bytes, 0, false), Sniffed::Plain, "{edge}");
        }
    }

    #[test]
    fn a_member_that_is_not_owned_does_not_count() {
        assert_eq!(sniff(MEMBER, 1, false), Sniffed::Unclear { passed: 0 });
    }
}
