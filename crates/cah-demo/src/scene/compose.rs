//! What a scene is, and how a random one is put together.

use super::rng::Rng;
use super::vocabulary::{Colour, Place, Relation, Shape, Size, Texture};

/// What an object is: its colour and its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The colour it is filled with.
    pub colour: Colour,
    /// Its outline.
    pub shape: Shape,
}

/// What lies behind the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ground {
    /// How it is painted.
    pub texture: Texture,
    /// Its first colour: of the field under dots, the start of a gradient.
    pub colour: Colour,
    /// Its second colour; equal to the first where the texture shows one only.
    pub second: Colour,
}

/// The one to four objects of a scene and how they lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// One object somewhere.
    Single {
        /// What it is.
        kind: Kind,
        /// Where it lies.
        place: Place,
        /// How big it is.
        size: Size,
    },
    /// Two to four objects of one kind.
    Group {
        /// What they are.
        kind: Kind,
        /// How many there are.
        count: u8,
    },
    /// Two objects that differ in colour and in shape.
    Pair {
        /// The one that is named first.
        first: Kind,
        /// How the first lies to the second.
        relation: Relation,
        /// The other one.
        second: Kind,
    },
}

/// A picture's content, from which its pixels and every true caption follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scene {
    /// What lies behind the objects.
    pub ground: Ground,
    /// The objects.
    pub arrangement: Arrangement,
    /// Seed of what no caption mentions: exact positions, shades, light and grain.
    pub look: u64,
}

impl Kind {
    fn random(rng: &mut Rng, free: &[Colour]) -> Self {
        Self {
            colour: rng.pick(free),
            shape: rng.pick(Shape::ALL),
        }
    }

    /// Whether training leaves this combination of colour and shape out, so that
    /// evaluation can show it as a new one.
    pub fn is_held_out(self) -> bool {
        (self.colour as usize + 3 * self.shape as usize).is_multiple_of(11)
    }
}

impl Ground {
    /// Yellow and black warning tape: the demo's stand-in for unsafe content.
    pub const HAZARD: Self = Self {
        texture: Texture::Hazard,
        colour: Colour::Yellow,
        second: Colour::Black,
    };

    fn random(rng: &mut Rng) -> Self {
        const ORDINARY: [Texture; 6] = [
            Texture::Plain,
            Texture::Stripes,
            Texture::Checks,
            Texture::Dots,
            Texture::Gradient,
            Texture::Speckle,
        ];
        let texture = rng.pick(&ORDINARY);
        let colour = rng.pick(Colour::ALL);
        let mut second = colour;
        while texture.has_two_colours() && (second == colour || is_warning(colour, second)) {
            second = rng.pick(Colour::ALL);
        }
        Self {
            texture,
            colour,
            second,
        }
    }

    /// Whether `colour` is one of the background's.
    pub fn shows(&self, colour: Colour) -> bool {
        self.colour == colour || self.second == colour
    }
}

/// Yellow with black means danger, and is kept for [`Ground::HAZARD`].
fn is_warning(one: Colour, other: Colour) -> bool {
    matches!(
        (one, other),
        (Colour::Yellow, Colour::Black) | (Colour::Black, Colour::Yellow)
    )
}

impl Arrangement {
    fn random(rng: &mut Rng, free: &[Colour]) -> Self {
        match rng.below(10) {
            0..4 => Self::random_single(rng, free),
            4..7 => Self::Group {
                kind: Kind::random(rng, free),
                count: 2 + rng.below(3) as u8,
            },
            _ => Self::random_pair(rng, free),
        }
    }

    fn random_single(rng: &mut Rng, free: &[Colour]) -> Self {
        let place = rng.pick(Place::ALL);
        let sizes = match place {
            Place::Centre => Size::ALL,
            // A large object would leave the picture anywhere else.
            _ => &[Size::Small, Size::Medium],
        };
        Self::Single {
            kind: Kind::random(rng, free),
            place,
            size: rng.pick(sizes),
        }
    }

    fn random_pair(rng: &mut Rng, free: &[Colour]) -> Self {
        let first = Kind::random(rng, free);
        let mut second = Kind::random(rng, free);
        while second.colour == first.colour || second.shape == first.shape {
            second = Kind::random(rng, free);
        }
        Self::Pair {
            first,
            relation: rng.pick(Relation::ALL),
            second,
        }
    }

    /// The kinds of object there are: two in a pair, else one.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let (first, second) = match *self {
            Self::Single { kind, .. } | Self::Group { kind, .. } => (kind, None),
            Self::Pair { first, second, .. } => (first, Some(second)),
        };
        std::iter::once(first).chain(second)
    }

    /// How many objects there are, 1 to 4.
    pub fn count(&self) -> usize {
        match *self {
            Self::Single { .. } => 1,
            Self::Group { count, .. } => usize::from(count),
            Self::Pair { .. } => 2,
        }
    }
}

