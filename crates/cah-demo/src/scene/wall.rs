//! Backgrounds: plain, striped, checked, dotted, fading, speckled, or warning tape.

use super::compose::Ground;
use super::outline::Point;
use super::paint::{Paint, blend, coverage, shade};
use super::rng::{Rng, mix};
use super::vocabulary::Texture;

/// The background with everything random about it drawn.
pub(super) struct Wall {
    texture: Texture,
    first: Paint,
    second: Paint,
    /// Unit vector across stripes and along gradients.
    across: Point,
    period: f32,
    phase: Point,
    speckle: u64,
}

impl Wall {
    pub(super) fn new(ground: &Ground, rng: &mut Rng) -> Self {
        let angle = match ground.texture {
            Texture::Hazard => rng.pick(&[-1.0, 1.0]) * rng.range(0.65, 0.9),
            Texture::Gradient => rng.range(0.0, std::f32::consts::TAU),
            _ => rng.pick(&[0.0, std::f32::consts::FRAC_PI_2]),
        };
        Self {
            texture: ground.texture,
            first: shade(ground.colour, rng),
            second: shade(ground.second, rng),
            across: Point::new(angle.cos(), angle.sin()),
            period: rng.range(0.34, 0.62),
            phase: Point::new(rng.unit(), rng.unit()),
            speckle: rng.bits(),
        }
    }

    /// The background's colour at `p`, where a unit is `pixels` pixels long.
    pub(super) fn paint(&self, p: Point, pixels: f32) -> Paint {
        let share = match self.texture {
            Texture::Plain => 0.0,
            Texture::Stripes | Texture::Hazard => {
                coverage(self.stripe(p.dot(self.across), self.phase.x), pixels)
            }
            Texture::Checks => {
                let across = self.stripe(p.x, self.phase.x);
                let down = self.stripe(p.y, self.phase.y);
                let edge = across.abs().min(down.abs());
                coverage(edge.copysign(across * down), pixels)
            }
            Texture::Dots => coverage(self.dot(p), pixels),
            Texture::Gradient => (p.dot(self.across) * 0.55 + 0.5).clamp(0.0, 1.0),
            Texture::Speckle => return self.speckled(p),
        };
        blend(self.first, self.second, share)
    }

    /// Signed distance from the nearest edge of stripes across one coordinate.
    fn stripe(&self, coordinate: f32, phase: f32) -> f32 {
        let position = (coordinate / self.period + phase).rem_euclid(1.0);
        ((position - 0.5).abs() - 0.25) * self.period
    }

    /// Signed distance from the nearest of a lattice of dots.
    fn dot(&self, p: Point) -> f32 {
        let cell =
            |coordinate: f32, phase: f32| (coordinate / self.period + phase).rem_euclid(1.0) - 0.5;
        let offset = Point::new(cell(p.x, self.phase.x), cell(p.y, self.phase.y));
        (offset.length() - 0.31) * self.period
    }

    /// Lighter and darker grains of one colour.
    fn speckled(&self, p: Point) -> Paint {
        const GRAINS: f32 = 14.0;
        let lattice = |coordinate: f32| ((coordinate * GRAINS).floor() as i64) as u64;
        let key = lattice(p.x) ^ lattice(p.y).rotate_left(32) ^ self.speckle;
        let tone = (mix(key) >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        self.first.map(|channel| channel + 84.0 * tone)
    }
}
