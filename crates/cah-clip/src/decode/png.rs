//! PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Transformations};

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

/// What chunks besides the pixels may take.
const ANCILLARY_BYTES: usize = 16 << 20;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let mut decoder = Decoder::new_with_limits(
        Cursor::new(bytes),
        png::Limits {
            bytes: ANCILLARY_BYTES,
        },
    );
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(DecodeError::damaged)?;
    let (width, height) = (header.width, header.height);
    limits.check_size(width, height)?;
    let transformations = transformations(header.color_type, header.bit_depth);
    decoder.set_transformations(transformations);
    // The decoder counts some rows against its limit: at most 8 bytes a pixel, a few times.
    decoder.set_limits(png::Limits {
        bytes: ANCILLARY_BYTES + width as usize * 64,
    });

    let mut reader = decoder.read_info().map_err(DecodeError::damaged)?;
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| DecodeError::damaged("the image is too large"))?;
    let mut buffer = vec![0; size];
    let output = reader
        .next_frame(&mut buffer)
        .map_err(DecodeError::damaged)?;
    buffer.truncate(output.buffer_size());
    // The EXIF block may stand behind the pixels. What comes there may be broken, as Pillow has it.
    let _ = reader.finish();
    let orientation = reader
        .info()
        .exif_metadata
        .as_deref()
        .map_or(Orientation::default(), Orientation::from_exif);
    let pixels = to_rgb(buffer, output.color_type, output.bit_depth)?;
    if pixels.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(DecodeError::damaged("the frame is smaller than the image"));
    }
    Ok(Frame {
        image: RgbImage::new(width, height, pixels),
        orientation,
    })
}

/// Palettes and fewer than 8 bits are expanded, of 16 bits the high byte is kept. 16-bit grey is left
/// as it is: Pillow clips it.
fn transformations(color: ColorType, depth: BitDepth) -> Transformations {
    match (color, depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => Transformations::IDENTITY,
        _ => Transformations::EXPAND | Transformations::STRIP_16,
    }
}

fn to_rgb(buffer: Vec<u8>, color: ColorType, depth: BitDepth) -> Result<Vec<u8>, DecodeError> {
    match (color, depth) {
        (ColorType::Rgb, BitDepth::Eight) => Ok(buffer),
        (ColorType::Rgba, BitDepth::Eight) => Ok(without_fourth(buffer)),
        (ColorType::Grayscale, BitDepth::Eight) => Ok(repeated(buffer.iter().copied())),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            Ok(repeated(buffer.chunks_exact(2).map(|pair| pair[0])))
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let clipped = |pair: &[u8]| if pair[0] > 0 { 255 } else { pair[1] };
            Ok(repeated(buffer.chunks_exact(2).map(clipped)))
        }
        (color, depth) => Err(DecodeError::damaged(format!(
            "{color:?} of {depth:?} bits is not known"
        ))),
    }
}

/// Three equal channels of one.
fn repeated(grey: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(grey.len() * 3);
    for level in grey {
        pixels.extend_from_slice(&[level; 3]);
    }
    pixels
}

/// The first three of four channels, moved together in place.
fn without_fourth(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for index in 1..count {
        pixels.copy_within(index * 4..index * 4 + 3, index * 3);
    }
    pixels.truncate(count * 3);
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_channel_is_dropped() {
        assert_eq!(
            without_fourth(vec![1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0]),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
        assert!(without_fourth(Vec::new()).is_empty());
    }
}
