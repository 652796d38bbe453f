//! Workers' display names: `word-word-123`.

mod words;

use rand::random_range;

/// Draws a name. There are more than ten million, so that two connected workers seldom draw the
/// same; the store tells when they do.
pub(crate) fn draw() -> String {
    let word = |words: &[&'static str]| words[random_range(0..words.len())];
    format!(
        "{}-{}-{}",
        word(words::MOODS),
        word(words::CREATURES),
        random_range(100..1_000)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_words_are_lower_case_and_differ() {
        for words in [words::MOODS, words::CREATURES] {
            assert!(words.len() >= 100);
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
            assert!(words.iter().all(plain));
        }
    }

    #[test]
    fn a_name_is_two_words_and_a_number() {
        let name = draw();
        let parts: Vec<&str> = name.split('-').collect();
        assert_eq!(parts.len(), 3);
        assert!((100..1_000).contains(&parts[2].parse().unwrap()));
    }
}
