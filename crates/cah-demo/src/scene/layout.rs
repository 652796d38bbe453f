//! Where the objects of a scene are drawn: in the central square, apart from each other.

use super::compose::{Arrangement, Kind};
use super::outline::Point;
use super::paint::{Paint, blend, coverage, shade};
use super::rng::Rng;
use super::vocabulary::{Place, Size};

/// One object where it is drawn.
pub(super) struct Object {
    kind: Kind,
    paint: Paint,
    centre: Point,
    radius: f32,
    /// Sine and cosine of its tilt.
    tilt: (f32, f32),
}

impl Object {
    fn new(kind: Kind, centre: Point, radius: f32, rng: &mut Rng) -> Self {
        Self {
            kind,
            paint: shade(kind.colour, rng),
            centre,
            radius,
            tilt: rng.range(-0.2, 0.2).sin_cos(),
        }
    }

    /// What is seen at `p`, where a unit is `pixels` pixels long and `below` lies behind.
    pub(super) fn over(&self, below: Paint, p: Point, pixels: f32) -> Paint {
        let local = p.minus(self.centre).times(1.0 / self.radius);
        // No outline reaches further than this, and most pixels lie outside.
        if local.x.abs() > 1.2 || local.y.abs() > 1.2 {
            return below;
        }
        let distance = self.kind.shape.distance(local.rotated(self.tilt)) * self.radius;
        blend(below, self.paint, coverage(distance, pixels))
    }
}

/// Lays out the objects of `arrangement`.
pub(super) fn place(arrangement: &Arrangement, rng: &mut Rng) -> Vec<Object> {
    match *arrangement {
        Arrangement::Single { kind, place, size } => vec![place_single(kind, place, size, rng)],
        Arrangement::Group { kind, count } => place_group(kind, usize::from(count), rng),
        Arrangement::Pair {
            first,
            relation,
            second,
        } => {
            let (x, y) = relation.direction();
            [(first, 1.0), (second, -1.0)]
                .map(|(kind, side)| {
                    // The objects keep to their sides and drift across them.
                    let drift = rng.range(-0.3, 0.3);
                    let middle = 0.48 * side;
                    let centre = Point::new(
                        x * middle + x.abs().mul_add(-drift, drift),
                        y * middle + y.abs().mul_add(-drift, drift),
                    );
                    let radius = rng.range(0.32, 0.42);
                    Object::new(kind, centre, radius, rng)
                })
                .into()
        }
    }
}

fn place_single(kind: Kind, place: Place, size: Size, rng: &mut Rng) -> Object {
    let radius = match size {
        Size::Small => rng.range(0.2, 0.25),
        Size::Medium => rng.range(0.36, 0.42),
        Size::Large => rng.range(0.62, 0.78),
    };
    let (x, y) = place.direction();
    let offset = (0.94 - radius).min(0.58);
    let mut jitter = || rng.range(-0.04, 0.04);
    let centre = Point::new(x * offset + jitter(), y * offset + jitter());
    Object::new(kind, centre, radius, rng)
}

/// Each object in a quarter of its own.
fn place_group(kind: Kind, count: usize, rng: &mut Rng) -> Vec<Object> {
    let mut quarters = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
    rng.shuffle(&mut quarters);
    quarters[..count]
        .iter()
        .map(|&(x, y)| {
            let mut jitter = || rng.range(-0.06, 0.06);
            let centre = Point::new(x * 0.47 + jitter(), y * 0.47 + jitter());
            let radius = rng.range(0.3, 0.4);
            Object::new(kind, centre, radius, rng)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::compose::Scene;
    use super::super::vocabulary::{Colour, Relation, Shape};
    use super::*;

    #[test]
    fn pairs_keep_their_relation() {
        for relation in Relation::ALL.iter().copied() {
            let [first, second] = [Colour::Red, Colour::Green].map(|colour| Kind {
                colour,
                shape: Shape::Circle,
            });
            let pair = Arrangement::Pair {
                first,
                relation,
                second,
            };
            let objects = place(&pair, &mut Rng::new(8));
            let (x, y) = relation.direction();
            let between = objects[0].centre.minus(objects[1].centre);
            assert!(between.dot(Point::new(x, y)) > 0.9, "{relation:?}");
        }
    }

    #[test]
    fn objects_stay_in_the_central_square_and_apart() {
        for index in 0..2_000 {
            let mut rng = Rng::nth(31, index);
            let objects = place(&Scene::random(&mut rng).arrangement, &mut rng);
            for (nth, object) in objects.iter().enumerate() {
                let reach = object.centre.x.abs().max(object.centre.y.abs()) + object.radius;
                assert!(reach < 1.0, "{reach}");
                for other in &objects[..nth] {
                    let gap = object.centre.minus(other.centre).length();
                    assert!(gap > 0.9 * (object.radius + other.radius), "{gap}");
                }
            }
        }
    }
}
