//! How images are stored.

use std::{fmt, str::FromStr};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::{
    decode::Decoded,
    image::RgbImage,
    resample::{Filter, Size, Window, resize},
};

/// The quality of stored JPEGs.
const QUALITY: u8 = 92;

/// The longest side that a JPEG can have.
const MAX_JPEG_SIDE: u64 = 65_535;

/// The largest size that a mode can name.
const MAX_SIZE: u32 = 8_192;

/// What is stored of an image, in img2dataset's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageMode {
    /// `keep_ratio:N`: the shorter side becomes N, if it is longer.
    KeepRatio(u32),
    /// `keep_ratio_largest:N`: the longer side becomes N, if it is longer.
    KeepRatioLargest(u32),
    /// `center_crop:N`: the middle square, N by N.
    CenterCrop(u32),
    /// `border:N`: the whole image in the middle of N by N, on white.
    Border(u32),
    /// `no`: encoded anew in its own size.
    NoResize,
    /// `original`: the bytes as downloaded.
    Original,
    /// `none`: nothing.
    Nothing,
}

/// A text that names no [`ImageMode`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no way to store images: give keep_ratio:384, keep_ratio_largest:N, center_crop:N, border:N \
     (N from 1 to {MAX_SIZE}), no, original or none"
)]
pub struct ImageModeError {
    given: String,
}

impl Default for ImageMode {
    fn default() -> Self {
        Self::KeepRatio(384)
    }
}

impl FromStr for ImageMode {
    type Err = ImageModeError;

    fn from_str(text: &str) -> Result<Self, ImageModeError> {
        let size = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let size = digits.parse().ok().filter(|_| plain)?;
            (1..=MAX_SIZE).contains(&size).then_some(size)
        };
        let mode = match text.split_once(':') {
            Some(("keep_ratio", digits)) => size(digits).map(Self::KeepRatio),
            Some(("keep_ratio_largest", digits)) => size(digits).map(Self::KeepRatioLargest),
            Some(("center_crop", digits)) => size(digits).map(Self::CenterCrop),
            Some(("border", digits)) => size(digits).map(Self::Border),
            Some(_) => None,
            None => match text {
                "no" => Some(Self::NoResize),
                "original" => Some(Self::Original),
                "none" => Some(Self::Nothing),
                _ => None,
            },
        };
        mode.ok_or_else(|| ImageModeError {
            given: text.to_owned(),
        })
    }
}

impl fmt::Display for ImageMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepRatio(size) => write!(f, "keep_ratio:{size}"),
            Self::KeepRatioLargest(size) => write!(f, "keep_ratio_largest:{size}"),
            Self::CenterCrop(size) => write!(f, "center_crop:{size}"),
            Self::Border(size) => write!(f, "border:{size}"),
            Self::NoResize => f.write_str("no"),
            Self::Original => f.write_str("original"),
            Self::Nothing => f.write_str("none"),
        }
    }
}

/// An image as it goes into the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its extension without the dot.
    pub extension: &'static str,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Makes of a decoded image, and the bytes that it was decoded from, what the mode stores; `None` where it stores
/// nothing.
pub fn store(decoded: &Decoded, bytes: &[u8], mode: ImageMode) -> Option<StoredImage> {
    let image = &decoded.image;
    let size = size_of(image);
    let shorter = size.0.min(size.1);
    let longer = size.0.max(size.1);
    let stored = match mode {
        ImageMode::Nothing => return None,
        ImageMode::Original => StoredImage {
            bytes: bytes.to_vec(),
            extension: decoded.format.extension(),
            width: decoded.original_width,
            height: decoded.original_height,
        },
        ImageMode::NoResize => encoded(image, size),
        ImageMode::KeepRatio(side) => {
            encoded(image, scaled(size, u64::from(side).min(shorter), shorter))
        }
        ImageMode::KeepRatioLargest(side) => {
            encoded(image, scaled(size, u64::from(side).min(longer), longer))
        }
        ImageMode::CenterCrop(side) => {
            jpeg(&square_of(image, scaled(size, side.into(), shorter), side))
        }
        ImageMode::Border(side) => jpeg(&bordered(image, scaled(size, side.into(), longer), side)),
    };
    Some(stored)
}

fn size_of(image: &RgbImage) -> Size {
    (image.width().into(), image.height().into())
}

/// The size scaled so that `from` becomes `to`; no side becomes 0.
fn scaled(size: Size, to: u64, from: u64) -> Size {
    let scale = |side: u64| ((side * to + from / 2) / from).max(1);
    (scale(size.0), scale(size.1))
}

/// Resizes, if there is anything to resize, and encodes. What is longer than a JPEG can be is scaled down
/// to it.
fn encoded(image: &RgbImage, size: Size) -> StoredImage {
    let longer = size.0.max(size.1);
    let size = scaled(size, longer.min(MAX_JPEG_SIDE), longer);
    if size == size_of(image) {
        return jpeg(image);
    }
    jpeg(&resize(image, size, Window::whole(size), Filter::BICUBIC))
}

