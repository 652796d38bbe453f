//! What runs a CLIP model: one narrow trait, and the engine that is always there.

mod attention;
mod candle;
mod math;
mod ops;
mod tower;

use crate::{error::ClipError, preprocess::Pixels, tokenize::Tokens};

pub use candle::CandleEngine;

/// Runs the two towers of a CLIP model.
///
/// A row must not depend on what else is in the batch: on one machine the same bytes give the same row, in whatever
/// company they come. Of a wide model the bits can differ between machines, whose processors add in other orders.
pub trait Engine: Send + Sync {
    /// Numbers in an embedding.
    fn dimension(&self) -> usize;

    /// Embeds images, `[batch, dimension]`, of any length.
    ///
    /// # Errors
    /// [`ClipError::Engine`] for pixels of another size than the model's.
    fn embed_images(&self, batch: &[Pixels]) -> Result<Embeddings, ClipError>;

    /// Embeds texts from the state of each one's last token, `[batch, dimension]`, of any length.
    ///
    /// # Errors
    /// [`ClipError::Engine`] for ids that the model doesn't have.
    fn embed_texts(&self, batch: &[Tokens]) -> Result<Embeddings, ClipError>;
}

/// A batch of embeddings, a row each.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    dimension: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Wraps rows of `dimension` numbers.
    ///
    /// # Panics
    /// Where the values are not whole rows.
    pub fn new(dimension: usize, values: Vec<f32>) -> Self {
        assert!(dimension > 0 && values.len().is_multiple_of(dimension));
        Self { dimension, values }
    }

    /// Numbers in a row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// One embedding.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dimension..][..self.dimension]
    }

    /// The embeddings in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimension)
    }

    /// All numbers, row after row.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Whether no number is NaN or infinite.
    pub(crate) fn are_numbers(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }

    /// The rows scaled to unit length; a row of zeros stays one.
    pub(crate) fn normalised(mut self) -> Self {
        for row in self.values.chunks_exact_mut(self.dimension) {
            let norm = dot(row, row).sqrt();
            if norm > 0.0 {
                row.iter_mut()
                    .for_each(|value| *value = (f64::from(*value) / norm) as f32);
            }
        }
        self
    }
}

/// The similarity of two embeddings of unit length: their dot product, summed in f64 in order.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) as f32
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_with_unit_length() {
        let rows = Embeddings::new(2, vec![3.0, 4.0, 0.0, 0.0]).normalised();
        assert_eq!(rows.row(0), [0.6, 0.8]);
        assert_eq!(rows.row(1), [0.0, 0.0]);
        assert_eq!(rows.len(), 2);
        assert_eq!(cosine(rows.row(0), &[1.0, 0.0]), 0.6);
    }
}
