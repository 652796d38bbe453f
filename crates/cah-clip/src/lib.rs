//! Image bytes and captions in, CLIP embeddings out.
//!
//! The parts, in the order in which an image goes through them:
//!
//! 1. [`decode`] turns downloaded bytes into pixels as Pillow's `convert("RGB")` does, within [`Limits`].
//! 2. [`Preprocessor`] makes of them what the model sees, equal to `transformers`' `CLIPImageProcessor`.
//! 3. [`Model`] embeds [`Pixels`] and captions. It is loaded from [`ModelFiles`]: a folder in the
//!    layout of Hugging Face, the hub itself ([`Hub`]), or memory.
//! 4. [`SafetyTagger`] says from an image's embedding how safe it is.
//! 5. [`ImageMode`] says how the image is stored; what CLIP sees is never made from the stored one.
//!
//! All but [`Hub`] is synchronous work for a thread pool. On one machine an embedding depends on the model and on the
//! one image or caption alone, bit by bit, whatever else is in the batch and however many threads run.
//!
//! ```
//! use cah_clip::{Limits, ModelFiles, Model, decode};
//!
//! # fn similarity(jpeg: &[u8]) -> Result<f32, Box<dyn std::error::Error>> {
//! let model = Model::load(ModelFiles::from_folder("models/tiny-clip")?)?;
//! let decoded = decode(jpeg, &Limits::default())?;
//! let image = model.embed_images(&[model.preprocess(&decoded.image)])?;
//! let text = model.embed_texts(&["a red circle"])?;
//! # Ok(cah_clip::cosine(image.row(0), text.row(0)))
//! # }
//! ```

mod decode;
mod engine;
mod error;
mod image;
mod model;
mod preprocess;
mod resample;
mod safety;
mod store;
mod tokenize;

pub use decode::{DecodeError, Decoded, ImageFormat, Limits, decode};
pub use engine::{CandleEngine, Embeddings, Engine, cosine};
pub use error::ClipError;
pub use image::RgbImage;
pub use model::{
    Activation, ClipConfig, DEFAULT_SIMILARITY_THRESHOLD, Hub, HubOptions, HubRepo, Model,
    ModelFiles, ModelSource, TowerConfig, Weights,
};
pub use preprocess::{Pixels, Preprocessor};
pub use safety::{Category, SafetyClass, SafetyList, SafetyTag, SafetyTagger};
pub use store::{ImageMode, ImageModeError, StoredImage, store};
pub use tokenize::{Tokenizer, Tokens, clean_caption};
