//! One transformer of CLIP over rows of tokens, `[tokens, width]`, without padding.

use std::ops::Range;

use candle_core::Tensor;

use super::{
    attention::{Attention, Queries},
    ops::{AddBias, AddBiasActivate, AddBiasResidual, LayerNorm},
};
use crate::{
    error::ClipError,
    model::{Activation, TowerConfig},
};

/// How many rows a matrix product has at least; what lacks is filled with zeros.
///
/// For small products `gemm` has other code, which adds in another order, and an embedding would depend on the size of
/// its batch: below 256 numbers in all, for single rows, and up to 64 by 64.
fn min_rows(outputs: usize) -> usize {
    match outputs {
        0..=64 => 65,
        _ => 8,
    }
}

/// Which tokens a token attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Both,
    Backward,
}

/// The weights of layers by name.
pub(super) trait Source {
    /// Takes the tensor that has this name, which must have this shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ClipError>;
}

/// A stack of blocks.
pub(super) struct Tower {
    blocks: Vec<Block>,
    direction: Direction,
}

impl Tower {
    pub(super) fn load(
        source: &mut dyn Source,
        prefix: &str,
        config: &TowerConfig,
        direction: Direction,
    ) -> Result<Self, ClipError> {
        let blocks = (0..config.layers)
            .map(|index| Block::load(source, &format!("{prefix}.encoder.layers.{index}"), config))
            .collect::<Result<_, _>>()?;
        Ok(Self { blocks, direction })
    }

    /// The last block's state of one token of each sequence: `[sequences, width]`. All that the last block
    /// computes for other tokens are their keys and values.
    pub(super) fn pooled(
        &self,
        mut x: Tensor,
        spans: &[Range<usize>],
        pooled: &Tensor,
    ) -> Result<Tensor, ClipError> {
        let queries = match self.direction {
            Direction::Both => Queries::All,
            Direction::Backward => Queries::Causal,
        };
        let (last, blocks) = self
            .blocks
            .split_last()
            .expect("a configuration has at least one layer");
        for block in blocks {
            x = block.forward(x, spans, queries)?;
        }
        last.forward_pooled(&x, spans, pooled)
    }
}

/// Attention and MLP, each over a normalised copy of the stream and added to it.
struct Block {
    norm1: Norm,
    /// Query (scaled), key and value in one product: `[3 * width, width]`.
    qkv: Linear,
    out: Linear,
    norm2: Norm,
    up: Linear,
    down: Linear,
    heads: usize,
    width: usize,
    activation: Activation,
}

impl Block {
    fn load(
        source: &mut dyn Source,
        prefix: &str,
        config: &TowerConfig,
    ) -> Result<Self, ClipError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let mut linear = |name: &str, rows: usize, columns: usize| {
            Linear::load(source, &format!("{prefix}.{name}"), rows, columns)
        };
        let query = linear("self_attn.q_proj", width, width)?;
        let key = linear("self_attn.k_proj", width, width)?;
        let value = linear("self_attn.v_proj", width, width)?;
        let out = linear("self_attn.out_proj", width, width)?;
        let up = linear("mlp.fc1", inner, width)?;
        let down = linear("mlp.fc2", width, inner)?;
        let scale = ((width / config.heads) as f64).powf(-0.5);
        let mut norm = |name: &str| {
            Norm::load(
                source,
                &format!("{prefix}.{name}"),
                width,
                config.layer_norm_eps,
            )
        };
        Ok(Self {
            norm1: norm("layer_norm1")?,
            qkv: Linear::stacked(&[query.scaled(scale)?, key, value])?,
            out,
            norm2: norm("layer_norm2")?,
            up,
            down,
            heads: config.heads,
            width,
            activation: config.activation,
        })
    }

    fn forward(
        &self,
        x: Tensor,
        spans: &[Range<usize>],
        queries: Queries,
    ) -> Result<Tensor, ClipError> {
        let qkv = self.qkv.forward(&self.norm1.forward(&x)?)?;
        let query = qkv.narrow(1, 0, self.width)?;
        let key_value = qkv.narrow(1, self.width, 2 * self.width)?;
        let mixed = self.attention(&query, &key_value, spans, queries)?;
        self.mlp(self.out.forward_onto(&mixed, &x)?)
    }

    fn forward_pooled(
        &self,
        x: &Tensor,
        spans: &[Range<usize>],
        pooled: &Tensor,
    ) -> Result<Tensor, ClipError> {
        let normed = self.norm1.forward(x)?;
        let asking = normed.index_select(pooled, 0)?;
        let query = self.qkv.rows(0, self.width)?.forward(&asking)?;
        let key_value = self
            .qkv
            .rows(self.width, 2 * self.width)?
            .forward(&normed)?;
        let mixed = self.attention(&query, &key_value, spans, Queries::Pooled)?;
        let stream = x.index_select(pooled, 0)?;
        self.mlp(self.out.forward_onto(&mixed, &stream)?)
    }

    fn attention(
        &self,
        query: &Tensor,
        key_value: &Tensor,
        spans: &[Range<usize>],
        queries: Queries,
    ) -> Result<Tensor, ClipError> {
        let attention = Attention {
            heads: self.heads,
            spans,
            queries,
        };
        Ok(query.apply_op2_no_bwd(key_value, &attention)?)
    }

    fn mlp(&self, x: Tensor) -> Result<Tensor, ClipError> {
        let normed = self.norm2.forward(&x)?;
        let inner = self.up.forward_activated(&normed, self.activation)?;
        self.down.forward_onto(&inner, &x)
    }
}

