//! The images that `tests/golden/common.py` computes too.

use cah_clip::RgbImage;

/// Waves, edges and noise, in whole numbers.
pub(crate) fn scene(width: u32, height: u32, seed: u32) -> RgbImage {
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|channel| level(x, y, channel, seed)));
        }
    }
    RgbImage::new(width, height, data)
}

fn level(x: u32, y: u32, channel: u32, seed: u32) -> u8 {
    let period = 23 + 14 * channel + seed % 7;
    let phase = (x * (3 + channel) + y * (5 - channel)) % (2 * period);
    let wave = phase.min(2 * period - phase) * 160 / period;
    let edge = (x / (17 + channel) + y / 11) % 2 * 40;
    let mut hash = x
        .wrapping_mul(0x9e37_79b1)
        .wrapping_add(y.wrapping_mul(0x85eb_ca77))
        .wrapping_add((seed * 3 + channel).wrapping_mul(0x27d4_eb2f));
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x2c1b_3c6d);
    hash ^= hash >> 12;
    (wave + edge + hash % 56) as u8
}
