//! Pictures whose truth is known: a few coloured shapes on a background.
//!
//! A [`Scene`] is a small value that says what is there. It draws itself
//! ([`Scene::render`]), tells true sentences about itself ([`Scene::caption`]) and
//! knows which sentences about other scenes are false for it
//! ([`Scene::contradicts`], [`Scene::agrees`]). The tiny CLIP of `models/tiny-clip` is
//! trained on scenes of some seeds; the demo's web shows scenes of others.
//!
//! ```
//! use cah_demo::scene::{Phrasing, Rng, Scene};
//!
//! let mut rng = Rng::new(7);
//! let scene = Scene::random(&mut rng);
//! let image = scene.render(320, 240);
//! assert_eq!(image.dimensions(), (320, 240));
//! let caption = scene.describe(&mut rng, Phrasing::HeldOut);
//! assert!(scene.agrees(&caption));
//! let other = scene.random_mismatch(&mut rng);
//! assert!(!scene.agrees(&other.describe(&mut rng, Phrasing::Train)));
//! ```

mod caption;
mod compose;
mod fact;
mod languages;
mod layout;
mod outline;
mod paint;
mod phrase;
mod render;
mod rng;
mod vocabulary;
mod wall;

pub use caption::{Caption, Phrasing};
pub use compose::{Arrangement, Ground, Kind, Scene};
pub use fact::Fact;
pub use languages::Language;
pub use rng::Rng;
pub use vocabulary::{Colour, Place, Relation, Shape, Size, Texture};
