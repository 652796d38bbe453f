//! WARC records, their gzip members and digests.

use std::io::Write as _;

use data_encoding::BASE32;
use flate2::{Compression, GzBuilder};
use sha1::{Digest as _, Sha1};

use crate::scene::Rng;

/// A record: what its headers say and what it holds.
pub(super) struct Record {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) block: Vec<u8>,
}

impl Record {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            headers: vec![("WARC-Type", kind.to_owned())],
            block: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Completes the record with its block and what follows from that.
    pub(super) fn holding(mut self, block: Vec<u8>) -> Self {
        let length = block.len().to_string();
        self.block = block;
        let digest = sha1(&self.block);
        self.with("Content-Length", length)
            .with("WARC-Block-Digest", digest)
    }

    /// `WARC-Record-ID`, or nothing where there is none.
    pub(super) fn id(&self) -> &str {
        self.headers
            .iter()
            .find(|(name, _)| *name == "WARC-Record-ID")
            .map_or("", |(_, value)| value)
    }

    /// Version, headers and the empty line.
    pub(super) fn head(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("WARC/1.0\r\n{headers}\r\n")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head().as_bytes(), &self.block, b"\r\n\r\n"].concat()
    }
}

/// One gzip member with the header that Common Crawl's members have.
pub(super) fn gzip(record: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .operating_system(3)
        .write(Vec::new(), Compression::best());
    encoder
        .write_all(record)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail")
}

/// `sha1:` and the digest in base 32.
pub(super) fn sha1(bytes: &[u8]) -> String {
    format!("sha1:{}", BASE32.encode(&Sha1::digest(bytes)))
}

/// Record ids: random UUIDs that follow from the seed.
pub(super) struct Identities(Rng);

impl Identities {
    pub(super) fn new(rng: Rng) -> Self {
        Self(rng)
    }

    pub(super) fn next(&mut self) -> String {
        let (high, low) = (self.0.bits(), self.0.bits());
        format!(
            "<urn:uuid:{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}>",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0x0fff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_payload_has_the_digest_that_every_wat_shows() {
        assert_eq!(sha1(b""), "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ");
    }

    #[test]
    fn identities_are_random_uuids() {
        let mut identities = Identities::new(Rng::new(1));
        let (one, other) = (identities.next(), identities.next());
        assert_ne!(one, other);
        let uuid = one
            .strip_prefix("<urn:uuid:")
            .and_then(|rest| rest.strip_suffix('>'))
            .unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
