//! What an image may cost, and why one is refused.

use super::budget::{self, Permit};

/// What is refused before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels, width times height.
    pub max_pixels: u64,
    /// The fewest bytes of a file; 0 takes any.
    pub min_bytes: usize,
}

impl Default for Limits {
    /// Pillow's limit of 89,478,484 pixels, and 5,000 bytes as LAION had it.
    fn default() -> Self {
        Self {
            max_pixels: 89_478_484,
            min_bytes: 5_000,
        }
    }
}

/// Why bytes gave no image; each is one outcome of a candidate. Closed on purpose, so that callers
/// name every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than an image worth having.
    #[error("{bytes} bytes, fewer than the minimum of {minimum}")]
    TooSmall {
        /// The file's length.
        bytes: usize,
        /// The limit.
        minimum: usize,
    },
    /// The bytes are no JPEG, PNG, GIF or WEBP.
    #[error("not a JPEG, PNG, GIF or WEBP image")]
    UnknownFormat,
    /// More pixels than the limit.
    #[error("{width}x{height} pixels, more than the limit of {limit}")]
    TooManyPixels {
        /// As the header says.
        width: u32,
        /// As the header says.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// The bytes begin like an image and do not decode.
    #[error("damaged image: {reason}")]
    Damaged {
        /// What the decoder said.
        reason: String,
    },
}

impl DecodeError {
    pub(super) fn damaged(reason: impl ToString) -> Self {
        Self::Damaged {
            reason: reason.to_string(),
        }
    }
}

impl Limits {
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        if bytes.len() < self.min_bytes {
            return Err(DecodeError::TooSmall {
                bytes: bytes.len(),
                minimum: self.min_bytes,
            });
        }
        Ok(())
    }

    /// Holds the size in a header against the limit and waits until so many pixels may be decoded. A decoder calls
    /// it once, before it allocates anything of that size.
    pub(super) fn admit(&self, width: u32, height: u32) -> Result<Permit<'static>, DecodeError> {
        self.check_size(width, height)?;
        Ok(budget::take(u64::from(width) * u64::from(height)))
    }

    /// Holds the size in a header against the limit.
    pub(super) fn check_size(&self, width: u32, height: u32) -> Result<(), DecodeError> {
        if width == 0 || height == 0 {
            return Err(DecodeError::damaged("the image has no pixels"));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(DecodeError::TooManyPixels {
                width,
                height,
                limit: self.max_pixels,
            });
        }
        Ok(())
    }
}
