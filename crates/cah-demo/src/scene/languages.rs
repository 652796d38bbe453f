//! The same picture told in other languages, in sentences long enough for a
//! language detector.

use super::compose::{Arrangement, Kind, Scene};
use super::vocabulary::{Colour, Shape};

/// A language other than English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Italian.
    Italian,
}

impl Language {
    /// Every language there is a table for.
    pub const ALL: [Self; 4] = [Self::German, Self::French, Self::Spanish, Self::Italian];

    /// Names the language by its ISO 639-1 code.
    pub fn code(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Italian => "it",
        }
    }

    fn sentence(self, objects: &str, ground: &str) -> String {
        match self {
            Self::German => {
                format!("Auf diesem Bild sieht man {objects} vor einem Hintergrund in {ground}")
            }
            Self::French => {
                format!("Cette image montre {objects} sur un fond de couleur {ground}")
            }
            Self::Spanish => {
                format!("Esta imagen muestra {objects} sobre un fondo de color {ground}")
            }
            Self::Italian => {
                format!("Questa immagine mostra {objects} su uno sfondo di colore {ground}")
            }
        }
    }

    fn objects(self, kind: Kind, count: usize) -> String {
        let (one, many) = self.shape(kind.shape);
        let colour = self.colour(kind.colour);
        let of_colour = match self {
            Self::German => "in",
            Self::French => "de couleur",
            Self::Spanish => "de color",
            Self::Italian => "di colore",
        };
        match count {
            1 => format!("{one} {of_colour} {colour}"),
            _ => format!("{} {many} {of_colour} {colour}", self.number(count)),
        }
    }

    fn and(self) -> &'static str {
        match self {
            Self::German => "und",
            Self::French => "et",
            Self::Spanish => "y",
            Self::Italian => "e",
        }
    }

    fn number(self, count: usize) -> &'static str {
        let words = match self {
            Self::German => ["zwei", "drei", "vier"],
            Self::French => ["deux", "trois", "quatre"],
            Self::Spanish => ["dos", "tres", "cuatro"],
            Self::Italian => ["due", "tre", "quattro"],
        };
        words[count.clamp(2, 4) - 2]
    }

    fn colour(self, colour: Colour) -> &'static str {
        let words = match self {
            Self::German => [
                "Rot", "Orange", "Gelb", "Grün", "Blau", "Lila", "Rosa", "Braun", "Schwarz", "Weiß",
            ],
            Self::French => [
                "rouge", "orange", "jaune", "verte", "bleue", "violette", "rose", "marron",
                "noire", "blanche",
            ],
            Self::Spanish => [
                "rojo", "naranja", "amarillo", "verde", "azul", "morado", "rosa", "marrón",
                "negro", "blanco",
            ],
            Self::Italian => [
                "rosso",
                "arancione",
                "giallo",
                "verde",
                "blu",
                "viola",
                "rosa",
                "marrone",
                "nero",
                "bianco",
            ],
        };
        words[colour as usize]
    }

    /// One object with its article, and several of them.
    fn shape(self, shape: Shape) -> (&'static str, &'static str) {
        let words = match self {
            Self::German => [
                ("einen Kreis", "Kreise"),
                ("ein Quadrat", "Quadrate"),
                ("ein Dreieck", "Dreiecke"),
                ("einen Stern", "Sterne"),
                ("ein Kreuz", "Kreuze"),
                ("einen Ring", "Ringe"),
                ("ein Herz", "Herzen"),
                ("einen Mond", "Monde"),
            ],
            Self::French => [
                ("un cercle", "cercles"),
                ("un carré", "carrés"),
                ("un triangle", "triangles"),
                ("une étoile", "étoiles"),
                ("une croix", "croix"),
                ("un anneau", "anneaux"),
                ("un cœur", "cœurs"),
                ("une lune", "lunes"),
            ],
            Self::Spanish => [
                ("un círculo", "círculos"),
                ("un cuadrado", "cuadrados"),
                ("un triángulo", "triángulos"),
                ("una estrella", "estrellas"),
                ("una cruz", "cruces"),
                ("un anillo", "anillos"),
                ("un corazón", "corazones"),
                ("una luna", "lunas"),
            ],
            Self::Italian => [
                ("un cerchio", "cerchi"),
                ("un quadrato", "quadrati"),
                ("un triangolo", "triangoli"),
                ("una stella", "stelle"),
                ("una croce", "croci"),
                ("un anello", "anelli"),
                ("un cuore", "cuori"),
                ("una luna", "lune"),
            ],
        };
        words[shape as usize]
    }
}

impl Scene {
    /// Tells one true sentence about the scene in `language`; the tiny CLIP, which
    /// reads English only, does not understand it.
    pub fn caption_in(&self, language: Language) -> String {
        let each = match self.arrangement {
            Arrangement::Group { count, .. } => usize::from(count),
            _ => 1,
        };
        let objects: Vec<String> = self
            .arrangement
            .kinds()
            .map(|kind| language.objects(kind, each))
            .collect();
        let objects = objects.join(&format!(" {} ", language.and()));
        let mut ground = language.colour(self.ground.colour).to_owned();
        if self.ground.second != self.ground.colour {
            ground = format!(
                "{ground} {} {}",
                language.and(),
                language.colour(self.ground.second)
            );
        }
        language.sentence(&objects, &ground)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ground, Relation, Texture};
    use super::*;

    #[test]
    fn sentences_name_objects_and_background() {
        let scene = Scene {
            ground: Ground {
                texture: Texture::Stripes,
                colour: Colour::White,
                second: Colour::Green,
            },
            arrangement: Arrangement::Pair {
                first: Kind {
                    colour: Colour::Red,
                    shape: Shape::Star,
                },
                relation: Relation::Above,
                second: Kind {
                    colour: Colour::Blue,
                    shape: Shape::Circle,
                },
            },
            look: 0,
        };
        assert_eq!(
            scene.caption_in(Language::German),
            "Auf diesem Bild sieht man einen Stern in Rot und einen Kreis in Blau vor einem \
             Hintergrund in Weiß und Grün"
        );
        assert_eq!(
            scene.caption_in(Language::French),
            "Cette image montre une étoile de couleur rouge et un cercle de couleur bleue sur \
             un fond de couleur blanche et verte"
        );
    }

    #[test]
    fn groups_are_counted() {
        let scene = Scene {
            ground: Ground {
                texture: Texture::Plain,
                colour: Colour::Black,
                second: Colour::Black,
            },
            arrangement: Arrangement::Group {
                kind: Kind {
                    colour: Colour::Yellow,
                    shape: Shape::Moon,
                },
                count: 3,
            },
            look: 0,
        };
        assert_eq!(
            scene.caption_in(Language::Spanish),
            "Esta imagen muestra tres lunas de color amarillo sobre un fondo de color negro"
        );
        assert_eq!(
            scene.caption_in(Language::Italian),
            "Questa immagine mostra tre lune di colore giallo su uno sfondo di colore nero"
        );
    }
}