/// Layer normalisation with its weights.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn load(
        source: &mut dyn Source,
        name: &str,
        width: usize,
        eps: f32,
    ) -> Result<Self, ClipError> {
        Ok(Self {
            weight: source.take(&format!("{name}.weight"), &[width])?,
            bias: source.take(&format!("{name}.bias"), &[width])?,
            eps,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, ClipError> {
        let norm = LayerNorm { eps: self.eps };
        Ok(x.apply_op3_no_bwd(&self.weight, &self.bias, &norm)?)
    }
}

/// `x W' + b`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(
        source: &mut dyn Source,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Self, ClipError> {
        Ok(Self {
            weight: source.take(&format!("{name}.weight"), &[rows, columns])?,
            bias: source.take(&format!("{name}.bias"), &[rows])?,
        })
    }

    fn scaled(&self, factor: f64) -> Result<Self, ClipError> {
        Ok(Self {
            weight: (&self.weight * factor)?,
            bias: (&self.bias * factor)?,
        })
    }

    /// Several in one, their outputs side by side.
    fn stacked(parts: &[Self]) -> Result<Self, ClipError> {
        let weights: Vec<_> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<_> = parts.iter().map(|part| &part.bias).collect();
        Ok(Self {
            weight: Tensor::cat(&weights, 0)?,
            bias: Tensor::cat(&biases, 0)?,
        })
    }

    /// A part of the outputs.
    fn rows(&self, start: usize, count: usize) -> Result<Self, ClipError> {
        Ok(Self {
            weight: self.weight.narrow(0, start, count)?,
            bias: self.bias.narrow(0, start, count)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, ClipError> {
        let y = product(x, &self.weight)?;
        y.inplace_op2(&self.bias, &AddBias)?;
        Ok(y)
    }

    fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor, ClipError> {
        let y = product(x, &self.weight)?;
        y.inplace_op2(&self.bias, &AddBiasActivate(activation))?;
        Ok(y)
    }

    /// The output on top of the residual stream.
    fn forward_onto(&self, x: &Tensor, stream: &Tensor) -> Result<Tensor, ClipError> {
        let y = product(x, &self.weight)?;
        y.inplace_op3(&self.bias, stream, &AddBiasResidual)?;
        Ok(y)
    }
}

/// `x W'`, a row of which depends on the same row of `x` alone.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor, ClipError> {
    let (rows, _) = x.dims2()?;
    let transposed = weight.t()?;
    let least = min_rows(weight.dim(0)?);
    if rows >= least {
        return Ok(x.matmul(&transposed)?);
    }
    let padded = x.pad_with_zeros(0, 0, least - rows)?;
    let product = padded.matmul(&transposed)?.narrow(0, 0, rows)?;
    Ok(product.contiguous()?)
}
