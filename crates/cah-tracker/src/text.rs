//! Numbers, times and panics as people read them.

use std::any::Any;

use crate::clock::Timestamp;

/// What a panic said.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits at most and a unit: `12.3k`.
pub(crate) fn compact(number: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scaled, unit) = UNITS
        .into_iter()
        .find(|(size, _)| number >= 0.9995 * size)
        .map_or((number, ""), |(size, unit)| (number / size, unit));
    let decimals = match scaled {
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    let digits = format!("{scaled:.decimals$}");
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    format!("{digits}{unit}")
}

/// The beginning of a text that may be long.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A length of time in its largest unit: `3 h`.
pub(crate) fn duration(seconds: Timestamp) -> String {
    match seconds.max(0) {
        s @ ..120 => format!("{s} s"),
        s @ ..7_200 => format!("{} min", s / 60),
        s @ ..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// The day of a time, in UTC: `2026-01-31`.
pub(crate) fn date(time: Timestamp) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(time).map(|time| time.date());
    // Years that no calendar has come from clocks that are wrong.
    date.map_or_else(|_| "?".into(), |date| date.to_string())
}

/// A share with one decimal, rounded down: 100 means all of it.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0".into();
    }
    let tenths = u128::from(part) * 1_000 / u128::from(whole);
    match tenths {
        1_000 => "100".into(),
        _ => format!("{}.{}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened() {
        let all: Vec<String> = [0, 999, 1_000, 1_234_567].map(grouped).into();
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
        let all: Vec<String> = [0.0, 0.5, 12.34, 999.9, 1e3, 12_345.0, 4.2e9]
            .map(compact)
            .into();
        assert_eq!(all, ["0", "0.5", "12.3", "1k", "1k", "12.3k", "4.2G"]);
    }

    #[test]
    fn times_are_in_their_largest_unit() {
        let all: Vec<String> = [-1, 59, 120, 7_200, 200_000].map(duration).into();
        assert_eq!(all, ["0 s", "59 s", "2 min", "2 h", "2 d"]);
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(9_999, 10_000), "99.9");
        assert_eq!(percent(3, 3), "100");
        assert_eq!(percent(0, 0), "0");
    }
}
