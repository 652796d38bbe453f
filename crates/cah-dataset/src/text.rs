//! Small text forms that several files of a shard share.

use std::{fmt::Write, time::SystemTime};

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes of such digits, if they are so many and all are lower-case.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A time in UTC to the millisecond, as RFC 3339 has it.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).to_offset(UtcOffset::UTC);
    let whole = time.replace_millisecond(time.millisecond());
    whole
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // A clock outside of the years 0 to 9999 is no reason to lose a shard.
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// Whether this is a time as [`timestamp`] writes it.
pub(crate) fn is_timestamp(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn texts_have_their_usual_form() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(from_hex("00abff"), Some([0, 0xab, 0xff]));
        for other in ["", "00abf", "00abff0", "00abfg", "00ABFF"] {
            assert_eq!(from_hex::<3>(other), None, "{other}");
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        assert_eq!(timestamp(time), "2023-11-14T22:13:20.123Z");
        assert!(is_timestamp(&timestamp(SystemTime::now())));
        assert!(!is_timestamp("yesterday"));
    }
}
