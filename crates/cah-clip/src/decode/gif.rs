//! GIF, its first frame.

use std::{io::Cursor, num::NonZeroU64};

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use super::{DecodeError, Frame, Limits, Orientation};
use crate::image::RgbImage;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(
        NonZeroU64::new(limits.max_pixels).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes),
    );
    let mut decoder = options
        .read_info(Cursor::new(bytes))
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
    limits.check_size(width, height)?;
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
    })
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

/// The colours, filled up to 256 with black.
struct Palette([[u8; 3]; 256]);

impl Palette {
    fn new(bytes: &[u8]) -> Self {
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
