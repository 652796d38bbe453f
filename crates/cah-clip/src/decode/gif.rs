//! GIF, its first frame.

use std::{
    io::{Cursor, Read},
    num::NonZeroU64,
};

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

/// The signature and the screen descriptor, which end with flags, background and aspect.
const HEADER_BYTES: usize = 13;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(
        NonZeroU64::new(limits.max_pixels).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let (header, rest) = with_table(bytes);
    let mut decoder = options
        .read_info(header.chain(rest))
        .map_err(DecodeError::damaged)?;
    let screen = (u32::from(decoder.width()), u32::from(decoder.height()));
    let frame = decoder
        .next_frame_info()
        .map_err(DecodeError::damaged)?
        .ok_or_else(|| DecodeError::damaged("no frame"))?;
    let place = Place::new(frame);
    // A frame that juts out widens the screen.
    let width = screen.0.max(place.left + place.width);
    let height = screen.1.max(place.top + place.height);
    let permit = limits.admit(width, height)?;
    limits.check_size(place.width, place.height)?;

    let background = frame.transparent.unwrap_or(0);
    let mut indices = vec![0; decoder.buffer_size()];
    let palette = Palette::new(decoder.palette().map_err(DecodeError::damaged)?);
    decoder
        .read_into_buffer(&mut indices)
        .map_err(DecodeError::damaged)?;

    let mut pixels = palette
        .color(background)
        .repeat(width as usize * height as usize);
    for (y, row) in indices.chunks_exact(place.width as usize).enumerate() {
        let start = ((place.top as usize + y) * width as usize + place.left as usize) * 3;
        let target = &mut pixels[start..start + row.len() * 3];
        for (pixel, index) in target.chunks_exact_mut(3).zip(row) {
            pixel.copy_from_slice(&palette.color(*index));
        }
    }
    Ok(Frame {
        image: RgbImage::new(width, height, pixels),
        orientation: Orientation::default(),
        permit,
    })
}

/// A header with a table of 256 greys where the file has none for all its frames, and what comes behind it: the decoder
/// refuses frames without any colours, which Pillow reads as grey.
fn with_table(bytes: &[u8]) -> (impl Read, &[u8]) {
    const HAS_TABLE: u8 = 0x80;
    const SIZE_256: u8 = 0x07;
    let (header, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES));
    let mut header = header.to_vec();
    if header.len() == HEADER_BYTES && header[10] & HAS_TABLE == 0 {
        header[10] |= HAS_TABLE | SIZE_256;
        header.extend(Palette::greys().0.as_flattened());
    }
    (Cursor::new(header), rest)
}

/// Where on the screen the frame lies.
struct Place {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Place {
    fn new(frame: &gif::Frame<'_>) -> Self {
        Self {
            left: frame.left.into(),
            top: frame.top.into(),
            width: frame.width.into(),
            height: frame.height.into(),
        }
    }
}

/// The colours, filled up to 256 with black; greys where they only count up, which Pillow takes for no colours.
struct Palette([[u8; 3]; 256]);

impl Palette {
    fn greys() -> Self {
        Self(std::array::from_fn(|level| [level as u8; 3]))
    }

    fn new(bytes: &[u8]) -> Self {
        let greys = Self::greys();
        if greys.0.as_flattened().starts_with(bytes) {
            return greys;
        }
        let mut colors = [[0; 3]; 256];
        for (color, entry) in colors.iter_mut().zip(bytes.chunks_exact(3)) {
            color.copy_from_slice(entry);
        }
        Self(colors)
    }

    fn color(&self, index: u8) -> [u8; 3] {
        self.0[usize::from(index)]
    }
}
