//! `model.safetensors`, read once from front to back.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};

use candle_core::{DType, Device, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use sha2::{Digest, Sha256};

use crate::error::ClipError;

/// The longest header that is believed; real ones are some hundred kilobytes.
const MAX_HEADER_BYTES: u64 = 100 << 20;

/// Where the weights lie.
#[derive(Clone, Debug)]
pub enum Weights {
    /// A file in the format of safetensors.
    File(PathBuf),
    /// The bytes of such a file.
    Memory(Cow<'static, [u8]>),
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Weights {
    /// Hands every tensor as f32 to `each` and returns the file's SHA-256 in hex. The file is read once, in order,
    /// so that no more than one tensor is held twice.
    pub(crate) fn read(&self, mut each: impl FnMut(&str, Tensor)) -> Result<String, ClipError> {
        let mut source = Source::open(self)?;
        let (header_length, tensors) = source.read_header()?;
        let mut ordered: Vec<_> = tensors.iter().collect();
        ordered.sort_by_key(|(_, info)| info.data_offsets);
        let data_length = ordered
            .last()
            .map_or(0, |(_, info)| info.data_offsets.1 as u64);
        source.check_length(header_length + data_length)?;
        for (name, info) in ordered {
            let (start, end) = info.data_offsets;
            let bytes = source.take(end - start)?;
            if let Some(tensor) = to_f32(info, &bytes)? {
                each(name, tensor);
            }
        }
        Ok(source.digest())
    }
}

/// The bytes of the file, hashed as they are read.
struct Source<'a> {
    reader: Box<dyn ReadSeek + 'a>,
    length: u64,
    hash: Sha256,
    path: PathBuf,
}

impl<'a> Source<'a> {
    fn open(weights: &'a Weights) -> Result<Self, ClipError> {
        let (mut reader, path): (Box<dyn ReadSeek>, _) = match weights {
            Weights::Memory(bytes) => (
                Box::new(std::io::Cursor::new(bytes.as_ref())),
                PathBuf::from("model.safetensors"),
            ),
            Weights::File(path) => {
                let file = File::open(path).map_err(|source| ClipError::Read {
                    path: path.clone(),
                    source,
                })?;
                (Box::new(BufReader::new(file)), path.clone())
            }
        };
        let length = reader
            .seek(SeekFrom::End(0))
            .and_then(|length| reader.rewind().map(|()| length))
            .map_err(|source| ClipError::Read {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            reader,
            length,
            hash: Sha256::new(),
            path,
        })
    }

    /// Reads the header: its length with the eight bytes before it, and what the tensors are.
    fn read_header(&mut self) -> Result<(u64, Vec<(String, TensorInfo)>), ClipError> {
        let mut bytes = self.take(8)?;
        let size = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes were taken"));
        if size > MAX_HEADER_BYTES || size + 8 > self.length {
            return Err(ClipError::bad_weights(format!(
                "a header of {size} bytes in a file of {}",
                self.length
            )));
        }
        bytes.extend(self.take(size as usize)?);
        // `SafeTensors::read_metadata` wants the whole file in memory; the header alone will do.
        let metadata: Metadata =
            serde_json::from_slice(&bytes[8..]).map_err(ClipError::bad_weights)?;
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
        Err(ClipError::bad_weights(format!(
            "{} bytes long where its header asks for {expected}",
            self.length
        )))
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, ClipError> {
        let mut bytes = vec![0; count];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => ClipError::bad_weights("it is cut off"),
                _ => ClipError::Read {
                    path: self.path.clone(),
                    source,
                },
            })?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn digest(self) -> String {
        let digest = self.hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
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
