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
    /// Reads the orientation as Pillow does: from the EXIF block, and where that has none from the XMP text; upright
    /// where neither says it or both are broken.
    pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Self {
        exif.and_then(in_exif)
            .or_else(|| xmp.and_then(in_xmp))
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

fn in_exif(block: &[u8]) -> Option<u32> {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    Tiff::new(tiff)?.first_directory_value(ORIENTATION_TAG)
}

/// The first `tiff:Orientation="N"` or `<tiff:Orientation>N` of an XMP text.
fn in_xmp(text: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    memchr::memmem::find_iter(text, NAME).find_map(|at| {
        let rest = &text[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or(rest.strip_prefix(b">"))?;
        char::from(*value.first()?).to_digit(10)
    })
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

    fn from_exif(block: &[u8]) -> Orientation {
        Orientation::of(Some(block), None)
    }

    #[test]
    fn the_tag_is_read_and_nonsense_is_upright() {
        assert_eq!(from_exif(&block(6)), Orientation::Rotated90);
        assert_eq!(from_exif(&block(1)), Orientation::Upright);
        assert_eq!(from_exif(&block(99)), Orientation::Upright);
        assert_eq!(from_exif(b""), Orientation::Upright);
    }

    #[test]
    fn xmp_counts_where_exif_does_not_say_it() {
        let xmp = b"<x tiff:Orientation='7' tiff:Orientation=\"6\"/>".as_slice();
        let element = b"<tiff:Orientation>3</tiff:Orientation>".as_slice();
        let upright = block(1);
        let of = |exif, xmp| Orientation::of(exif, Some(xmp));
        assert_eq!(of(None, xmp), Orientation::Rotated90);
        assert_eq!(of(None, element), Orientation::Rotated180);
        assert_eq!(of(Some(b"broken".as_slice()), xmp), Orientation::Rotated90);
        assert_eq!(of(Some(upright.as_slice()), xmp), Orientation::Upright);
        assert_eq!(of(None, b"tiff:Orientation"), Orientation::Upright);
        assert_eq!(of(None, b"tiff:Orientation=\"x"), Orientation::Upright);
    }

    proptest! {
        #[test]
        fn hostile_blocks_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            at in 0usize..30,
        ) {
            Orientation::of(Some(&bytes), Some(&bytes));
            let mut broken = block(3);
            let end = broken.len().min(at + bytes.len());
            broken[at..end].copy_from_slice(&bytes[..end - at]);
            from_exif(&broken);
        }
    }
}
