//! Captions repaired, as the LAION pipeline did it with ftfy.

use std::borrow::Cow;

/// Texts beyond this are not searched for mojibake: nobody wrote them as a caption.
const MAX_REPAIRED: usize = 64 << 10;

/// Undoes mojibake (`schÃ¶n` → `schön`) and HTML entities (`&amp;` → `&`), also when encoded
/// twice, drops control characters, folds white space to single spaces and trims it.
pub fn repair(text: &str) -> String {
    if text.bytes().all(needs_no_repair) {
        return fold_white_space(text);
    }
    let line = text.replace(['\n', '\r'], " ");
    let mended = if line.len() > MAX_REPAIRED {
        line
    } else {
        plsfix::fix_text(&line, None)
    };
    let once = unescape(&mended);
    // At the end, since entities stand for any character.
    let readable = unescape(&once).replace(is_invisible, "");
    fold_white_space(&readable)
}

/// What ftfy drops: control characters that are no white space, and deprecated ones of Unicode.
fn is_invisible(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(c, '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

/// Plain ASCII without entities and control characters has nothing to mend.
fn needs_no_repair(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r') && byte != b'&'
}

fn unescape(text: &str) -> Cow<'_, str> {
    if text.contains('&') {
        htmlize::unescape(text)
    } else {
        Cow::Borrowed(text)
    }
}

fn fold_white_space(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("A red bicycle", "A red bicycle")]
    #[case::white_space("  A\tred\r\n bicycle\u{a0} ", "A red bicycle")]
    #[case::entity("Tom &amp; Jerry", "Tom & Jerry")]
    #[case::entity_twice("Tom &amp;amp; Jerry &amp;quot;live&amp;quot;", "Tom & Jerry \"live\"")]
    #[case::mojibake("schÃ¶ne GrÃ¼ÃŸe", "schöne Grüße")]
    #[case::mojibake_of_quotes("donâ€™t", "don't")]
    #[case::numeric("caf&#233; &#x1F600;", "café 😀")]
    #[case::intact("Ein schöner Tag in Köln", "Ein schöner Tag in Köln")]
    #[case::other_scripts("東京タワーの夜景 – красивый вид", "東京タワーの夜景 – красивый вид")]
    #[case::control("a\u{0}b\u{7}c", "abc")]
    #[case::control_by_entity("bell &#7; x, &#7 y &amp;#x7; z", "bell x, y z")]
    #[case::white_space_by_entity("a&#10;b&Tab;c", "a b c")]
    #[case::nothing(" \n\t ", "")]
    fn repairs(#[case] text: &str, #[case] repaired: &str) {
        assert_eq!(repair(text), repaired);
    }

    #[test]
    fn overlong_text_is_left_to_the_rules() {
        let text = "Ã¶&amp;".repeat(MAX_REPAIRED);
        assert_eq!(repair(&text), "Ã¶&".repeat(MAX_REPAIRED));
    }
}
