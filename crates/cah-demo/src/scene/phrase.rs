//! The parts of a sentence: how objects and backgrounds are named, and what each name claims.

use super::caption::Phrasing;
use super::compose::{Arrangement, Ground, Kind};
use super::fact::Fact;
use super::rng::Rng;
use super::vocabulary::{Colour, Place, Relation, Shape, Size, Texture};

impl Arrangement {
    /// Names the objects, and adds what that claims to `claims`.
    pub(super) fn phrase(
        &self,
        rng: &mut Rng,
        phrasing: Phrasing,
        claims: &mut Vec<Fact>,
    ) -> String {
        match *self {
            Self::Single { kind, place, size } => {
                phrase_single(kind, place, size, rng, phrasing, claims)
            }
            Self::Group { kind, count } => {
                claims.push(Fact::Has(kind));
                claims.push(Fact::Count(count, kind));
                phrase_group(kind, count, rng)
            }
            Self::Pair {
                first,
                relation,
                second,
            } if rng.chance(0.5) => {
                phrase_pair(second, relation.converse(), first, rng, phrasing, claims)
            }
            Self::Pair {
                first,
                relation,
                second,
            } => phrase_pair(first, relation, second, rng, phrasing, claims),
        }
    }
}

fn phrase_single(
    kind: Kind,
    place: Place,
    size: Size,
    rng: &mut Rng,
    phrasing: Phrasing,
    claims: &mut Vec<Fact>,
) -> String {
    claims.push(Fact::Has(kind));
    let mut object = kind_words(kind, rng);
    if size != Size::Medium && rng.chance(0.6) {
        claims.push(Fact::Sized(size, kind));
        object = format!("{} {object}", size_word(size, rng));
    }
    object = with_article(&object);
    if rng.chance(0.5) {
        claims.push(Fact::At(kind, place));
        object = format!("{object} {}", phrasing.place(place, rng));
    }
    object
}

fn phrase_group(kind: Kind, count: u8, rng: &mut Rng) -> String {
    let count = match count {
        2 => rng.pick(&["two", "two", "a pair of"]),
        3 => "three",
        _ => "four",
    };
    format!(
        "{count} {} {}",
        colour_word(kind.colour, rng),
        kind.shape.plural()
    )
}

fn phrase_pair(
    first: Kind,
    relation: Relation,
    second: Kind,
    rng: &mut Rng,
    phrasing: Phrasing,
    claims: &mut Vec<Fact>,
) -> String {
    claims.push(Fact::Has(first));
    claims.push(Fact::Has(second));
    let one = with_article(&kind_words(first, rng));
    let other = with_article(&kind_words(second, rng));
    if rng.chance(0.3) {
        return format!("{one} and {other}");
    }
    claims.push(Fact::Related(first, relation, second));
    format!("{one} {} {other}", phrasing.relation(relation, rng))
}

impl Ground {
    /// Names the background, and adds what that claims to `claims`.
    pub(super) fn phrase(
        &self,
        rng: &mut Rng,
        phrasing: Phrasing,
        claims: &mut Vec<Fact>,
    ) -> String {
        claims.push(Fact::GroundColour(self.colour));
        if self.second != self.colour {
            claims.push(Fact::GroundColour(self.second));
        }
        let ground = phrasing.background(rng);
        let one = colour_word(self.colour, rng);
        let other = colour_word(self.second, rng);
        if self.texture == Texture::Plain && rng.chance(0.5) {
            return with_article(&format!("{one} {ground}"));
        }
        claims.push(Fact::GroundTexture(self.texture));
        let variant = rng.below(2);
        match (self.texture, variant) {
            (Texture::Plain, _) => format!("a plain {one} {ground}"),
            (Texture::Stripes, 0) => format!("{one} and {other} stripes"),
            (Texture::Stripes, _) => with_article(&format!("{one} and {other} striped {ground}")),
            (Texture::Checks, 0) => format!("{one} and {other} checks"),
            (Texture::Checks, _) => with_article(&format!("{one} and {other} checked {ground}")),
            (Texture::Dots, 0) => with_article(&format!("{one} {ground} with {other} dots")),
            (Texture::Dots, _) => format!("{other} dots on {one}"),
            (Texture::Gradient, 0) => format!("a {ground} fading from {one} to {other}"),
            (Texture::Gradient, _) => with_article(&format!("{one} and {other} gradient")),
            (Texture::Speckle, 0) => format!("a speckled {one} {ground}"),
            (Texture::Speckle, _) => format!("a grainy {one} {ground}"),
            (Texture::Hazard, _) => hazard_words(rng),
        }
    }
}

fn hazard_words(rng: &mut Rng) -> String {
    rng.pick(&[
        "hazard stripes",
        "yellow and black hazard stripes",
        "hazard tape",
        "danger tape",
        "yellow and black danger tape",
        "danger stripes",
        "warning tape",
        "black and yellow warning stripes",
    ])
    .to_owned()
}

fn kind_words(kind: Kind, rng: &mut Rng) -> String {
    let shape = match kind.shape {
        Shape::Circle => rng.pick(&["circle", "circle", "disc"]),
        Shape::Cross => rng.pick(&["cross", "cross", "plus sign"]),
        Shape::Moon => rng.pick(&["moon", "moon", "crescent"]),
        shape => shape.word(),
    };
    format!("{} {shape}", colour_word(kind.colour, rng))
}

fn colour_word(colour: Colour, rng: &mut Rng) -> &'static str {
    match colour {
        Colour::Purple => rng.pick(&["purple", "purple", "violet"]),
        colour => colour.word(),
    }
}

fn size_word(size: Size, rng: &mut Rng) -> &'static str {
    match size {
        Size::Small => rng.pick(&["small", "little"]),
        Size::Medium => "medium",
        Size::Large => rng.pick(&["large", "big"]),
    }
}

fn with_article(phrase: &str) -> String {
    let article = match phrase.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => "an",
        _ => "a",
    };
    format!("{article} {phrase}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_read_as_english() {
        let mut rng = Rng::new(4);
        let kind = Kind {
            colour: Colour::Orange,
            shape: Shape::Cross,
        };
        assert_eq!(with_article("orange cross"), "an orange cross");
        assert_eq!(phrase_group(kind, 3, &mut rng), "three orange crosses");
    }
}
