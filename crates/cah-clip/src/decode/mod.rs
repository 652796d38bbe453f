//! Downloaded bytes into pixels, as Pillow's `ImageOps.exif_transpose(image).convert("RGB")` has them.
//!
//! The format is found by content. Sizes are read from the header and held against [`Limits`]
//! before anything of that size is allocated. As in Pillow, alpha is dropped and not composited,
//! 16-bit colour keeps its high bytes, 16-bit grey is clipped at 255, and four-channel JPEGs are taken
//! for Adobe's inverted CMYK.
//!
//! Threads that decode at once share a budget of pixels, the whole process over, and wait for one another when
//! giant images would take more memory than that. What [`decode`] has returned is the caller's.

mod budget;
mod exif;
mod gif;
mod jpeg;
mod limits;
mod png;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use limits::{DecodeError, Limits};

use crate::image::RgbImage;
use budget::Permit;
use exif::Orientation;

/// The formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// Baseline and progressive JPEG.
    Jpeg,
    /// PNG; of an animated one the default image.
    Png,
    /// GIF, its first frame.
    Gif,
    /// WEBP; of an animated one its first frame.
    Webp,
}

impl ImageFormat {
    /// The format by the first bytes of a file.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }

    /// The media type, as `image/jpeg`.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The usual file extension without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }
}

/// An image as it was downloaded, in pixels.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The pixels, upright.
    pub image: RgbImage,
    /// The width that stands in the file, before the EXIF orientation is applied.
    pub original_width: u32,
    /// The height that stands in the file, before the EXIF orientation is applied.
    pub original_height: u32,
    /// What the bytes are, by their content.
    pub format: ImageFormat,
}

/// What a format's decoder hands back: pixels as they lie in the file, how to turn them, and the right to hold them,
/// which ends with the turning.
struct Frame {
    image: RgbImage,
    orientation: Orientation,
    permit: Permit<'static>,
}

/// Decodes an image of any known format. Blocks while other threads decode as many pixels as the process may.
///
/// # Errors
/// One [`DecodeError`] for each outcome that a candidate can end in here.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    limits.check_bytes(bytes)?;
    let format = ImageFormat::detect(bytes).ok_or(DecodeError::UnknownFormat)?;
    let Frame {
        image,
        orientation,
        permit,
    } = guarded(format, || match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, limits),
        ImageFormat::Png => png::decode(bytes, limits),
        ImageFormat::Gif => gif::decode(bytes, limits),
        ImageFormat::Webp => webp::decode(bytes, limits),
    })?;
    let (original_width, original_height) = (image.width(), image.height());
    let image = orientation.apply(image);
    drop(permit);
    Ok(Decoded {
        image,
        original_width,
        original_height,
        format,
    })
}

/// Runs a decoder so that its panic costs the image and not the shard: four parsers written elsewhere
/// read whatever the web holds.
fn guarded<T>(
    format: ImageFormat,
    decoder: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|_| {
        tracing::warn!(format = format.mime(), "a decoder panicked on an image");
        Err(DecodeError::damaged("the decoder gave up"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_is_a_damaged_image() {
        let result: Result<(), _> = guarded(ImageFormat::Png, || panic!("on purpose"));
        assert!(matches!(result, Err(DecodeError::Damaged { .. })));
    }

    #[test]
    fn a_decoder_waits_while_the_process_decodes_all_it_may() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decode");
        for file in ["rgb444.jpg", "rgb.png", "plain.gif", "lossy.webp"] {
            let bytes = std::fs::read(format!("{folder}/{file}")).unwrap();
            let limits = Limits {
                min_bytes: 0,
                ..Limits::default()
            };
            let all = budget::take(u64::from(u32::MAX));
            let (done, finished) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                scope.spawn(|| done.send(decode(&bytes, &limits).is_ok()));
                let early = finished.recv_timeout(std::time::Duration::from_millis(50));
                assert!(early.is_err(), "{file} did not wait");
                drop(all);
                assert!(finished.recv().unwrap(), "{file}");
            });
        }
    }

    #[test]
    fn formats_are_found_by_content() {
        assert_eq!(ImageFormat::detect(b"GIF89a\0\0"), Some(ImageFormat::Gif));
        assert_eq!(ImageFormat::detect(b"RIFF....WAVE"), None);
        assert_eq!(ImageFormat::detect(b"<svg></svg>"), None);
        assert_eq!(ImageFormat::detect(b""), None);
    }
}