fn square_of(image: &RgbImage, size: Size, side: u32) -> RgbImage {
    let middle = Window::centred(side, side, size);
    resize(image, size, middle, Filter::BICUBIC)
}

fn bordered(image: &RgbImage, size: Size, side: u32) -> RgbImage {
    let resized = resize(image, size, Window::whole(size), Filter::BICUBIC);
    let mut canvas = vec![255; side as usize * side as usize * 3];
    let left = ((side - resized.width()) / 2) as usize;
    let top = ((side - resized.height()) / 2) as usize;
    let rows = canvas.chunks_exact_mut(side as usize * 3).skip(top);
    for (target, row) in rows.zip(resized.rows()) {
        target[left * 3..][..row.len()].copy_from_slice(row);
    }
    RgbImage::new(side, side, canvas)
}

fn jpeg(image: &RgbImage) -> StoredImage {
    let (width, height) = (image.width(), image.height());
    let side = |side: u32| u16::try_from(side).expect("sides are limited to what a JPEG can have");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(image.data(), side(width), side(height), ColorType::Rgb)
        .expect("a vector takes all that is written, and the image has the bytes of its size");
    StoredImage {
        bytes,
        extension: "jpg",
        width,
        height,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::decode::{ImageFormat, Limits, decode};

    fn decoded(width: u32, height: u32) -> Decoded {
        let data = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
        Decoded {
            image: RgbImage::new(width, height, data),
            original_width: width,
            original_height: height,
            format: ImageFormat::Webp,
        }
    }

    #[rstest]
    #[case("keep_ratio:384", (800, 500), (614, 384))]
    #[case("keep_ratio:384", (300, 200), (300, 200))]
    #[case("keep_ratio_largest:100", (800, 500), (100, 63))]
    #[case("keep_ratio_largest:1000", (80, 50), (80, 50))]
    #[case("center_crop:64", (800, 500), (64, 64))]
    #[case("center_crop:64", (20, 30), (64, 64))]
    #[case("border:64", (800, 20), (64, 64))]
    #[case("no", (33, 17), (33, 17))]
    #[case("keep_ratio:384", (70_000, 2), (65_535, 2))]
    fn modes_make_the_size_they_name(
        #[case] mode: &str,
        #[case] from: (u32, u32),
        #[case] to: (u32, u32),
    ) {
        let stored = store(&decoded(from.0, from.1), b"", mode.parse().unwrap()).unwrap();
        assert_eq!((stored.width, stored.height), to);
        assert_eq!(stored.extension, "jpg");
        let limits = Limits {
            min_bytes: 0,
            ..Limits::default()
        };
        let again = decode(&stored.bytes, &limits).unwrap();
        assert_eq!((again.original_width, again.original_height), to);
        assert_eq!(again.format, ImageFormat::Jpeg);
    }

    #[test]
    fn the_original_is_kept_to_the_byte_and_none_is_nothing() {
        let decoded = decoded(4, 3);
        let stored = store(&decoded, b"as it came", ImageMode::Original).unwrap();
        assert_eq!(stored.bytes, b"as it came");
        assert_eq!((stored.extension, stored.width), ("webp", 4));
        assert_eq!(store(&decoded, b"as it came", ImageMode::Nothing), None);
    }

    #[test]
    fn a_border_is_white() {
        let black = RgbImage::new(4, 2, vec![0; 24]);
        let framed = bordered(&black, (4, 2), 4);
        assert_eq!(&framed.data()[..12], [255; 12]);
        assert_eq!(&framed.data()[12..36], [0; 24]);
        assert_eq!(&framed.data()[36..], [255; 12]);
    }

    #[rstest]
    #[case("keep_ratio")]
    #[case("keep_ratio:")]
    #[case("keep_ratio:0")]
    #[case("keep_ratio:+5")]
    #[case("keep_ratio:9999")]
    #[case("center_crop:x")]
    #[case("original:3")]
    #[case("")]
    fn nonsense_is_refused_with_the_choices(#[case] text: &str) {
        let error = text.parse::<ImageMode>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
        assert!(error.contains("keep_ratio:384"), "{error}");
    }

    #[test]
    fn modes_are_written_as_they_are_read() {
        for text in [
            "keep_ratio:384",
            "keep_ratio_largest:9",
            "center_crop:1",
            "border:8192",
        ] {
            assert_eq!(text.parse::<ImageMode>().unwrap().to_string(), text);
        }
        for text in ["no", "original", "none"] {
            assert_eq!(text.parse::<ImageMode>().unwrap().to_string(), text);
        }
        assert_eq!(ImageMode::default().to_string(), "keep_ratio:384");
    }
}
