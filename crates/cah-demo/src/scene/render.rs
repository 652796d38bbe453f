//! Scenes as pixels: antialiased at any size, with uneven light and grain, so that
//! the files compress like photographs rather than like drawings.

use image::{Rgb, RgbImage};

use super::compose::Scene;
use super::layout::place;
use super::outline::Point;
use super::paint::Paint;
use super::rng::{Rng, mix};
use super::wall::Wall;

impl Scene {
    /// Draws the scene. All objects lie in the central square, so that a centre
    /// crop, such as CLIP's, cuts none of them. A JPEG of quality 85 weighs more than
    /// 5,000 bytes from about 130 px on, a PNG at any size from 64 px.
    ///
    /// # Panics
    /// When `width` or `height` is 0.
    pub fn render(&self, width: u32, height: u32) -> RgbImage {
        assert!(width > 0 && height > 0, "a picture needs pixels");
        let frame = Frame::new(width, height);
        let mut rng = Rng::new(self.look);
        let wall = Wall::new(&self.ground, &mut rng);
        let objects = place(&self.arrangement, &mut rng);
        let film = Film::new(&frame, &mut rng);
        RgbImage::from_fn(width, height, |column, row| {
            let point = frame.point(column, row);
            let behind = wall.paint(point, frame.half);
            let paint = objects.iter().fold(behind, |below, object| {
                object.over(below, point, frame.half)
            });
            film.expose(paint, point, column, row)
        })
    }
}

/// From pixels to the plane in which the central square is `[-1, 1]²`.
struct Frame {
    half: f32,
    centre: Point,
}

impl Frame {
    fn new(width: u32, height: u32) -> Self {
        Self {
            half: width.min(height) as f32 / 2.0,
            centre: Point::new(width as f32 / 2.0, height as f32 / 2.0),
        }
    }

    fn point(&self, column: u32, row: u32) -> Point {
        Point::new(column as f32 + 0.5, row as f32 + 0.5)
            .minus(self.centre)
            .times(1.0 / self.half)
    }
}

/// What the camera adds: light from one side and grain.
struct Film {
    light: Point,
    brightness: f32,
    grain: f32,
    seed: u64,
}

impl Film {
    fn new(frame: &Frame, rng: &mut Rng) -> Self {
        let angle = rng.range(0.0, std::f32::consts::TAU);
        let strength = rng.range(0.0, 0.09);
        Self {
            light: Point::new(angle.cos(), angle.sin()).times(strength),
            brightness: rng.range(0.94, 1.04),
            // A thumbnail of a photograph holds as much detail in fewer pixels.
            grain: rng.range(5.0, 9.0) * (160.0 / frame.half).sqrt().clamp(0.6, 2.2),
            seed: rng.bits(),
        }
    }

    fn expose(&self, paint: Paint, p: Point, column: u32, row: u32) -> Rgb<u8> {
        let light = self.brightness + p.dot(self.light).clamp(-0.15, 0.15);
        let bits = mix(self.seed ^ (u64::from(row) << 32 | u64::from(column)));
        // Grain is mostly brightness, and a little colour of its own.
        let tone = bell(bits) * self.grain;
        let tint = [bits, bits >> 16, bits >> 32].map(|bits| (bits & 0xFF) as f32 / 255.0 - 0.5);
        Rgb(std::array::from_fn(|channel| {
            let grain = tone + tint[channel] * self.grain;
            (paint[channel] * light + grain).round().clamp(0.0, 255.0) as u8
        }))
    }
}

/// Near enough a normal deviate: the sum of four bytes, to variance 1.
fn bell(bits: u64) -> f32 {
    let sum: u64 = (0..4).map(|byte| (bits >> (32 + 8 * byte)) & 0xFF).sum();
    (sum as f32 - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    use super::super::compose::{Arrangement, Ground, Kind};
    use super::super::vocabulary::{Colour, Place, Shape, Size, Texture};
    use super::*;

    fn bare(kind: Kind) -> Scene {
        Scene {
            ground: Ground {
                texture: Texture::Plain,
                colour: Colour::White,
                second: Colour::White,
            },
            arrangement: Arrangement::Single {
                kind,
                place: Place::TopLeft,
                size: Size::Medium,
            },
            look: 3,
        }
    }

    fn mean(image: &RgbImage, x: u32, y: u32, side: u32) -> [f32; 3] {
        let mut sum = [0.0; 3];
        for (row, column) in (y..y + side).flat_map(|row| (x..x + side).map(move |c| (row, c))) {
            for (total, &value) in sum.iter_mut().zip(&image.get_pixel(column, row).0) {
                *total += f32::from(value);
            }
        }
        sum.map(|total| total / (side * side) as f32)
    }

    #[test]
    fn objects_lie_where_the_scene_says() {
        let scene = bare(Kind {
            colour: Colour::Blue,
            shape: Shape::Circle,
        });
        // A wide picture: the object is in the corner of the central square.
        let image = scene.render(300, 100);
        let object = mean(&image, 116, 16, 10);
        let wall = mean(&image, 180, 80, 10);
        assert!(object[2] > 150.0 && object[0] < 90.0, "{object:?}");
        assert!(wall.iter().all(|&channel| channel > 190.0), "{wall:?}");
    }

    #[test]
    fn same_scene_gives_same_pixels_and_every_shape_of_picture_works() {
        let scene = Scene::random(&mut Rng::new(12));
        assert_eq!(scene.render(90, 64), scene.render(90, 64));
        for (width, height) in [(1, 1), (64, 400), (400, 64), (33, 77)] {
            assert_eq!(scene.render(width, height).dimensions(), (width, height));
        }
    }

    #[test]
    fn files_weigh_as_much_as_photographs() {
        for index in 0..20 {
            let scene = Scene::random(&mut Rng::nth(32, index));
            let mut jpeg = Vec::new();
            let picture = scene.render(130, 130);
            jpeg_encoder::Encoder::new(&mut jpeg, 85)
                .encode(&picture, 130, 130, jpeg_encoder::ColorType::Rgb)
                .unwrap();
            assert!(jpeg.len() > 5_000, "{} bytes of JPEG", jpeg.len());
            let mut png = std::io::Cursor::new(Vec::new());
            scene
                .render(64, 64)
                .write_to(&mut png, image::ImageFormat::Png)
                .unwrap();
            assert!(
                png.get_ref().len() > 5_000,
                "{} of PNG",
                png.get_ref().len()
            );
        }
    }
}
