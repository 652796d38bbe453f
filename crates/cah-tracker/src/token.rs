//! Workers' tokens: what the worker keeps and what the tracker stores.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a token looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenForm {
    /// UUIDv4 text, which the public protocols have: 122 bits are drawn.
    #[default]
    Uuid,
    /// 64 hexadecimal digits, for clients that say that they take any text: 256 bits are drawn.
    Long,
}

/// Draws a token. Nobody can tell one from others that were drawn before: the generators take
/// their randomness from the operating system.
pub(crate) fn draw(form: TokenForm) -> String {
    match form {
        TokenForm::Uuid => Uuid::new_v4().to_string(),
        TokenForm::Long => HEXLOWER.encode(&rand::random::<[u8; 32]>()),
    }
}

/// The key in the address where a worker brings files. It follows from the token, so that the worker
/// can be told it again, and tells nothing of it: addresses end up in logs.
pub(crate) fn upload_key(token: &str) -> String {
    let digest = Sha256::digest(format!("upload {token}"));
    HEXLOWER.encode(&digest[..16])
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
    fn tokens_are_version_4_uuids_or_longer_and_differ() {
        let (a, b) = (draw(TokenForm::Uuid), draw(TokenForm::Uuid));
        assert_eq!(Uuid::parse_str(&a).unwrap().get_version_num(), 4);
        assert_ne!(TokenHash::of(&a), TokenHash::of(&b));
        let (long, other) = (draw(TokenForm::Long), draw(TokenForm::Long));
        assert_eq!(HEXLOWER.decode(long.as_bytes()).unwrap().len(), 32);
        assert_ne!(long, other);
        assert!(!format!("{:?}", TokenHash::of(&a)).contains(&a));
    }
}
