//! Which way up an image is.

use crate::image::RgbImage;

/// The tag `Orientation` of the first directory of a TIFF structure.
const ORIENTATION_TAG: u16 = 0x0112;

/// The eight ways in which a camera can have been held (EXIF 2.32, tag 274).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Orientation {
    #[default]
    Upright,
    MirroredHorizontally,
    Rotated180,
    MirroredVertically,
    Transposed,
    Rotated90,
    Transversed,
    Rotated270,
}

impl Orientation {
    /// Reads the orientation of an EXIF block; upright where there is none or the block is broken.
    pub(super) fn from_exif(block: &[u8]) -> Self {
        let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        Tiff::new(tiff)
            .and_then(|tiff| tiff.first_directory_value(ORIENTATION_TAG))
            .map_or(Self::Upright, Self::from_number)
    }

    fn from_number(number: u32) -> Self {
        match number {
            2 => Self::MirroredHorizontally,
            3 => Self::Rotated180,
            4 => Self::MirroredVertically,
            5 => Self::Transposed,
            6 => Self::Rotated90,
            7 => Self::Transversed,
            8 => Self::Rotated270,
            _ => Self::Upright,
        }
    }

    /// Whether width and height change places.
    fn swaps_sides(self) -> bool {
        matches!(
            self,
            Self::Transposed | Self::Rotated90 | Self::Transversed | Self::Rotated270
        )
    }

    /// Turns the image upright.
    pub(super) fn apply(self, image: RgbImage) -> RgbImage {
        if self == Self::Upright {
            return image;
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (new_width, new_height) = match self.swaps_sides() {
            true => (height, width),
            false => (width, height),
        };
        let pixels = image.data();
        let mut turned = Vec::with_capacity(pixels.len());
        for y in 0..new_height {
            for x in 0..new_width {
                let (from_x, from_y) = self.source(x, y, width, height);
                let at = (from_y * width + from_x) * 3;
                turned.extend_from_slice(&pixels[at..at + 3]);
            }
        }
        RgbImage::new(new_width as u32, new_height as u32, turned)
    }

    /// Where in the stored image (of `width` by `height`) the upright one's pixel (x, y) lies.
    fn source(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        match self {
            Self::Upright => (x, y),
            Self::MirroredHorizontally => (width - 1 - x, y),
            Self::Rotated180 => (width - 1 - x, height - 1 - y),
            Self::MirroredVertically => (x, height - 1 - y),
            Self::Transposed => (y, x),
            Self::Rotated90 => (y, height - 1 - x),
            Self::Transversed => (width - 1 - y, height - 1 - x),
            Self::Rotated270 => (width - 1 - y, x),
        }
    }
}

/// A TIFF structure, of which every offset may lie.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    /// The first value of a whole-number tag of the first directory.
    fn first_directory_value(&self, tag: u16) -> Option<u32> {
        let directory = self.u32(4)? as usize;
        let entries = usize::from(self.u16(directory)?);
        (0..entries)
            .map(|index| directory + 2 + index * 12)
            .take_while(|entry| entry + 12 <= self.bytes.len())
            .find(|entry| self.u16(*entry) == Some(tag))
            .and_then(|entry| match self.u16(entry + 2)? {
                1 => self.bytes.get(entry + 8).map(|byte| u32::from(*byte)),
                3 => self.u16(entry + 8).map(u32::from),
                4 => self.u32(entry + 8),
                _ => None,
            })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(orientation: u16) -> Vec<u8> {
        let mut tiff = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
        tiff.extend(orientation.to_be_bytes());
        tiff.extend([0; 6]);
        tiff
    }

    #[test]
    fn the_tag_is_read_and_nonsense_is_upright() {
        assert_eq!(Orientation::from_exif(&block(6)), Orientation::Rotated90);
        assert_eq!(Orientation::from_exif(&block(1)), Orientation::Upright);
        assert_eq!(Orientation::from_exif(&block(99)), Orientation::Upright);
        assert_eq!(Orientation::from_exif(b""), Orientation::Upright);
    }

    proptest! {
        #[test]
        fn hostile_blocks_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            at in 0usize..30,
        ) {
            Orientation::from_exif(&bytes);
            let mut broken = block(3);
            let end = broken.len().min(at + bytes.len());
            broken[at..end].copy_from_slice(&bytes[..end - at]);
            Orientation::from_exif(&broken);
        }
    }
}
