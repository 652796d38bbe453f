//! The row-wise operations between the matrix products, each in one pass and on all cores.
//!
//! Every row is computed by itself in a fixed order, so that a row's bits depend on nothing but the row.

use candle_core::{CpuStorage, CustomOp3, InplaceOp2, InplaceOp3, Layout, Result, Shape, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::math;
use crate::model::Activation;

/// How many numbers a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Layer normalisation of the rows of `[rows, width]`; then come weight and bias.
pub(super) struct LayerNorm {
    pub(super) eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, x_layout)?;
        let weight = floats(weight, weight_layout)?;
        let bias = floats(bias, bias_layout)?;
        let mut normed = vec![0.0; x.len()];
        let chunk = chunk_of(weight.len());
        let sources = x.par_chunks(chunk);
        sources
            .zip(normed.par_chunks_mut(chunk))
            .for_each(|(source, target)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || norm_rows(source, target, weight, bias, self.eps),
                );
            });
        Ok((CpuStorage::F32(normed), x_layout.shape().clone()))
    }
}

#[inline(always)]
fn norm_rows(source: &[f32], target: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let width = weight.len();
    let rows = source.chunks_exact(width);
    for (source, target) in rows.zip(target.chunks_exact_mut(width)) {
        let mean = sum(source, |x| x) / width as f32;
        let variance = sum(source, |x| (x - mean) * (x - mean)) / width as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for (((y, x), w), b) in target.iter_mut().zip(source).zip(weight).zip(bias) {
            *y = (x - mean) * scale * w + b;
        }
    }
}

/// A sum in sixteen interleaved parts: as fast as vectors allow, and in the same order on every machine.
#[inline(always)]
pub(super) fn sum(values: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (part, value) in parts.iter_mut().zip(chunk) {
            *part += map(*value);
        }
    }
    for (part, value) in parts.iter_mut().zip(rest) {
        *part += map(*value);
    }
    parts.iter().sum()
}

/// Adds a bias to every row in place.
pub(super) struct AddBias;

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        map_with_bias(x, x_layout, bias, bias_layout, |x| x)
    }
}

/// Adds a bias to every row in place and applies the MLP's nonlinearity.
pub(super) struct AddBiasActivate(pub(super) Activation);

impl InplaceOp2 for AddBiasActivate {
    fn name(&self) -> &'static str {
        "add-bias-activate"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        match self.0 {
            Activation::QuickGelu => {
                map_with_bias(x, x_layout, bias, bias_layout, math::quick_gelu)
            }
            Activation::Gelu => map_with_bias(x, x_layout, bias, bias_layout, math::gelu),
        }
    }
}

fn map_with_bias(
    x: &mut CpuStorage,
    x_layout: &Layout,
    bias: &CpuStorage,
    bias_layout: &Layout,
    map: impl Fn(f32) -> f32 + Copy + Sync,
) -> Result<()> {
    let bias = floats(bias, bias_layout)?;
    let x = floats_mut(x, x_layout)?;
    x.par_chunks_mut(chunk_of(bias.len())).for_each(|rows| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(bias.len()) {
                    for (x, b) in row.iter_mut().zip(bias) {
                        *x = map(*x + b);
                    }
                }
            },
        );
    });
    Ok(())
}

/// Adds a bias to every row and the residual stream to that, in place.
pub(super) struct AddBiasResidual;

impl InplaceOp3 for AddBiasResidual {
    fn name(&self) -> &'static str {
        "add-bias-residual"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<()> {
        let bias = floats(bias, bias_layout)?;
        let residual = floats(residual, residual_layout)?;
        let x = floats_mut(x, x_layout)?;
        let chunk = chunk_of(bias.len());
        let pairs = x.par_chunks_mut(chunk).zip(residual.par_chunks(chunk));
        pairs.for_each(|(rows, residuals)| {
            let rows = rows.chunks_exact_mut(bias.len());
            for (row, residual) in rows.zip(residuals.chunks_exact(bias.len())) {
                for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                    *x += b + r;
                }
            }
        });
        Ok(())
    }
}

/// Whole rows that make about [`CHUNK`] numbers.
fn chunk_of(width: usize) -> usize {
    width * (CHUNK / width).max(1)
}

/// The numbers of a contiguous tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("contiguous f32 is expected"),
    }
}

fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("contiguous f32 is expected"),
    }
}

/// The rows of a `[rows, width]` tensor of which the columns may be a part.
pub(super) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let CpuStorage::F32(values) = storage else {
            bail!("f32 is expected");
        };
        let (_, width) = layout.shape().dims2()?;
        match layout.stride() {
            &[stride, 1] => Ok(Self {
                values: &values[layout.start_offset()..],
                stride,
                width,
            }),
            _ => bail!("rows of adjacent numbers are expected"),
        }
    }

    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.width]
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}
