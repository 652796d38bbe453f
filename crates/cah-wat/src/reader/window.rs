//! The bytes that came and are not used up yet.

/// A queue of bytes that knows where in the input it stands.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: usize,
    offset: u64,
}

impl Window {
    pub(crate) fn at(offset: u64) -> Self {
        Window {
            offset,
            ..Window::default()
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The offset in the input of the first byte of [`bytes`](Self::bytes).
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.bytes().len());
        self.start += count;
        self.offset += count as u64;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
