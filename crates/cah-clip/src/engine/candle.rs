//! The engine that is always there: both towers on candle's matrix product.

use std::{collections::HashMap, ops::Range};

use candle_core::{Device, Tensor};

use super::{
    Embeddings, Engine,
    tower::{Direction, Norm, Source, Tower, product},
};
use crate::{
    error::ClipError,
    model::{ClipConfig, Weights},
    preprocess::Pixels,
    tokenize::Tokens,
};

/// A CLIP model in f32 on the processor.
pub struct CandleEngine {
    vision: Vision,
    text: Text,
    dimension: usize,
}

impl CandleEngine {
    /// Reads the weights; returns the SHA-256 of their file in hex as well.
    ///
    /// # Errors
    /// [`ClipError::Read`], [`ClipError::BadWeights`], [`ClipError::MissingTensor`],
    /// [`ClipError::WrongShape`].
    pub fn load(config: &ClipConfig, weights: &Weights) -> Result<(Self, String), ClipError> {
        let mut tensors = Tensors {
            file: weights.file(),
            by_name: HashMap::new(),
        };
        let digest = weights.read(|name, tensor| {
            tensors.by_name.insert(name.to_owned(), tensor);
        })?;
        let engine = Self {
            vision: Vision::load(&mut tensors, config)?,
            text: Text::load(&mut tensors, config)?,
            dimension: config.dimension,
        };
        Ok((engine, digest))
    }

    fn rows(&self, tensor: &Tensor) -> Result<Embeddings, ClipError> {
        let values = tensor.flatten_all()?.to_vec1()?;
        Ok(Embeddings::new(self.dimension, values))
    }

    fn none(&self) -> Embeddings {
        Embeddings::new(self.dimension, Vec::new())
    }
}

impl Engine for CandleEngine {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn embed_images(&self, batch: &[Pixels]) -> Result<Embeddings, ClipError> {
        match batch {
            [] => Ok(self.none()),
            _ => self.rows(&self.vision.forward(batch)?),
        }
    }

    fn embed_texts(&self, batch: &[Tokens]) -> Result<Embeddings, ClipError> {
        match batch {
            [] => Ok(self.none()),
            _ => self.rows(&self.text.forward(batch)?),
        }
    }
}

impl std::fmt::Debug for CandleEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CandleEngine")
            .field("dimension", &self.dimension)
            .finish_non_exhaustive()
    }
}

/// The tensors that no layer has taken yet.
struct Tensors {
    /// The file that messages name.
    file: &'static str,
    by_name: HashMap<String, Tensor>,
}

impl Source for Tensors {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ClipError> {
        let Some(tensor) = self.by_name.remove(name) else {
            return Err(ClipError::MissingTensor {
                file: self.file.into(),
                tensor: name.to_owned(),
            });
        };
        if tensor.dims() != shape {
            return Err(ClipError::WrongShape {
                file: self.file.into(),
                tensor: name.to_owned(),
                found: tensor.dims().to_vec(),
                expected: shape.to_vec(),
            });
        }
        // One NaN or infinity in a sum makes it one.
        match tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
            true => Ok(tensor),
            false => {
                let reason = format!("{name} holds what is no number, NaN or infinity");
                Err(ClipError::bad_weights(self.file, reason))
            }
        }
    }
}

/// The image tower: patches and a class token, which is pooled.
struct Vision {
    /// `[width, 3 * patch * patch]`.
    patch_embedding: Tensor,
    /// The class token with its position, and the positions of the patches, `[1 + patches, width]`.
    positions: Vec<f32>,
    norm_before: Norm,
    tower: Tower,
    norm_after: Norm,
    projection: Tensor,
    image_size: usize,
    patch_size: usize,
    width: usize,
}

impl Vision {
    fn load(source: &mut dyn Source, config: &ClipConfig) -> Result<Self, ClipError> {
        const MODEL: &str = "vision_model";
        let (width, patch) = (config.vision.hidden_size, config.patch_size);
        let embedding = |name: &str| format!("{MODEL}.embeddings.{name}");
        let eps = config.vision.layer_norm_eps;
        let patch_embedding = source
            .take(
                &embedding("patch_embedding.weight"),
                &[width, 3, patch, patch],
            )?
            .reshape((width, 3 * patch * patch))?;
        let class = source.take(&embedding("class_embedding"), &[width])?;
        let tokens = config.patches() + 1;
        let positions = source.take(&embedding("position_embedding.weight"), &[tokens, width])?;
        let mut positions: Vec<f32> = positions.flatten_all()?.to_vec1()?;
        for (position, class) in positions.iter_mut().zip(class.to_vec1::<f32>()?) {
            *position += class;
        }
        Ok(Self {
            patch_embedding,
            positions,
            norm_before: Norm::load(source, &format!("{MODEL}.pre_layrnorm"), width, eps)?,
            tower: Tower::load(source, MODEL, &config.vision, Direction::Both)?,
            norm_after: Norm::load(source, &format!("{MODEL}.post_layernorm"), width, eps)?,
            projection: source.take("visual_projection.weight", &[config.dimension, width])?,
            image_size: config.image_size,
            patch_size: patch,
            width,
        })
    }

