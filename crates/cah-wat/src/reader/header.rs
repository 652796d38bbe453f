//! The head of a WARC record.

/// The longest header that is believed.
const MAX_HEADER: usize = 64 << 10;

/// The longest record that is believed. Common Crawl keeps at most some MiB of a page.
const MAX_BODY: usize = 32 << 20;

/// The empty lines behind a record.
pub(crate) const LINE_ENDS: &[u8] = b"\r\n\r\n";

/// What the bytes at the start of a record say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The header ends at `body`, the body at `end`.
    Known { body: usize, end: usize },
    /// The header does not end yet.
    Short,
    /// This is no record.
    Bad,
}

/// Reads the header of the record at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Head {
    const VERSION: &[u8] = b"WARC/";
    let known = bytes.len().min(VERSION.len());
    if bytes[..known] != VERSION[..known] {
        return Head::Bad;
    }
    match header_end(&bytes[..bytes.len().min(MAX_HEADER)]) {
        Some(body) => match content_length(&bytes[..body]) {
            Some(length) => Head::Known {
                body,
                end: body + length,
            },
            None => Head::Bad,
        },
        None if bytes.len() < MAX_HEADER => Head::Short,
        None => Head::Bad,
    }
}

/// Where the empty line that closes the header ends.
fn header_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn content_length(header: &[u8]) -> Option<usize> {
    let length = value(header, "Content-Length")?.parse().ok()?;
    (length <= MAX_BODY).then_some(length)
}

/// The value of a header field; names are compared without regard to case.
pub(crate) fn value<'a>(header: &'a [u8], name: &str) -> Option<&'a str> {
    lines(header).find_map(|line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        if !found.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', bytes)
        .map(move |end| &bytes[std::mem::replace(&mut start, end + 1)..end])
}

/// Whether `bytes` start with the first line of a record. JSON has its beginning as a text.
pub(crate) fn is_start(bytes: &[u8]) -> bool {
    let version = bytes.strip_prefix(b"WARC/").unwrap_or_default();
    let length = version
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'.'))
        .count();
    length > 0 && matches!(version.get(length), Some(b'\r' | b'\n'))
}

/// What a record starts with that is looked for, and the line end before it.
const SIGN: &[u8] = b"\nWARC/1.";

/// Where in `bytes` a record starts that follows a line end; the index is that of `WARC`.
pub(crate) fn find_start(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, SIGN).map(|at| at + 1)
}

/// How many bytes at the end of a text without a start may be the beginning of one.
pub(crate) const START_TAIL: usize = SIGN.len() - 1;

/// Whether [`find_start`] would find the start of a record right here. `None`: too few bytes to
/// say.
pub(crate) fn can_be_found(bytes: &[u8]) -> Option<bool> {
    let sign = &SIGN[1..];
    let known = bytes.len().min(sign.len());
    match bytes[..known] == sign[..known] {
        true if known < sign.len() => None,
        is_sign => Some(is_sign),
    }
}

/// Whether the end of a text is that of a record of a WAT file: of an object in JSON and the
/// empty line behind it. It shows in the last [`START_TAIL`] bytes.
pub(crate) fn is_end(text: &[u8]) -> bool {
    text.ends_with(b"}\r\n\r\n") || text.ends_with(b"}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_header_by_either_line_end() {
        let crlf = b"WARC/1.0\r\nWARC-Type: metadata\r\ncontent-length:  5 \r\n\r\nhello";
        assert_eq!(
            read(crlf),
            Head::Known {
                body: crlf.len() - 5,
                end: crlf.len()
            }
        );
        assert_eq!(value(crlf, "warc-type"), Some("metadata"));
        assert_eq!(value(crlf, "WARC-Date"), None);
        let lf = b"WARC/1.1\nContent-Length: 2\n\nhi";
        assert_eq!(
            read(lf),
            Head::Known {
                body: lf.len() - 2,
                end: lf.len()
            }
        );
    }

    #[test]
    fn knows_a_first_line_from_a_text() {
        assert!(is_start(b"WARC/1.0\r\n") && is_start(b"WARC/1.1\n"));
        for other in [
            &b"WARC/1.0\",\"x\""[..],
            b"WARC/",
            b"WARC/1.0",
            b"WARC/\n",
            b"",
            b"x",
        ] {
            assert!(!is_start(other));
        }
    }

    #[test]
    fn refuses_what_cannot_be_one() {
        assert_eq!(read(b"HTTP/1.1 200 OK"), Head::Bad);
        assert_eq!(read(b"WARC/1.0\r\n\r\n"), Head::Bad);
        assert_eq!(read(b"WARC/1.0\r\nContent-Length: -1\r\n\r\n"), Head::Bad);
        assert_eq!(
            read(b"WARC/1.0\r\nContent-Length: 99999999999\r\n\r\n"),
            Head::Bad
        );
        assert_eq!(
            read(&[b"WARC/1.0\r\n", &[b'x'; MAX_HEADER][..]].concat()),
            Head::Bad
        );
        for cut in 0..20 {
            assert_eq!(read(&b"WARC/1.0\r\nContent-Length: 0"[..cut]), Head::Short);
        }
    }
}
