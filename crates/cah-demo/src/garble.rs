//! What happens to captions on their way into a page.

/// Windows-1252 from 0x80 to 0x9f; where it names no character, browsers keep the control code.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// UTF-8 that something took for Windows-1252: `ü` becomes `Ã¼`.
pub(crate) fn misread(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(byte),
        })
        .collect()
}

/// Escapes a space and a letter, as some editors do.
pub(crate) fn with_entities(text: &str) -> String {
    text.replacen(' ', "&#32;", 1).replacen('e', "&#x65;", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_victims_look_as_usual() {
        assert_eq!(misread("grün … weiß"), "grÃ¼n â€¦ weiÃŸ");
        assert_eq!(with_entities("a red ring"), "a&#32;r&#x65;d ring");
    }
}
