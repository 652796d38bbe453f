//! Attention over sequences of different lengths that lie one after the other.
//!
//! There is no padding: each sequence is computed by itself, so that its result depends on nothing beside it.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape};
use pulp::Arch;
use rayon::prelude::*;

use super::{
    math,
    ops::{Rows, sum},
};

/// Multi-head attention of queries `[queries, width]` over keys and values `[tokens, 2 * width]`. The queries are
/// scaled already.
pub(super) struct Attention<'a> {
    pub(super) heads: usize,
    /// The tokens of each sequence.
    pub(super) spans: &'a [Range<usize>],
    pub(super) queries: Queries,
}

/// Which tokens ask, and of which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queries {
    /// Every token asks all of its sequence.
    All,
    /// Every token asks itself and those before it.
    Causal,
    /// One query a sequence asks all of it.
    Pooled,
}

impl CustomOp2 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys_values: &CpuStorage,
        keys_values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let queries = Rows::of(queries, queries_layout)?;
        let keys_values = Rows::of(keys_values, keys_values_layout)?;
        let width = queries.width();
        let (count, _) = queries_layout.shape().dims2()?;
        let mut output = vec![0.0; count * width];
        self.split(&mut output, width)
            .into_par_iter()
            .for_each(|(first_query, span, output)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || self.attend(&queries, first_query, &keys_values, span, output),
                );
            });
        Ok((CpuStorage::F32(output), Shape::from((count, width))))
    }
}

impl Attention<'_> {
    /// The sequences with their first query and their part of the output.
    fn split<'o>(
        &self,
        mut output: &'o mut [f32],
        width: usize,
    ) -> Vec<(usize, Range<usize>, &'o mut [f32])> {
        let mut first_query = 0;
        let sequences = self.spans.iter().map(|span| {
            let count = match self.queries {
                Queries::Pooled => 1,
                Queries::All | Queries::Causal => span.len(),
            };
            let (part, rest) = std::mem::take(&mut output).split_at_mut(count * width);
            output = rest;
            let sequence = (first_query, span.clone(), part);
            first_query += count;
            sequence
        });
        sequences.collect()
    }

    /// One sequence, head after head.
    #[inline(always)]
    fn attend(
        &self,
        queries: &Rows<'_>,
        first_query: usize,
        keys_values: &Rows<'_>,
        span: Range<usize>,
        output: &mut [f32],
    ) {
        let width = queries.width();
        let size = width / self.heads;
        let length = span.len();
        let mut keys = vec![0.0; size * length];
        let mut weights = vec![0.0; length];
        for head in 0..self.heads {
            let columns = head * size..(head + 1) * size;
            for (t, token) in span.clone().enumerate() {
                let key = &keys_values.row(token)[columns.clone()];
                for (d, value) in key.iter().enumerate() {
                    keys[d * length + t] = *value;
                }
            }
            for (index, row) in output.chunks_exact_mut(width).enumerate() {
                let seen = match self.queries {
                    Queries::Causal => index + 1,
                    Queries::All | Queries::Pooled => length,
                };
                let query = &queries.row(first_query + index)[columns.clone()];
                let weights = &mut weights[..seen];
                score(query, &keys, length, weights);
                softmax(weights);
                let values = |t: usize| {
                    let value = width + columns.start..width + columns.end;
                    &keys_values.row(span.start + t)[value]
                };
                mix(weights, values, &mut row[columns.clone()]);
            }
        }
    }
}

/// The dot products of a query with keys that lie as `[size, length]`: four dimensions a pass, all
/// keys side by side.
#[inline(always)]
fn score(query: &[f32], keys: &[f32], length: usize, scores: &mut [f32]) {
    scores.fill(0.0);
    let seen = scores.len();
    let row = |d: usize| &keys[d * length..][..seen];
    let quads = query.chunks_exact(4);
    let rest = quads.remainder();
    for (index, quad) in quads.enumerate() {
        let d = index * 4;
        let (a, b, c, e) = (row(d), row(d + 1), row(d + 2), row(d + 3));
        for t in 0..seen {
            scores[t] += quad[0] * a[t] + quad[1] * b[t] + quad[2] * c[t] + quad[3] * e[t];
        }
    }
    for (index, q) in rest.iter().enumerate() {
        let key = row(query.len() - rest.len() + index);
        for t in 0..seen {
            scores[t] += q * key[t];
        }
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = math::exp(*score - highest);
    }
    let scale = 1.0 / sum(scores, |x| x);
    for score in scores.iter_mut() {
        *score *= scale;
    }
}

/// The sum of the values by their weights, two tokens a pass.
#[inline(always)]
fn mix<'v>(weights: &[f32], values: impl Fn(usize) -> &'v [f32], output: &mut [f32]) {
    output.fill(0.0);
    let pairs = weights.chunks_exact(2);
    let rest = pairs.remainder();
    for (index, pair) in pairs.enumerate() {
        let (a, b) = (values(index * 2), values(index * 2 + 1));
        for ((y, a), b) in output.iter_mut().zip(a).zip(b) {
            *y += pair[0] * a + pair[1] * b;
        }
    }
    if let [weight] = rest {
        let value = values(weights.len() - 1);
        for (y, v) in output.iter_mut().zip(value) {
            *y += weight * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn equal_keys_average_the_values() -> Result<()> {
        // Two sequences of 3 and 1 tokens, one head of width 2; keys are zero, values count up.
        let keys_values: Vec<f32> = (0..4).flat_map(|t| [0.0, 0.0, t as f32, 1.0]).collect();
        let keys_values = Tensor::from_vec(keys_values, (4, 4), &Device::Cpu)?;
        let queries = Tensor::ones((4, 2), candle_core::DType::F32, &Device::Cpu)?;
        let run = |queries: &Tensor, kind| -> Result<Vec<Vec<f32>>> {
            let spans = [0..3, 3..4];
            let op = Attention {
                heads: 1,
                spans: &spans,
                queries: kind,
            };
            queries.apply_op2_no_bwd(&keys_values, &op)?.to_vec2()
        };
        let causal = run(&queries, Queries::Causal)?;
        assert_eq!(causal, [[0.0, 1.0], [0.5, 1.0], [1.0, 1.0], [3.0, 1.0]]);
        let pooled = run(&queries.narrow(0, 0, 2)?, Queries::Pooled)?;
        assert_eq!(pooled, [[1.0, 1.0], [3.0, 1.0]]);
        Ok(())
    }
}
