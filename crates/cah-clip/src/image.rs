//! Pixels in memory.

/// An image of 8-bit RGB, rows from top to bottom without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl RgbImage {
    /// Wraps `width * height * 3` bytes.
    ///
    /// # Panics
    /// Where the length of `data` is another.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Self {
        assert_eq!(data.len(), width as usize * height as usize * 3);
        Self {
            width,
            height,
            data,
        }
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, `height * width * 3`.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes, `height * width * 3`.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The rows from top to bottom, each of `width * 3` bytes.
    pub(crate) fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.data.chunks_exact(self.width as usize * 3)
    }
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}