    fn forward(&self, batch: &[Pixels]) -> Result<Tensor, ClipError> {
        let x = self.embed(batch)?;
        let tokens = self.positions.len() / self.width;
        let spans: Vec<_> = (0..batch.len())
            .map(|index| index * tokens..(index + 1) * tokens)
            .collect();
        let pooled = positions_of(&spans, |span| span.start)?;
        let x = self.norm_before.forward(&x)?;
        let pooled = self.tower.pooled(x, &spans, &pooled)?;
        product(&self.norm_after.forward(&pooled)?, &self.projection)
    }

    /// Class token and patches with their positions, `[batch * tokens, width]`.
    fn embed(&self, batch: &[Pixels]) -> Result<Tensor, ClipError> {
        let columns = 3 * self.patch_size * self.patch_size;
        let patches = (self.image_size / self.patch_size).pow(2);
        let mut unfolded = Vec::with_capacity(batch.len() * patches * columns);
        for pixels in batch {
            self.unfold(pixels, &mut unfolded)?;
        }
        let rows = batch.len() * patches;
        let unfolded = Tensor::from_vec(unfolded, (rows, columns), &Device::Cpu)?;
        let embedded = product(&unfolded, &self.patch_embedding)?;
        let embedded: Vec<f32> = embedded.flatten_all()?.to_vec1()?;
        let mut x = self.positions.repeat(batch.len());
        let images = x.chunks_exact_mut(self.positions.len());
        for (image, patches) in images.zip(embedded.chunks_exact(patches * self.width)) {
            for (x, patch) in image[self.width..].iter_mut().zip(patches) {
                *x += patch;
            }
        }
        let rows = x.len() / self.width;
        Ok(Tensor::from_vec(x, (rows, self.width), &Device::Cpu)?)
    }

    /// Appends an image's patches, each as channel, row, column.
    fn unfold(&self, pixels: &Pixels, unfolded: &mut Vec<f32>) -> Result<(), ClipError> {
        let (size, patch) = (self.image_size, self.patch_size);
        if (pixels.width(), pixels.height()) != (size, size) {
            let (width, height) = (pixels.width(), pixels.height());
            let reason = format!("pixels of {width}x{height} for a model of {size}x{size}");
            return Err(ClipError::Engine(reason));
        }
        let along = size / patch;
        for top in (0..along).map(|index| index * patch) {
            for left in (0..along).map(|index| index * patch) {
                for channel in pixels.values().chunks_exact(size * size) {
                    for row in channel.chunks_exact(size).skip(top).take(patch) {
                        unfolded.extend_from_slice(&row[left..left + patch]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The text tower: tokens of which each sees those before it, and the last is pooled.
struct Text {
    tokens: Vec<f32>,
    positions: Vec<f32>,
    tower: Tower,
    norm_after: Norm,
    projection: Tensor,
    width: usize,
}

impl Text {
    fn load(source: &mut dyn Source, config: &ClipConfig) -> Result<Self, ClipError> {
        const MODEL: &str = "text_model";
        let width = config.text.hidden_size;
        let mut table = |name: &str, rows: usize| {
            let name = format!("{MODEL}.embeddings.{name}_embedding.weight");
            let tensor = source.take(&name, &[rows, width])?;
            Ok::<Vec<f32>, ClipError>(tensor.flatten_all()?.to_vec1()?)
        };
        Ok(Self {
            tokens: table("token", config.vocab_size)?,
            positions: table("position", config.context_length)?,
            tower: Tower::load(source, MODEL, &config.text, Direction::Backward)?,
            norm_after: Norm::load(
                source,
                &format!("{MODEL}.final_layer_norm"),
                width,
                config.text.layer_norm_eps,
            )?,
            projection: source.take("text_projection.weight", &[config.dimension, width])?,
            width,
        })
    }

    fn forward(&self, batch: &[Tokens]) -> Result<Tensor, ClipError> {
        let mut x = Vec::new();
        let mut spans = Vec::with_capacity(batch.len());
        for tokens in batch {
            let start = x.len() / self.width;
            self.embed(tokens, &mut x)?;
            spans.push(start..x.len() / self.width);
        }
        let rows = x.len() / self.width;
        let x = Tensor::from_vec(x, (rows, self.width), &Device::Cpu)?;
        let pooled = positions_of(&spans, |span| span.end - 1)?;
        let pooled = self.tower.pooled(x, &spans, &pooled)?;
        product(&self.norm_after.forward(&pooled)?, &self.projection)
    }

    /// Appends the tokens of a text with their positions.
    fn embed(&self, tokens: &Tokens, x: &mut Vec<f32>) -> Result<(), ClipError> {
        let positions = self.positions.chunks_exact(self.width);
        if tokens.ids().is_empty() || tokens.ids().len() > positions.len() {
            let reason = format!("a text of {} tokens", tokens.ids().len());
            return Err(ClipError::Engine(reason));
        }
        for (id, position) in tokens.ids().iter().zip(positions) {
            let start = *id as usize * self.width;
            let token = self
                .tokens
                .get(start..start + self.width)
                .ok_or_else(|| ClipError::Engine(format!("there is no token {id}")))?;
            x.extend(
                token
                    .iter()
                    .zip(position)
                    .map(|(token, place)| token + place),
            );
        }
        Ok(())
    }
}

/// One row of each sequence, as indices of a tensor.
fn positions_of(
    spans: &[Range<usize>],
    position: impl Fn(&Range<usize>) -> usize,
) -> Result<Tensor, ClipError> {
    let positions: Vec<_> = spans.iter().map(|span| position(span) as u32).collect();
    Ok(Tensor::new(positions, &Device::Cpu)?)
}
