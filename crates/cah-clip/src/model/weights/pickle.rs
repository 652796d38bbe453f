//! `pytorch_model.bin`: a zip file of tensors, and of the pickle that describes them.
//!
//! Nothing of the pickle is run, as Python would: candle reads from it what tensors there are and no more.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use candle_core::{DType, Tensor, pickle::PthTensors};

use super::{super::digest::Digest, PYTORCH};
use crate::error::ClipError;

/// Hands every tensor as f32 to `each` and returns the file's SHA-256 in hex.
pub(super) fn read(path: &Path, each: impl FnMut(&str, Tensor)) -> Result<String, ClipError> {
    let unreadable = |source: io::Error| ClipError::Read {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    let digest = Digest::of_file(path).map_err(unreadable)?;
    // The reader takes the shape of the pickle for granted.
    catch_unwind(AssertUnwindSafe(|| read_tensors(path, length, each)))
        .unwrap_or_else(|_| Err(damaged("its pickle describes no tensors")))?;
    Ok(digest)
}

fn read_tensors(
    path: &Path,
    length: u64,
    mut each: impl FnMut(&str, Tensor),
) -> Result<(), ClipError> {
    let tensors = PthTensors::new(path, None).map_err(damaged)?;
    for (name, info) in tensors.tensor_infos() {
        // Others hold no weights, such as position ids.
        if !info.dtype.is_float() {
            continue;
        }
        let size = info.layout.shape().elem_count() as u64;
        if size > length {
            let reason = format!("{name} of {size} numbers in a file of {length} bytes");
            return Err(damaged(reason));
        }
        let tensor = tensors.get(name).map_err(damaged)?;
        if let Some(tensor) = tensor {
            let tensor = tensor.to_dtype(DType::F32).and_then(|it| it.contiguous());
            each(name, tensor.map_err(damaged)?);
        }
    }
    Ok(())
}

fn damaged(reason: impl ToString) -> ClipError {
    ClipError::bad_weights(PYTORCH, reason)
}
