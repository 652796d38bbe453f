//! WEBP; of an animated one its first frame.

use webp::{BitstreamFeatures, Decoder};

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let features = features(bytes)?;
    let permit = limits.admit(features.width(), features.height())?;
    let image = match features.has_animation() {
        true => first_frame(bytes, &features, limits)?,
        false => still(bytes)?,
    };
    let payload = |name: &[u8; 4]| {
        let found = chunks(bytes.get(12..)?).find(|chunk| chunk.name == *name)?;
        Some(found.payload)
    };
    Ok(Frame {
        image,
        orientation: Orientation::of(payload(b"EXIF"), payload(b"XMP ")),
        permit,
    })
}

fn features(bytes: &[u8]) -> Result<BitstreamFeatures, DecodeError> {
    BitstreamFeatures::new(bytes).ok_or_else(|| DecodeError::damaged("no WEBP header"))
}

/// Decodes a file without animation whose size was checked.
fn still(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let image = Decoder::new(bytes)
        .decode()
        .ok_or_else(|| DecodeError::damaged("the WEBP bitstream is broken or cut off"))?;
    let (width, height) = (image.width(), image.height());
    let pixels = match image.is_alpha() {
        false => image.to_vec(),
        true => image
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect(),
    };
    Ok(RgbImage::new(width, height, pixels))
}

/// The first frame on its black canvas. libwebp's own reader of animations decodes all frames, however
/// many there are, so the first is taken out of its wrapping and decoded as a file of its own.
fn first_frame(
    bytes: &[u8],
    canvas: &BitstreamFeatures,
    limits: &Limits,
) -> Result<RgbImage, DecodeError> {
    let animation_frame = chunks(bytes.get(12..).unwrap_or_default())
        .find(|chunk| chunk.name == *b"ANMF")
        .ok_or_else(|| DecodeError::damaged("an animation without a frame"))?;
    let frame = AnimationFrame::parse(animation_frame.payload)
        .ok_or_else(|| DecodeError::damaged("the first frame is cut off"))?;
    let (width, height) = (canvas.width(), canvas.height());
    let inner = features(&frame.file)?;
    limits.check_size(inner.width(), inner.height())?;
    if inner.has_animation()
        || frame.left + inner.width() > width
        || frame.top + inner.height() > height
    {
        return Err(DecodeError::damaged("the first frame juts out"));
    }
    let image = still(&frame.file)?;
    if (image.width(), image.height()) == (width, height) {
        return Ok(image);
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    for (y, row) in image.rows().enumerate() {
        let start = ((frame.top as usize + y) * width as usize + frame.left as usize) * 3;
        pixels[start..start + row.len()].copy_from_slice(row);
    }
    Ok(RgbImage::new(width, height, pixels))
}

/// A frame of an animation, wrapped as a file.
struct AnimationFrame {
    left: u32,
    top: u32,
    file: Vec<u8>,
}

impl AnimationFrame {
    /// Reads an ANMF payload: offsets in units of two pixels, size less one, duration, flags; then an
    /// optional ALPH chunk and the bitstream.
    fn parse(payload: &[u8]) -> Option<Self> {
        let (head, data) = payload.split_at_checked(16)?;
        let u24 = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]);
        let (width_less_one, height_less_one) = (u24(6), u24(9));
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        if chunks(data).any(|chunk| chunk.name == *b"ALPH") {
            file.extend(b"VP8X\x0a\0\0\0\x10\0\0\0");
            file.extend(&width_less_one.to_le_bytes()[..3]);
            file.extend(&height_less_one.to_le_bytes()[..3]);
        }
        file.extend(data);
        let riff_size = u32::try_from(file.len() - 8).ok()?;
        file[4..8].copy_from_slice(&riff_size.to_le_bytes());
        Some(Self {
            left: u24(0) * 2,
            top: u24(3) * 2,
            file,
        })
    }
}

/// A chunk of a RIFF file.
struct Chunk<'a> {
    name: [u8; 4],
    payload: &'a [u8],
}

/// The chunks one after the other, up to the first that is cut off.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let name = *bytes.first_chunk()?;
        let size = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
        let payload = bytes.get(8..)?.get(..size)?;
        // Chunks are padded to an even length.
        bytes = bytes.get(8 + size + size % 2..).unwrap_or_default();
        Some(Chunk { name, payload })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_where_the_bytes_do() {
        let bytes = b"EXIF\x03\0\0\0abc\0VP8 \x01\0\0\0xICCP\xff\xff\xff\xff";
        let found: Vec<_> = chunks(bytes).map(|c| (c.name, c.payload.len())).collect();
        assert_eq!(found, [(*b"EXIF", 3), (*b"VP8 ", 1)]);
    }
}
