//! Bytes as images, as strictly as a crawler looks at them.

use cah_protocol::Outcome;
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

const WORTHWHILE_BYTES: usize = 5_000;
const PIXEL_LIMIT: usize = 89_478_484;

/// Width and height of a whole image, or why it is none.
pub(crate) fn decode(bytes: &[u8]) -> Result<(usize, usize), Outcome> {
    if bytes.len() < WORTHWHILE_BYTES {
        return Err(Outcome::ImageTooSmall);
    }
    match bytes {
        [0xff, 0xd8, 0xff, ..] => jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
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
        ] => webp(bytes),
        _ => Err(Outcome::UnknownFormat),
    }
}

fn limit(width: usize, height: usize) -> Result<(usize, usize), Outcome> {
    match width * height <= PIXEL_LIMIT {
        true => Ok((width, height)),
        false => Err(Outcome::TooManyPixels),
    }
}

fn jpeg(bytes: &[u8]) -> Result<(usize, usize), Outcome> {
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
    decoder
        .decode_headers()
        .map_err(|_| Outcome::ImageDamaged)?;
    let (width, height) = decoder.dimensions().ok_or(Outcome::ImageDamaged)?;
    limit(width, height)?;
    decoder.decode().map_err(|_| Outcome::ImageDamaged)?;
    Ok((width, height))
}

fn png(bytes: &[u8]) -> Result<(usize, usize), Outcome> {
    let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    limit(side(16), side(20))?;
    let image = image::load_from_memory(bytes).map_err(|_| Outcome::ImageDamaged)?;
    Ok((image.width() as usize, image.height() as usize))
}

fn webp(bytes: &[u8]) -> Result<(usize, usize), Outcome> {
    if let Some(features) = webp::BitstreamFeatures::new(bytes) {
        limit(features.width() as usize, features.height() as usize)?;
    }
    let image = webp::Decoder::new(bytes)
        .decode()
        .ok_or(Outcome::ImageDamaged)?;
    Ok((image.width() as usize, image.height() as usize))
}