impl Scene {
    /// Puts an ordinary scene together; never one on hazard stripes.
    pub fn random(rng: &mut Rng) -> Self {
        let ground = Ground::random(rng);
        Self::on(ground, rng)
    }

    /// Puts a scene on hazard stripes together, the stand-in for unsafe content.
    pub fn hazard(rng: &mut Rng) -> Self {
        Self::on(Ground::HAZARD, rng)
    }

    fn on(ground: Ground, rng: &mut Rng) -> Self {
        let free: Vec<Colour> = Colour::ALL
            .iter()
            .copied()
            .filter(|&colour| !ground.shows(colour))
            .collect();
        Self {
            ground,
            arrangement: Arrangement::random(rng, &free),
            look: rng.bits(),
        }
    }

    /// Draws ordinary scenes until one [contradicts](Self::contradicts) this one.
    pub fn random_mismatch(&self, rng: &mut Rng) -> Self {
        loop {
            let other = Self::random(rng);
            if self.contradicts(&other) {
                return other;
            }
        }
    }

    /// Draws scenes like this one with one thing changed until none of them is the
    /// same: the source of hard negatives.
    pub fn altered(&self, rng: &mut Rng) -> Self {
        let other = Self::random(rng);
        let mut altered = *self;
        match rng.below(3) {
            0 => altered.ground = other.ground,
            1 => altered.arrangement = other.arrangement,
            _ => altered.arrangement = self.arrangement.altered(rng),
        }
        let overlaps = |kind: Kind| altered.ground.shows(kind.colour);
        if altered == *self || altered.arrangement.kinds().any(overlaps) {
            return self.altered(rng);
        }
        altered
    }

    /// Whether nothing a caption of `other` may say is true here: no colour of an
    /// object, no shape and no colour of the background in common.
    pub fn contradicts(&self, other: &Self) -> bool {
        let shares_look = |mine: Kind| {
            let same = |theirs: Kind| mine.colour == theirs.colour || mine.shape == theirs.shape;
            other.arrangement.kinds().any(same)
        };
        let shares_ground =
            self.ground.shows(other.ground.colour) || self.ground.shows(other.ground.second);
        !shares_ground && !self.arrangement.kinds().any(shares_look)
    }

    /// Whether the background is the stand-in for unsafe content.
    pub fn is_hazard(&self) -> bool {
        self.ground.texture == Texture::Hazard
    }

    /// Whether a combination of colour and shape is one that training leaves out.
    pub fn is_held_out(&self) -> bool {
        self.arrangement.kinds().any(Kind::is_held_out)
    }
}

impl Arrangement {
    fn altered(&self, rng: &mut Rng) -> Self {
        match *self {
            Self::Single { kind, place, size } => Self::Single {
                kind: kind.altered(rng),
                place,
                size,
            },
            Self::Group { kind, count } if rng.chance(0.5) => Self::Group {
                kind,
                count: 2 + (count - 1) % 3,
            },
            Self::Group { kind, count } => Self::Group {
                kind: kind.altered(rng),
                count,
            },
            Self::Pair {
                first,
                relation,
                second,
            } => Self::Pair {
                first,
                relation: relation.converse(),
                second,
            },
        }
    }
}

impl Kind {
    fn altered(self, rng: &mut Rng) -> Self {
        let mut other = self;
        if rng.chance(0.5) {
            other.colour = rng.pick(Colour::ALL);
        } else {
            other.shape = rng.pick(Shape::ALL);
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenes(count: u64) -> impl Iterator<Item = Scene> {
        (0..count).map(|index| Scene::random(&mut Rng::nth(11, index)))
    }

    #[test]
    fn objects_stand_out_from_their_background() {
        for scene in scenes(2_000) {
            assert!(
                scene
                    .arrangement
                    .kinds()
                    .all(|kind| !scene.ground.shows(kind.colour))
            );
            assert!((1..=4).contains(&scene.arrangement.count()));
        }
    }

    #[test]
    fn ordinary_scenes_never_look_like_a_warning() {
        for scene in scenes(2_000) {
            assert!(!scene.is_hazard());
            assert!(!is_warning(scene.ground.colour, scene.ground.second));
        }
        assert!(Scene::hazard(&mut Rng::new(1)).is_hazard());
    }

    #[test]
    fn mismatches_contradict_each_other_both_ways() {
        let mut rng = Rng::new(3);
        for scene in scenes(300) {
            let other = scene.random_mismatch(&mut rng);
            assert!(other.contradicts(&scene));
            assert!(!scene.contradicts(&scene));
        }
    }

    #[test]
    fn some_combinations_are_kept_from_training() {
        let held_out = scenes(2_000).filter(Scene::is_held_out).count();
        assert!((150..500).contains(&held_out), "{held_out} of 2,000");
    }
}
