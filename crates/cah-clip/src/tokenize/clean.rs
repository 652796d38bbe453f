//! The cleaning of captions.

use std::{borrow::Cow, sync::LazyLock};

use htmlize::unescape;
use regex::Regex;

/// What makes terminals change colour. ftfy removes it; plsfix 0.1 means to and does not.
static TERMINAL_ESCAPES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\x1b\[[0-9;]*[a-zA-Z]").expect("the pattern is constant and tested")
});

/// Cleans a caption as `open_clip` and OpenAI's CLIP do before encoding: mojibake and look-alikes
/// repaired (ftfy), HTML entities resolved twice, white space collapsed, lower case.
pub fn clean_caption(caption: &str) -> String {
    let repaired = plsfix::fix_text(&without_escapes(caption), None);
    let once = unescape(&repaired);
    let twice = unescape(&*once);
    collapsed(&twice).to_lowercase()
}

fn without_escapes(text: &str) -> Cow<'_, str> {
    match text.contains('\x1b') {
        true => TERMINAL_ESCAPES.replace_all(text, ""),
        false => Cow::Borrowed(text),
    }
}

/// One blank between words and none around them.
fn collapsed(text: &str) -> String {
    let mut words = text.split(is_space).filter(|word| !word.is_empty());
    let mut collapsed = String::with_capacity(text.len());
    if let Some(first) = words.next() {
        collapsed.push_str(first);
    }
    for word in words {
        collapsed.push(' ');
        collapsed.push_str(word);
    }
    collapsed
}

/// What Python's `\s` matches: Unicode's white space and the four separators of ASCII.
fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_come_out_plain() {
        assert_eq!(
            clean_caption("  A\u{a0}Dog\n\t&amp;amp; CAT "),
            "a dog & cat"
        );
        assert_eq!(clean_caption("schÃ¶n"), "schön");
        assert_eq!(clean_caption("\u{1c}\u{3000}"), "");
    }
}
