//! Places where files are put: folders and buckets, behind one writer.
//!
//! A file goes through three steps, whatever the place: its bytes are written, it is sealed
//! (everything is at the place, size and digest are known) and it is published (it appears under
//! its name, whole). Until then nothing is there under that name.

mod location;
mod object;
mod store;

pub(crate) use location::split_file;
pub(crate) use object::{ObjectWriter, Sealed};
pub use store::Store;
