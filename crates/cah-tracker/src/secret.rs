//! What operators prove themselves with, and workers where they must.

use std::fmt;

use thiserror::Error;

use crate::token::TokenHash;

/// Shortest secret: one that is shorter can be guessed.
const MIN_BYTES: usize = 16;

/// The admin token or the join key. Only its hash is kept.
#[derive(Clone)]
pub struct Secret(TokenHash);

/// A secret that protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a secret has {MIN_BYTES} printable characters or more, without blanks; `openssl rand -hex 32` makes a good one"
)]
pub struct WeakSecret;

impl Secret {
    /// Takes a secret as it is kept in a file or variable; blanks around it do not count.
    ///
    /// # Errors
    /// [`WeakSecret`] for one that is short or cannot be sent in a header.
    pub fn new(text: &str) -> Result<Self, WeakSecret> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        match text.len() >= MIN_BYTES && printable {
            true => Ok(Self(TokenHash::of(text))),
            false => Err(WeakSecret),
        }
    }

    /// Whether this is what a caller sent. Hashes are compared, so that the time that it takes
    /// tells nothing about the secret.
    pub(crate) fn matches(&self, sent: &str) -> bool {
        self.0 == TokenHash::of(sent.trim())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_ones_are_taken_and_only_the_same_matches() {
        for weak in [
            "",
            "admin",
            "password12345",
            "sixteen blanks  ",
            "ünicode-ünicode-ü",
        ] {
            assert_eq!(Secret::new(weak).err(), Some(WeakSecret), "{weak}");
        }
        let token = Secret::new("0123456789abcdef\n").unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeF"));
        assert!(!token.matches(""));
        assert!(!format!("{token:?}").contains("0123"));
    }
}
