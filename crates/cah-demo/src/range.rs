//! `Range: bytes=…`, as a worker asks for its half of a WAT file.

use std::ops::Range;

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range, or one that a server may ignore.
    Whole,
    /// These bytes, at least one.
    Part(Range<usize>),
    /// Bytes behind the end.
    Unsatisfiable,
}

/// Reads the value of a `Range` header for a file of `length` bytes (RFC 9110, section 14).
///
/// Several ranges at once are answered with the whole file, which is allowed.
pub(crate) fn parse(header: Option<&str>, length: usize) -> Wanted {
    let Some((first, last)) = header
        .and_then(|value| value.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (first.trim().parse(), last.trim().parse::<usize>()) {
        (Ok(first), _) if last.trim().is_empty() => part(first, length, length),
        (Ok(first), Ok(last)) if first <= last => part(first, last.saturating_add(1), length),
        (Err(_), Ok(count)) if first.trim().is_empty() => {
            part(length.saturating_sub(count), length, length)
        }
        _ => Wanted::Whole,
    }
}

fn part(start: usize, end: usize, length: usize) -> Wanted {
    let end = end.min(length);
    match start < end {
        true => Wanted::Part(start..end),
        false => Wanted::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_out() {
        assert_eq!(parse(Some("bytes=0-0"), 10), Wanted::Part(0..1));
        assert_eq!(parse(Some("bytes=5-"), 10), Wanted::Part(5..10));
        assert_eq!(parse(Some("bytes=-3"), 10), Wanted::Part(7..10));
        assert_eq!(parse(Some("bytes=-30"), 10), Wanted::Part(0..10));
        assert_eq!(parse(Some("bytes=8-99"), 10), Wanted::Part(8..10));
    }

    #[test]
    fn what_lies_behind_the_end_is_refused() {
        assert_eq!(parse(Some("bytes=10-"), 10), Wanted::Unsatisfiable);
        assert_eq!(parse(Some("bytes=-0"), 10), Wanted::Unsatisfiable);
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn nonsense_gets_the_whole_file() {
        for header in [
            "bytes=5-2",
            "bytes=0-1,4-5",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(parse(Some(header), 10), Wanted::Whole, "{header}");
        }
        assert_eq!(parse(None, 10), Wanted::Whole);
    }
}
