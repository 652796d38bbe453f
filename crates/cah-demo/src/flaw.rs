//! Files that pass for images until somebody opens them.

use flate2::Crc;

use crate::picture::Format;

/// What is wrong with an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Begins like an image; what follows is no image data.
    Damaged,
    /// A PNG that stops in the middle of its pixels, although all its bytes are there.
    Halved,
    /// The header announces more pixels than anybody wants in memory.
    Enormous,
    /// A text under the name of an image.
    Text,
}

/// Width and height of [`Flaw::Enormous`]: 108 megapixels.
const ENORMOUS: (u16, u16) = (12_000, 9_000);

impl Flaw {
    /// Spoils a whole file of this format. What comes out is long enough to be worth a look.
    pub(crate) fn inflict(self, mut whole: Vec<u8>, format: Format) -> Vec<u8> {
        match self {
            Flaw::Damaged => {
                whole[intact_head(format)..].fill(0xa5);
                whole
            }
            Flaw::Halved => {
                whole.truncate(whole.len() / 2);
                whole
            }
            Flaw::Enormous => {
                announce_enormous(&mut whole, format);
                whole
            }
            Flaw::Text => "This image has moved. Please ask the webmaster for its new address.\n"
                .repeat(100)
                .into_bytes(),
        }
    }
}

/// The bytes that make a reader believe in the format: signature and first box, no pixels.
const fn intact_head(format: Format) -> usize {
    match format {
        // SOI and the JFIF segment.
        Format::Jpeg => 20,
        // Signature and IHDR.
        Format::Png => 33,
        // RIFF, WEBP, and the name of the first chunk.
        Format::Webp => 16,
    }
}

/// Writes a size of [`ENORMOUS`] over the one in the header.
fn announce_enormous(file: &mut [u8], format: Format) {
    match format {
        Format::Jpeg => enlarge_jpeg(file),
        Format::Png => enlarge_png(file),
        Format::Webp => enlarge_webp(file),
    }
}

/// IHDR: length, name, width, height, …, checksum over name and data.
fn enlarge_png(file: &mut [u8]) {
    file[16..20].copy_from_slice(&u32::from(ENORMOUS.0).to_be_bytes());
    file[20..24].copy_from_slice(&u32::from(ENORMOUS.1).to_be_bytes());
    let mut checksum = Crc::new();
    checksum.update(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
}

/// SOF: marker, length, precision, height, width.
fn enlarge_jpeg(file: &mut [u8]) {
    let mut at = 2;
    while !matches!(file[at + 1], 0xc0..=0xc2) {
        at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    }
    file[at + 5..at + 7].copy_from_slice(&ENORMOUS.1.to_be_bytes());
    file[at + 7..at + 9].copy_from_slice(&ENORMOUS.0.to_be_bytes());
}

/// RIFF, size, WEBP, `VP8 `, size, frame tag, start code, width, height.
fn enlarge_webp(file: &mut [u8]) {
    file[26..28].copy_from_slice(&ENORMOUS.0.to_le_bytes());
    file[28..30].copy_from_slice(&ENORMOUS.1.to_le_bytes());
}
