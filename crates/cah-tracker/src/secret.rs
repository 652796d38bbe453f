//! What operators prove themselves with, and workers where they must.

use std::fmt;

use thiserror::Error;

use crate::token::TokenHash;

/// Shortest secret: one that is shorter can be guessed.
const MIN_BYTES: usize = 16;

/// The admin token or the join key. Only its hash is kept.
#[derive(Clone)]
pub struct Secret(TokenHash);

/// Punctuation that stays as it is in the path and in the query of an address.
const SAFE_IN_ADDRESSES: &str = "-._~!$'()*,;:=@";

/// A secret that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WrongSecret {
    /// It protects nothing, or cannot be sent in a header.
    #[error(
        "a secret has {MIN_BYTES} printable characters or more, without blanks; `openssl rand -hex 32` makes a good one"
    )]
    Weak,
    /// A join key that an address cannot carry.
    #[error(
        "it has {0:?}, but travels in addresses as `…/k/KEY/`; make one of letters and digits, as `openssl rand -hex 32` does"
    )]
    NotForAddresses(char),
}

impl Secret {
    /// Takes a secret as it is kept in a file or variable; blanks around it do not count.
    ///
    /// # Errors
    /// [`WrongSecret::Weak`] for one that is short or cannot be sent in a header.
    pub fn new(text: &str) -> Result<Self, WrongSecret> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        match text.len() >= MIN_BYTES && printable {
            true => Ok(Self(TokenHash::of(text))),
            false => Err(WrongSecret::Weak),
        }
    }

    /// Takes a join key, which clients have in the tracker's address.
    ///
    /// # Errors
    /// As [`Secret::new`], and [`WrongSecret::NotForAddresses`].
    pub fn join_key(text: &str) -> Result<Self, WrongSecret> {
        let is_safe = |c: char| c.is_ascii_alphanumeric() || SAFE_IN_ADDRESSES.contains(c);
        match text.trim().chars().find(|c| !is_safe(*c)) {
            Some(c) => Err(WrongSecret::NotForAddresses(c)),
            None => Self::new(text),
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
            assert_eq!(Secret::new(weak).err(), Some(WrongSecret::Weak), "{weak}");
        }
        let token = Secret::new("0123456789abcdef\n").unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeF"));
        assert!(!token.matches(""));
        assert!(!format!("{token:?}").contains("0123"));
    }
    #[test]
    fn a_join_key_goes_through_an_address() {
        for c in "/%+?#& \t\\\"<>[]{}|^`ü".chars() {
            let key = format!("0123456789{c}abcdef");
            let refused = Secret::join_key(&key).err();
            assert_eq!(refused, Some(WrongSecret::NotForAddresses(c)));
            assert!(!refused.unwrap().to_string().contains('\n'));
        }
        assert_eq!(Secret::join_key("short").err(), Some(WrongSecret::Weak));
        let key = format!("abcXYZ019{SAFE_IN_ADDRESSES}");
        assert!(Secret::join_key(&format!("{key}\n")).unwrap().matches(&key));
        // What is taken comes through as it is.
        let address = format!("http://host/k/{key}/api/new?key={key}");
        let parsed: url::Url = address.parse().unwrap();
        let asked = parsed.query_pairs().next().unwrap().1.into_owned();
        assert_eq!((parsed.path(), asked), (&*format!("/k/{key}/api/new"), key));
    }
}
