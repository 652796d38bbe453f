//! Workers' tokens: what the worker keeps and what the tracker stores.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Draws a token: UUIDv4 text, every free bit from the operating system's randomness.
pub(crate) fn draw() -> String {
    Uuid::new_v4().to_string()
}

/// The SHA-256 of a token. Only this is stored, so that a copy of the store opens no worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes what a caller sent as its token, whatever it looks like.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_version_4_uuids_and_differ() {
        let (a, b) = (draw(), draw());
        assert_eq!(Uuid::parse_str(&a).unwrap().get_version_num(), 4);
        assert_ne!(TokenHash::of(&a), TokenHash::of(&b));
        assert!(!format!("{:?}", TokenHash::of(&a)).contains(&a));
    }
}
