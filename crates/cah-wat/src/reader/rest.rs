//! Halves of files in which nothing starts.
//!
//! The last record of a file, or its only gzip member, may go over the middle; then the second
//! half holds the rest of it and is complete with nothing in it. Anything else of which nothing
//! can be read is no half of a WAT file, however much the other half might be one.

use super::{header, stream};

/// How many bytes from the start and the end of the half are looked at.
pub(crate) const HEAD: usize = 64;
pub(crate) const TAIL: usize = 8;

/// Whether a half of this length with these bytes at its start and end may be the rest of a plain
/// record or of a gzip member.
pub(crate) fn may_be_rest(head: &[u8], tail: &[u8], length: u64) -> bool {
    if is_text(head) {
        return header::is_end(tail);
    }
    // The member is longer than what is here of it, and no longer than the file.
    let longest = length.saturating_mul(2);
    stream::content_length(tail).is_some_and(|content| stream::may_hold(longest, content))
}

/// Whether bytes are UTF-8 that somebody may have written, cut off at both ends.
fn is_text(bytes: &[u8]) -> bool {
    let is_inner = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let cut = bytes.iter().take(3).take_while(is_inner).count();
    let bytes = &bytes[cut..];
    let valid = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_some() => return false,
        Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    !valid.contains(|c: char| c.is_control() && !c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_plain_record(b"\"alt\":\"sch\xc3\xb6n\"}]}}}\r\n\r\n", true)]
    #[case::cut_within_characters(b"\xb6n\"}]}}}\r\n\r\n", true)]
    #[case::a_page(b"<p>Not found</p></body></html>\n", false)]
    #[case::an_answer_in_json(b"\"error\":\"no such key\"}\n", false)]
    #[case::a_member(
        b"\x00\x9c\xff\x13\xb2\xc5\x72\x91\x42\x1e\x77\x1a\x20\x00\x00\x00",
        true
    )]
    #[case::the_end_of_a_png(b"\x00\x9c\xff\x13\xb2IEND\xae\x42\x60\x82", false)]
    #[case::the_end_of_a_jpeg(b"\x00\x9c\xff\x13\xb2\xc5\x72\x91\x42\x1e\x77\x1a\xff\xd9", false)]
    #[case::nothing(b"", false)]
    fn the_end_tells(#[case] half: &[u8], #[case] is_rest: bool) {
        let tail = &half[half.len().saturating_sub(TAIL)..];
        assert_eq!(may_be_rest(half, tail, half.len() as u64), is_rest);
    }
}
