//! Short keys that find a long text again, for indexes that would be large over the texts.

use sha2::{Digest, Sha256};

/// Where a URL stands in the index: by its folder's hash, then by its file's. Lists go folder by
/// folder, so an import writes to few pages of the index at a time.
pub(super) fn of_url(url: &str) -> i64 {
    let (folder, file) = url.rsplit_once('/').unwrap_or(("", url));
    let ([a, b, c, d, ..], [e, f, g, h, ..]) = (hash(folder), hash(file));
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The key of any other text.
pub(super) fn of_text(text: &str) -> i64 {
    i64::from_be_bytes(hash(text))
}

fn hash(text: &str) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}
