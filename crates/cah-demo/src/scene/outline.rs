//! Shapes as signed distances: how far a point lies outside the outline, negative
//! inside, for a shape that fills the unit circle. x goes right, y goes down.

use super::vocabulary::Shape;

/// A point or a vector in the picture's plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    pub(super) fn times(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub(super) fn rotated(self, (sin, cos): (f32, f32)) -> Self {
        Self::new(cos * self.x - sin * self.y, sin * self.x + cos * self.y)
    }
}

impl Shape {
    /// Signed distance of `p` from the outline; its zero set is exact, its size
    /// is right near the outline, which is where antialiasing looks.
    pub(super) fn distance(self, p: Point) -> f32 {
        match self {
            Shape::Circle => circle(p, Point::new(0.0, 0.0), 0.9),
            Shape::Square => rectangle(p, 0.78, 0.78),
            Shape::Triangle => triangle(p),
            Shape::Star => star(p),
            Shape::Cross => rectangle(p, 0.94, 0.3).min(rectangle(p, 0.3, 0.94)),
            Shape::Ring => (p.length() - 0.7).abs() - 0.23,
            Shape::Heart => heart(p),
            Shape::Moon => circle(p, Point::new(-0.1, 0.0), 0.92).max(-circle(
                p,
                Point::new(0.34, -0.12),
                0.74,
            )),
        }
    }
}

fn circle(p: Point, centre: Point, radius: f32) -> f32 {
    p.minus(centre).length() - radius
}

fn rectangle(p: Point, half_width: f32, half_height: f32) -> f32 {
    (p.x.abs() - half_width).max(p.y.abs() - half_height)
}

/// Three half planes; the tip points up.
fn triangle(p: Point) -> f32 {
    const INRADIUS: f32 = 0.5;
    let slope = 0.75_f32.sqrt();
    let side = p.x.abs() * slope - p.y * 0.5;
    side.max(p.y) - INRADIUS
}

/// Five points: by symmetry one slanted edge of half a point, folded ten times.
fn star(p: Point) -> f32 {
    const INNER: f32 = 0.42;
    let fifth = std::f32::consts::TAU / 5.0;
    let angle = p.x.atan2(-p.y).rem_euclid(fifth);
    let (sin, cos) = angle.min(fifth - angle).sin_cos();
    let folded = Point::new(sin, cos).times(p.length());
    let tip = Point::new(0.0, 1.0);
    let (valley_sin, valley_cos) = (fifth / 2.0).sin_cos();
    let edge = Point::new(INNER * valley_sin, INNER * valley_cos).minus(tip);
    let outward = Point::new(-edge.y, edge.x).times(1.0 / edge.length());
    folded.minus(tip).dot(outward)
}

/// A square on its corner with a disc on each of its upper sides.
fn heart(p: Point) -> f32 {
    const HALF: f32 = 0.53;
    let diagonal = 0.5_f32.sqrt();
    let p = Point::new(p.x, p.y - 0.06).rotated((diagonal, diagonal));
    // Turned by 45°, the two upper sides of the square are its top and its right.
    rectangle(p, HALF, HALF)
        .min(circle(p, Point::new(0.0, -HALF), HALF))
        .min(circle(p, Point::new(HALF, 0.0), HALF))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = Point> {
        let at = |step: i32| step as f32 / 50.0;
        (-75..=75).flat_map(move |y| (-75..=75).map(move |x| Point::new(at(x), at(y))))
    }

    #[test]
    fn shapes_lie_within_the_unit_circle_and_fill_a_fair_part_of_it() {
        for &shape in Shape::ALL {
            let inside: Vec<Point> = grid().filter(|&p| shape.distance(p) < 0.0).collect();
            let reach = inside.iter().map(|p| p.length()).fold(0.0, f32::max);
            let area = inside.len() as f32 / 2_500.0;
            assert!((0.85..1.11).contains(&reach), "{shape:?} reaches {reach}");
            assert!((0.8..2.7).contains(&area), "{shape:?} covers {area}");
        }
    }

    #[test]
    fn shapes_differ_from_each_other() {
        for &one in Shape::ALL {
            for &other in Shape::ALL {
                let unlike = grid()
                    .filter(|&p| (one.distance(p) < 0.0) != (other.distance(p) < 0.0))
                    .count();
                assert_eq!(unlike == 0, one == other);
                assert!(one == other || unlike > 500, "{one:?} {other:?} {unlike}");
            }
        }
    }

    #[test]
    fn upright_shapes_stand_upright() {
        let inside = |shape: Shape, x, y| shape.distance(Point::new(x, y)) < 0.0;
        assert!(inside(Shape::Star, 0.0, -0.95) && !inside(Shape::Star, 0.0, 0.95));
        assert!(inside(Shape::Triangle, 0.6, 0.45) && !inside(Shape::Triangle, 0.6, -0.45));
        assert!(inside(Shape::Heart, 0.4, -0.5) && !inside(Shape::Heart, 0.0, -0.85));
        assert!(inside(Shape::Heart, 0.0, 0.75) && !inside(Shape::Heart, 0.5, 0.75));
        assert!(!inside(Shape::Ring, 0.0, 0.0));
    }
}
