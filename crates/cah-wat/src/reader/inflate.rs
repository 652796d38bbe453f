//! libdeflate: a whole gzip member in one call. The only unsafe code of the workspace.

use std::ptr::NonNull;

use libdeflate_sys as sys;

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inflated {
    /// It is whole and its checksum is right.
    Whole {
        /// Bytes of input that it takes.
        consumed: usize,
        /// Bytes of output that it gives.
        written: usize,
    },
    /// It gives more than the output holds.
    TooLong,
    /// It is cut off or damaged; libdeflate does not say which.
    Bad,
}

/// A reusable libdeflate decompressor.
#[derive(Debug)]
pub(crate) struct Inflater(NonNull<sys::libdeflate_decompressor>);

// SAFETY: the decompressor is plain memory that this value alone owns; libdeflate keeps nothing
// in thread-local storage.
#[allow(unsafe_code)]
unsafe impl Send for Inflater {}

impl Inflater {
    #[allow(unsafe_code)]
    pub(crate) fn new() -> Self {
        // SAFETY: takes no arguments; the result is checked.
        let raw = unsafe { sys::libdeflate_alloc_decompressor() };
        // It fails only when the allocator does, and then Rust's own collections abort as well.
        Inflater(NonNull::new(raw).expect("an allocation of 12 KiB"))
    }

    /// Inflates the gzip member at the start of `input` into `output`.
    #[allow(unsafe_code)]
    pub(crate) fn member(&mut self, input: &[u8], output: &mut [u8]) -> Inflated {
        let (mut consumed, mut written) = (0, 0);
        // SAFETY: the decompressor is alive and exclusively borrowed; each pointer comes with the
        // length of the slice it was taken from, and libdeflate stays within those lengths; the
        // two counters outlive the call.
        let result = unsafe {
            sys::libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                output.as_mut_ptr().cast(),
                output.len(),
                &mut consumed,
                &mut written,
            )
        };
        match result {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS => Inflated::Whole { consumed, written },
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Inflated::TooLong,
            _ => Inflated::Bad,
        }
    }
}

impl Drop for Inflater {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed only here.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn tells_what_a_member_takes_and_gives() {
        let mut input = gzip(b"one member");
        let len = input.len();
        input.extend_from_slice(b"and what follows");
        let mut output = [0; 64];
        let whole = Inflater::new().member(&input, &mut output);
        assert_eq!(
            whole,
            Inflated::Whole {
                consumed: len,
                written: 10
            }
        );
        assert_eq!(&output[..10], b"one member");
    }

    #[test]
    fn tells_too_long_from_bad() {
        let input = gzip(b"one member");
        let mut inflater = Inflater::new();
        assert_eq!(inflater.member(&input, &mut [0; 3]), Inflated::TooLong);
        assert_eq!(inflater.member(&input[..15], &mut [0; 64]), Inflated::Bad);
        assert_eq!(inflater.member(b"", &mut []), Inflated::Bad);
    }
}
