//! JPEG.

use std::borrow::Cow;

use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

/// JPEG's own limit on a side.
const MAX_SIDE: usize = 65_535;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let structure = Structure::of(bytes);
    let bytes = structure.with_clear_colors(bytes);
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_ref()), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| DecodeError::damaged("no frame header"))?;
    // Both are at most MAX_SIDE.
    let (width, height) = (width as u32, height as u32);
    let permit = limits.admit(width, height)?;
    structure.check_complete()?;
    let (exif, xmp) = (decoder.exif(), decoder.xmp());
    let orientation = Orientation::of(exif.map(Vec::as_slice), xmp.map(Vec::as_slice));
    let pixels = decoder.decode().map_err(damaged)?;
    Ok(Frame {
        image: RgbImage::new(width, height, pixels),
        orientation,
        permit,
    })
}

fn damaged(error: zune_jpeg::errors::DecodeErrors) -> DecodeError {
    DecodeError::damaged(format!("{error:?}"))
}

/// What the markers of a file say, as far as the decoder does not.
#[derive(Default)]
struct Structure {
    /// Offsets of the component identifiers in the frame header and in each scan header.
    components: Vec<Vec<usize>>,
    /// Offset of the colour transform in Adobe's marker.
    adobe_transform: Option<usize>,
    /// Whether the JFIF marker is there.
    jfif: bool,
    /// Whether the end of the image is there.
    complete: bool,
}

impl Structure {
    /// Walks from marker to marker. Entropy-coded data holds 0xFF only before 0x00 and restart markers.
    fn of(bytes: &[u8]) -> Self {
        let mut structure = Self::default();
        let mut at = 2;
        while let Some(skip) = memchr::memchr(0xff, bytes.get(at..).unwrap_or_default()) {
            at += skip;
            let Some(&marker) = bytes.get(at + 1) else {
                break;
            };
            match marker {
                0xff => at += 1,
                0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
                0xd9 => {
                    structure.complete = true;
                    break;
                }
                _ => {
                    let Some(length) = segment_length(bytes, at + 2) else {
                        break;
                    };
                    structure.note(marker, bytes, at + 4..at + 2 + length);
                    at += 2 + length;
                }
            }
        }
        structure
    }

    fn note(&mut self, marker: u8, bytes: &[u8], payload: std::ops::Range<usize>) {
        let start = payload.start;
        let Some(segment) = bytes.get(payload) else {
            return;
        };
        match marker {
            // SOF0 to SOF2: precision, height, width, count, then (id, sampling, table) each.
            0xc0..=0xc2 if segment.len() >= 6 => {
                let listed = segment.len().saturating_sub(6) / 3;
                self.note_components(start + 6, 3, listed.min(usize::from(segment[5])));
            }
            // SOS: count, then (id, tables) each.
            0xda if !segment.is_empty() => {
                let listed = segment.len().saturating_sub(4) / 2;
                self.note_components(start + 1, 2, listed.min(usize::from(segment[0])));
            }
            0xee if segment.len() >= 12 && segment.starts_with(b"Adobe") => {
                self.adobe_transform = Some(start + 11);
            }
            0xe0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            _ => {}
        }
    }

    fn note_components(&mut self, start: usize, stride: usize, count: usize) {
        self.components
            .push((0..count).map(|index| start + index * stride).collect());
    }

    /// A copy whose colours the decoder reads as libjpeg reads those of `bytes`, where it would not.
    ///
    /// By libjpeg, JFIF means YCbCr; else Adobe's transform counts, 0 for none, whatever else for one; else
    /// the names R, G, B mean RGB. The decoder goes by the names, then by the transform.
    fn with_clear_colors<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(frame) = self.components.first() else {
            return Cow::Borrowed(bytes);
        };
        let names: Vec<_> = frame.iter().map(|at| bytes[*at]).collect();
        let is_named_rgb = names == *b"RGB";
        let transform = self.adobe_transform.map(|at| bytes[at]);
        let (wanted_transform, is_rgb) = match names.len() {
            3 if self.jfif => (1, false),
            3 => (
                1,
                transform.map_or(is_named_rgb, |transform| transform == 0),
            ),
            4 => (transform.map_or(0, |transform| transform.min(1) * 2), false),
            _ => return Cow::Borrowed(bytes),
        };
        if is_rgb == is_named_rgb && transform.is_none_or(|found| found == wanted_transform) {
            return Cow::Borrowed(bytes);
        }
        let mut copy = bytes.to_vec();
        if let Some(at) = self.adobe_transform {
            copy[at] = wanted_transform;
        }
        if is_rgb != is_named_rgb {
            self.rename(
                &mut copy,
                &names,
                if is_rgb { b"RGB" } else { b"\x01\x02\x03" },
            );
        }
        Cow::Owned(copy)
    }

    /// Gives the components other identifiers, in the frame header and in all scan headers.
    fn rename(&self, bytes: &mut [u8], from: &[u8], to: &[u8]) {
        for at in self.components.iter().flatten() {
            if let Some(index) = from.iter().position(|name| *name == bytes[*at]) {
                bytes[*at] = to[index];
            }
        }
    }

    /// Pillow refuses a file without its end, and so do we: half an image is not what was captioned.
    fn check_complete(&self) -> Result<(), DecodeError> {
        match self.complete {
            true => Ok(()),
            false => Err(DecodeError::damaged("the file is cut off")),
        }
    }
}

/// The length in a segment's first two bytes, which counts these two.
fn segment_length(bytes: &[u8], at: usize) -> Option<usize> {
    let length = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    (length >= 2).then_some(usize::from(length))
}
