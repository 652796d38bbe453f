//! True English sentences about a scene, in the phrasings of training and in others
//! that training never sees.

use super::compose::Scene;
use super::fact::Fact;
use super::rng::Rng;
use super::vocabulary::{Place, Relation};

/// Which sentences are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phrasing {
    /// Those that the tiny model is trained on.
    Train,
    /// Others, with words that training never shows.
    HeldOut,
}

/// A sentence, and what it says in single facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The sentence.
    pub text: String,
    /// Every fact that must hold for the sentence to be true.
    pub claims: Vec<Fact>,
}

impl Phrasing {
    /// Draws from the sentences of this phrasing; `{o}` stands for the objects and
    /// `{g}` for the background.
    fn sentence(self, rng: &mut Rng) -> &'static str {
        match self {
            Self::Train => rng.pick(&[
                "{o} on {g}",
                "{o} on {g}",
                "{o} in front of {g}",
                "{o} over {g}",
                "a picture of {o} on {g}",
                "a photo of {o} against {g}",
                "an image showing {o} on {g}",
                "this picture shows {o} on {g}",
                "here we see {o} on {g}",
                "{g} with {o}",
                "{g}, in front of it {o}",
                "{o} drawn on {g}",
                "drawing of {o}, {g}",
                "the image has {g} and {o}",
                "{o} and {g} behind",
            ]),
            Self::HeldOut => rng.pick(&[
                "a snapshot of {o} before {g}",
                "you can see {o} painted onto {g}",
                "poster depicting {o} placed upon {g}",
                "an illustration that presents {o} against {g}",
                "{g}, with {o} in the foreground",
                "my artwork contains {o} and has {g}",
                "nothing but {o} lying on {g}",
                "a simple graphic: {o}, and behind that {g}",
            ]),
        }
    }

    pub(super) fn place(self, place: Place, rng: &mut Rng) -> &'static str {
        match (self, place) {
            (Self::Train, Place::Centre) => rng.pick(&["in the centre", "in the middle"]),
            (Self::HeldOut, Place::Centre) => "right in the middle",
            (Self::HeldOut, Place::Top) => "near the top",
            (Self::HeldOut, Place::Bottom) => "near the bottom",
            (Self::HeldOut, Place::Left) => "at the left side",
            (Self::HeldOut, Place::Right) => "at the right side",
            (_, place) => place.word(),
        }
    }

    pub(super) fn relation(self, relation: Relation, rng: &mut Rng) -> &'static str {
        match (self, relation) {
            (Self::Train, Relation::LeftOf) => rng.pick(&["to the left of", "left of"]),
            (Self::Train, Relation::RightOf) => rng.pick(&["to the right of", "right of"]),
            (Self::Train, Relation::Below) => rng.pick(&["below", "under"]),
            (Self::HeldOut, Relation::LeftOf) => "on the left of",
            (Self::HeldOut, Relation::RightOf) => "on the right of",
            (Self::HeldOut, Relation::Above) => "somewhere above",
            (Self::HeldOut, Relation::Below) => "somewhere below",
            (_, relation) => relation.word(),
        }
    }

    pub(super) fn background(self, rng: &mut Rng) -> &'static str {
        match self {
            Self::Train => rng.pick(&["background", "background", "wall", "surface"]),
            Self::HeldOut => rng.pick(&["background", "backdrop"]),
        }
    }
}

impl Scene {
    /// Tells one true sentence about the scene.
    pub fn caption(&self, rng: &mut Rng, phrasing: Phrasing) -> String {
        self.describe(rng, phrasing).text
    }

    /// Tells one true sentence about objects and background, with its claims.
    pub fn describe(&self, rng: &mut Rng, phrasing: Phrasing) -> Caption {
        let mut claims = Vec::new();
        let objects = self.arrangement.phrase(rng, phrasing, &mut claims);
        let ground = self.ground.phrase(rng, phrasing, &mut claims);
        let text = phrasing
            .sentence(rng)
            .replace("{o}", &objects)
            .replace("{g}", &ground);
        Caption {
            text: as_people_write(text, rng),
            claims,
        }
    }

    /// Tells one true sentence about the background alone, with its claims.
    pub fn describe_ground(&self, rng: &mut Rng) -> Caption {
        let mut claims = Vec::new();
        let ground = self.ground.phrase(rng, Phrasing::Train, &mut claims);
        let text = match rng.below(4) {
            0 => format!("a picture of {ground}"),
            1 => format!("shapes on {ground}"),
            2 => format!("a photo of something on {ground}"),
            _ => ground,
        };
        Caption { text, claims }
    }
}

/// Some write a capital and a full stop, some do not.
fn as_people_write(text: String, rng: &mut Rng) -> String {
    if !rng.chance(0.3) {
        return text;
    }
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    let stop = rng.pick(&["", "."]);
    first
        .into_iter()
        .chain(characters)
        .chain(stop.chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caption_is_true_and_none_of_a_mismatch() {
        for index in 0..2_000 {
            let mut rng = Rng::nth(21, index);
            let scene = Scene::random(&mut rng);
            let other = scene.random_mismatch(&mut rng);
            for phrasing in [Phrasing::Train, Phrasing::HeldOut] {
                assert!(scene.agrees(&scene.describe(&mut rng, phrasing)));
                assert!(!scene.agrees(&other.describe(&mut rng, phrasing)));
            }
            assert!(scene.agrees(&scene.describe_ground(&mut rng)));
            assert!(!scene.agrees(&other.describe_ground(&mut rng)));
        }
    }

    #[test]
    fn hazard_captions_say_so() {
        for index in 0..200 {
            let mut rng = Rng::nth(22, index);
            let scene = Scene::hazard(&mut rng);
            let text = scene.caption(&mut rng, Phrasing::Train).to_lowercase();
            assert!(
                ["hazard", "danger", "warning"]
                    .iter()
                    .any(|word| text.contains(word)),
                "{text}"
            );
        }
    }

    #[test]
    fn held_out_phrasing_uses_words_that_training_never_shows() {
        let words = |phrasing| {
            (0..3_000)
                .flat_map(|index| {
                    let mut rng = Rng::nth(23, index);
                    let text = Scene::random(&mut rng).caption(&mut rng, phrasing);
                    let words: Vec<String> = text
                        .to_lowercase()
                        .split(|c: char| !c.is_alphabetic())
                        .map(str::to_owned)
                        .collect();
                    words
                })
                .collect::<std::collections::BTreeSet<String>>()
        };
        let (train, held_out) = (words(Phrasing::Train), words(Phrasing::HeldOut));
        assert!(held_out.difference(&train).count() >= 15);
    }
}
