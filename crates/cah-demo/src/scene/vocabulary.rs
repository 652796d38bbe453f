//! What scenes are made of: colours, shapes, textures, places and relations, with
//! the words that name them.

use serde::Serialize;

/// Declares a closed list: the enum, every value in order, and its plain name.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $(#[doc = concat!("Named “", $word, "”.")] $variant),+
        }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Names the value by one plain English word or phrase.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }
    };
}

closed_list! {
    /// A colour of an object or of a background.
    Colour {
        Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Blue = "blue",
        Purple = "purple", Pink = "pink", Brown = "brown", Black = "black", White = "white",
    }
}

closed_list! {
    /// The outline of an object.
    Shape {
        Circle = "circle", Square = "square", Triangle = "triangle", Star = "star",
        Cross = "cross", Ring = "ring", Heart = "heart", Moon = "moon",
    }
}

closed_list! {
    /// How a background is painted.
    Texture {
        Plain = "plain", Stripes = "striped", Checks = "checked", Dots = "dotted",
        Gradient = "gradient", Speckle = "speckled", Hazard = "hazard stripes",
    }
}

closed_list! {
    /// Where in the picture a single object lies.
    Place {
        Centre = "in the centre", Top = "at the top", Bottom = "at the bottom",
        Left = "on the left", Right = "on the right", TopLeft = "in the top left corner",
        TopRight = "in the top right corner", BottomLeft = "in the bottom left corner",
        BottomRight = "in the bottom right corner",
    }
}

closed_list! {
    /// How much of the picture a single object fills.
    Size { Small = "small", Medium = "medium", Large = "large" }
}

closed_list! {
    /// How the first of two objects lies to the second.
    Relation {
        LeftOf = "to the left of", RightOf = "to the right of", Above = "above", Below = "below",
    }
}

impl Colour {
    /// The colour as 8-bit sRGB, before light and grain.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Colour::Red => [212, 36, 38],
            Colour::Orange => [244, 138, 28],
            Colour::Yellow => [246, 222, 52],
            Colour::Green => [42, 152, 62],
            Colour::Blue => [38, 84, 204],
            Colour::Purple => [132, 48, 164],
            Colour::Pink => [246, 150, 192],
            Colour::Brown => [118, 70, 34],
            Colour::Black => [24, 24, 28],
            Colour::White => [244, 244, 240],
        }
    }
}

impl Shape {
    /// Names several of them.
    pub fn plural(self) -> String {
        match self {
            Shape::Cross => "crosses".to_owned(),
            other => format!("{}s", other.word()),
        }
    }
}

impl Texture {
    /// Whether the texture shows two colours rather than one.
    pub fn has_two_colours(self) -> bool {
        !matches!(self, Texture::Plain | Texture::Speckle)
    }
}

impl Place {
    /// Where the place lies, x to the right and y down, each -1, 0 or 1.
    pub fn direction(self) -> (f32, f32) {
        match self {
            Place::Centre => (0.0, 0.0),
            Place::Top => (0.0, -1.0),
            Place::Bottom => (0.0, 1.0),
            Place::Left => (-1.0, 0.0),
            Place::Right => (1.0, 0.0),
            Place::TopLeft => (-1.0, -1.0),
            Place::TopRight => (1.0, -1.0),
            Place::BottomLeft => (-1.0, 1.0),
            Place::BottomRight => (1.0, 1.0),
        }
    }
}

impl Relation {
    /// The same relation told from the second object.
    pub fn converse(self) -> Self {
        match self {
            Relation::LeftOf => Relation::RightOf,
            Relation::RightOf => Relation::LeftOf,
            Relation::Above => Relation::Below,
            Relation::Below => Relation::Above,
        }
    }

    /// Where the first object lies as the second sees it, x to the right and y down.
    pub fn direction(self) -> (f32, f32) {
        match self {
            Relation::LeftOf => (-1.0, 0.0),
            Relation::RightOf => (1.0, 0.0),
            Relation::Above => (0.0, -1.0),
            Relation::Below => (0.0, 1.0),
        }
    }
}
