//! Files in the format of safetensors.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{super::digest::Digest, WHOLE};
use crate::error::ClipError;

/// The longest header that is believed; real ones are some hundred kilobytes.
const MAX_HEADER_BYTES: u64 = 100 << 20;

/// The bytes of a file, hashed as they are read.
pub(super) struct SafetensorsFile<'a> {
    reader: Box<dyn Read + 'a>,
    length: u64,
    digest: &'a mut Digest,
    path: PathBuf,
}

impl<'a> SafetensorsFile<'a> {
    pub(super) fn open(path: &Path, digest: &'a mut Digest) -> Result<Self, ClipError> {
        let length_and_file = || {
            let file = File::open(path)?;
            Ok((file.metadata()?.len(), file))
        };
        let (length, file) = length_and_file().map_err(|source| ClipError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            reader: Box::new(BufReader::new(file)),
            length,
            digest,
            path: path.to_owned(),
        })
    }

    pub(super) fn new(bytes: &'a [u8], digest: &'a mut Digest) -> Self {
        Self {
            reader: Box::new(bytes),
            length: bytes.len() as u64,
            digest,
            path: PathBuf::from(WHOLE),
        }
    }

    /// Hands every tensor to `each`, as f32 and in the order of the file, which is read once from front to back.
    pub(super) fn read(mut self, each: &mut impl FnMut(&str, Tensor)) -> Result<(), ClipError> {
        let (header_length, tensors) = self.read_header()?;
        let mut ordered: Vec<_> = tensors.iter().collect();
        ordered.sort_by_key(|(_, info)| info.data_offsets);
        let data_length = ordered
            .last()
            .map_or(0, |(_, info)| info.data_offsets.1 as u64);
        self.check_length(header_length + data_length)?;
        for (name, info) in ordered {
            let (start, end) = info.data_offsets;
            let bytes = self.take(end - start)?;
            if let Some(tensor) = to_f32(info, &bytes)? {
                each(name, tensor);
            }
        }
        Ok(())
    }

    /// Reads the header: its length with the eight bytes before it, and what the tensors are.
    fn read_header(&mut self) -> Result<(u64, Vec<(String, TensorInfo)>), ClipError> {
        let mut bytes = self.take(8)?;
        let size = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes were taken"));
        if size > MAX_HEADER_BYTES || size + 8 > self.length {
            return Err(self.damaged(format!(
                "a header of {size} bytes in a file of {}",
                self.length
            )));
        }
        bytes.extend(self.take(size as usize)?);
        // `SafeTensors::read_metadata` wants the whole file in memory; the header alone will do.
        let metadata: Metadata =
            serde_json::from_slice(&bytes[8..]).map_err(|error| self.damaged(error))?;
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.clone()))
            .collect();
        Ok((bytes.len() as u64, tensors))
    }

    fn check_length(&self, expected: u64) -> Result<(), ClipError> {
        if self.length == expected {
            return Ok(());
        }
        Err(self.damaged(format!(
            "{} bytes long where its header asks for {expected}",
            self.length
        )))
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, ClipError> {
        let mut bytes = vec![0; count];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged("it is cut off"));
            }
            Err(source) => {
                let path = self.path.clone();
                return Err(ClipError::Read { path, source });
            }
        }
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn damaged(&self, reason: impl ToString) -> ClipError {
        let name = self.path.file_name().unwrap_or_default();
        ClipError::bad_weights(name.to_string_lossy(), reason)
    }
}

/// A tensor in f32; `None` for what holds no weights, such as position ids.
fn to_f32(info: &TensorInfo, bytes: &[u8]) -> Result<Option<Tensor>, ClipError> {
    let dtype = match info.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        _ => return Ok(None),
    };
    let tensor = Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)?;
    Ok(Some(tensor.to_dtype(DType::F32)?))
}
