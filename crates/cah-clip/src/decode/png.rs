//! PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Info, Transformations};

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

/// What chunks besides the pixels may take: as much as Pillow lets texts have.
const ANCILLARY_BYTES: usize = 64 << 20;

/// The longest text that is unpacked; Pillow's limit.
const MAX_TEXT_BYTES: usize = 1 << 20;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let mut decoder = Decoder::new_with_limits(
        Cursor::new(bytes),
        png::Limits {
            bytes: ANCILLARY_BYTES,
        },
    );
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(DecodeError::damaged)?;
    let (width, height) = (header.width, header.height);
    let permit = limits.admit(width, height)?;
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
    // What says the orientation may stand behind the pixels. What comes there may be broken, as Pillow has it.
    let _ = reader.finish();
    let orientation = orientation(reader.info());
    let pixels = to_rgb(buffer, output.color_type, output.bit_depth)?;
    if pixels.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(DecodeError::damaged("the frame is smaller than the image"));
    }
    Ok(Frame {
        image: RgbImage::new(width, height, pixels),
        orientation,
        permit,
    })
}

fn orientation(info: &Info<'_>) -> Orientation {
    let profile = || raw_profile(&profile_text(info)?);
    let exif = match &info.exif_metadata {
        Some(exif) => Some(exif.to_vec()),
        None => profile(),
    };
    let xmp = info
        .utf8_text
        .iter()
        .rfind(|text| text.keyword == "XML:com.adobe.xmp")
        .and_then(|text| {
            let mut text = text.clone();
            text.decompress_text_with_limit(MAX_TEXT_BYTES).ok()?;
            text.get_text().ok()
        });
    Orientation::of(exif.as_deref(), xmp.as_deref().map(str::as_bytes))
}

/// EXIF as ImageMagick wrote it before PNG had a chunk for it.
fn profile_text(info: &Info<'_>) -> Option<String> {
    const KEYWORD: &str = "Raw profile type exif";
    let plain = info.uncompressed_latin1_text.iter();
    if let Some(text) = plain.rev().find(|text| text.keyword == KEYWORD) {
        return Some(text.text.clone());
    }
    let mut packed = info.compressed_latin1_text.iter();
    let mut text = packed.rfind(|text| text.keyword == KEYWORD)?.clone();
    text.decompress_text_with_limit(MAX_TEXT_BYTES).ok()?;
    text.get_text().ok()
}

/// The bytes of a profile: an empty line, its name, its length, then lines of hexadecimal digits.
fn raw_profile(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .split('\n')
        .skip(3)
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?))
        .collect()
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
    fn a_profile_is_read_from_its_third_line_on() {
        let bytes = raw_profile("\nexif\n       4\n4578\n69 66\n");
        assert_eq!(bytes.as_deref(), Some(&b"Exif"[..]));
        assert_eq!(raw_profile("\nexif\n4\n457"), None);
        assert_eq!(raw_profile("\nexif\n4\nno"), None);
        assert_eq!(raw_profile(""), Some(Vec::new()));
    }

    #[test]
    fn the_fourth_channel_is_dropped() {
        assert_eq!(
            without_fourth(vec![1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0]),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
        assert!(without_fourth(Vec::new()).is_empty());
    }
}
