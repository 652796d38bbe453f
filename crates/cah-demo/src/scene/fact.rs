//! What is true of a scene, as single facts that captions claim.

use std::fmt;

use super::caption::Caption;
use super::compose::{Arrangement, Kind, Scene};
use super::vocabulary::{Colour, Place, Relation, Size, Texture};

/// One thing that may be said of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// There is such an object.
    Has(Kind),
    /// There are exactly so many of them.
    Count(u8, Kind),
    /// Such an object lies there.
    At(Kind, Place),
    /// Such an object is so big.
    Sized(Size, Kind),
    /// The first lies so to the second.
    Related(Kind, Relation, Kind),
    /// The background shows this colour.
    GroundColour(Colour),
    /// The background is painted so.
    GroundTexture(Texture),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.colour.word(), self.shape.word())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(kind) => write!(f, "{kind}"),
            Self::Count(count, kind) => write!(f, "{count} × {kind}"),
            Self::At(kind, place) => write!(f, "{kind} {}", place.word()),
            Self::Sized(size, kind) => write!(f, "{} {kind}", size.word()),
            Self::Related(first, relation, second) => {
                write!(f, "{first} {} {second}", relation.word())
            }
            Self::GroundColour(colour) => write!(f, "{} background", colour.word()),
            Self::GroundTexture(texture) => write!(f, "{} background", texture.word()),
        }
    }
}

impl Scene {
    /// Lists everything that a caption may truly say of the scene.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.arrangement.kinds().map(Fact::Has).collect();
        match self.arrangement {
            Arrangement::Single { kind, place, size } => facts.extend([
                Fact::Count(1, kind),
                Fact::At(kind, place),
                Fact::Sized(size, kind),
            ]),
            Arrangement::Group { kind, count } => facts.push(Fact::Count(count, kind)),
            Arrangement::Pair {
                first,
                relation,
                second,
            } => facts.extend([
                Fact::Count(1, first),
                Fact::Count(1, second),
                Fact::Related(first, relation, second),
                Fact::Related(second, relation.converse(), first),
            ]),
        }
        facts.push(Fact::GroundTexture(self.ground.texture));
        facts.push(Fact::GroundColour(self.ground.colour));
        if self.ground.second != self.ground.colour {
            facts.push(Fact::GroundColour(self.ground.second));
        }
        facts
    }

    /// Whether everything that `caption` claims is true of this scene.
    pub fn agrees(&self, caption: &Caption) -> bool {
        let facts = self.facts();
        caption.claims.iter().all(|claim| facts.contains(claim))
    }
}
