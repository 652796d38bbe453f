//! Colours while a picture is drawn: shades, edges and blending.

use super::rng::Rng;
use super::vocabulary::Colour;

/// A colour as linear steps of 8-bit sRGB; may leave 0..=255 until it is stored.
pub(super) type Paint = [f32; 3];

/// How much of a pixel lies inside an edge that is `distance` away, 0 to 1.
pub(super) fn coverage(distance: f32, pixels_per_unit: f32) -> f32 {
    (0.5 - distance * pixels_per_unit).clamp(0.0, 1.0)
}

pub(super) fn blend(from: Paint, to: Paint, share: f32) -> Paint {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// A shade of the colour: no two pictures use quite the same red.
pub(super) fn shade(colour: Colour, rng: &mut Rng) -> Paint {
    let all = rng.range(-10.0, 10.0);
    colour
        .rgb()
        .map(|channel| f32::from(channel) + all + rng.range(-8.0, 8.0))
}
