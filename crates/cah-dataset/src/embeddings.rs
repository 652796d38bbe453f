//! Embeddings as numpy reads them.
//!
//! An npy file begins with its number of rows, which is known only at the end, and what was
//! uploaded cannot be changed. So rows wait in a file without a name, which the system removes
//! whatever happens; memory holds no more than one buffer of them.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::PathBuf,
};

use cah_task::blocking;
use half::f16;

use crate::{
    error::{DatasetError, Result},
    storage::{ObjectWriter, Sealed},
};

/// Bytes of rows in memory.
const BUFFER_BYTES: usize = 1 << 20;

/// How far an embedding's length may be from one: what f32 sums of a thousand squares lose, with
/// room to spare, and far less than an embedding that nobody normalised.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// One npy file on its way: float16, `[rows, dim]`.
pub(crate) struct EmbeddingWriter {
    object: ObjectWriter,
    dim: usize,
    rows: u64,
    buffer: Vec<u8>,
    scratch_folder: PathBuf,
    /// Rows that did not fit into the buffer.
    scratch: Option<File>,
}

impl EmbeddingWriter {
    pub(crate) fn new(object: ObjectWriter, dim: usize, scratch_folder: PathBuf) -> Self {
        Self {
            object,
            dim,
            rows: 0,
            buffer: Vec::new(),
            scratch_folder,
            scratch: None,
        }
    }

    /// Appends one row, which [`check`] found good.
    pub(crate) async fn push(&mut self, embedding: &[f32]) -> Result<()> {
        let halves = embedding.iter().map(|x| f16::from_f32(*x).to_le_bytes());
        self.buffer.extend(halves.flatten());
        self.rows += 1;
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.buffer);
        let (scratch, folder) = (self.scratch.take(), self.scratch_folder.clone());
        let spilt = blocking(move || {
            let mut scratch = match scratch {
                Some(scratch) => scratch,
                None => tempfile::tempfile_in(folder)?,
            };
            scratch.write_all(&rows).map(|()| scratch)
        });
        self.scratch = Some(spilt.await.map_err(|e| self.scratch_failed(e))?);
        Ok(())
    }

    /// Writes the header and all rows behind it, and sends what is left.
    pub(crate) async fn seal(mut self) -> Result<Sealed> {
        self.object.write(&header(self.rows, self.dim)).await?;
        if let Some(mut scratch) = self.scratch.take() {
            let rewound = blocking(move || scratch.rewind().map(|()| scratch)).await;
            let scratch = rewound.map_err(|e| self.scratch_failed(e))?;
            self.copy(scratch).await?;
        }
        self.object.write(&self.buffer).await?;
        self.object.seal().await
    }

    async fn copy(&mut self, mut from: File) -> Result<()> {
        loop {
            let read = blocking(move || {
                let mut rows = Vec::with_capacity(BUFFER_BYTES);
                let limit = BUFFER_BYTES as u64;
                (&mut from).take(limit).read_to_end(&mut rows)?;
                Ok((from, rows))
            });
            let (rest, rows) = read.await.map_err(|e| self.scratch_failed(e))?;
            if rows.is_empty() {
                return Ok(());
            }
            self.object.write(&rows).await?;
            from = rest;
        }
    }

    fn scratch_failed(&self, cause: std::io::Error) -> DatasetError {
        let folder = self.scratch_folder.display();
        let what = format!("{}, kept in {folder} until its end", self.object.name());
        DatasetError::io(what, cause)
    }
}

/// Makes sure that this can be a row: of the right number of finite values, of length one.
pub(crate) fn check(what: &str, embedding: &[f32], dim: usize) -> Result<(), String> {
    if embedding.len() != dim {
        let len = embedding.len();
        return Err(format!("its {what} embedding has {len} values, not {dim}"));
    }
    let squares: f64 = embedding.iter().map(|x| f64::from(*x).powi(2)).sum();
    // A value that is not finite makes the sum so, which is near nothing.
    if (squares.sqrt() - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(());
    }
    let length = squares.sqrt();
    Err(format!("its {what} embedding has length {length}, not 1"))
}

/// The header in the very words of numpy itself. embedding-reader, on which clip-retrieval and
/// autofaiss stand, takes it apart with a regular expression, and so refuses what other writers
/// of the format leave at a comma's difference.
fn header(rows: u64, dim: usize) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    let mut header = b"\x93NUMPY\x01\x00\0\0".to_vec();
    let words = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    header.extend(words.bytes());
    header.resize((header.len() + 1).next_multiple_of(ALIGNMENT) - 1, b' ');
    header.push(b'\n');
    // Two numbers of at most twenty digits: far below what 16 bits count.
    let length = (header.len() - 10) as u16;
    header[8..10].copy_from_slice(&length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_numpy_writes_them() {
        let header = header(3, 512);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let words = "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 512), }";
        assert_eq!(&header[10..10 + words.len()], words.as_bytes());
        assert_eq!((header.len(), header.last()), (128, Some(&b'\n')));
    }

    #[test]
    fn embeddings_are_checked() {
        assert_eq!(check("image", &[0.6, 0.8], 2), Ok(()));
        assert!(
            check("image", &[0.6, 0.8], 3)
                .unwrap_err()
                .contains("not 3")
        );
        for bad in [
            [0.6, 0.9],
            [0.0, 0.0],
            [f32::NAN, 0.0],
            [f32::INFINITY, 0.0],
        ] {
            let error = check("text", &bad, 2).unwrap_err();
            assert!(error.contains("text embedding has length"), "{error}");
        }
    }
}
