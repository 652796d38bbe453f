//! Tars from anywhere, extracted into a folder and nowhere else.
//!
//! An archive that somebody else made is hostile until it is in its place: [`extract`] refuses, with
//! the entry's name, what would leave the folder, what is neither a file nor a folder, and what is
//! larger than its [`Limits`]. Nothing of a refused archive stays.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let folder = dir.path().join("images");
//! # let mut tar = tar::Builder::new(Vec::new());
//! # let mut header = tar::Header::new_ustar();
//! # header.set_size(2);
//! # tar.append_data(&mut header, "images/1.jpg", &b"hi"[..])?;
//! # let archive = tar.into_inner()?;
//! use cah_archive::{Limits, extract};
//!
//! let extracted = extract(archive.as_slice(), &folder, &Limits::default())?;
//! assert_eq!((extracted.files, extracted.bytes), (1, 2));
//! # assert!(folder.join("images/1.jpg").exists());
//! # Ok(())
//! # }
//! ```

mod entries;
mod error;
mod extract;
mod gunzip;
mod limits;
mod name;
mod settle;
mod unsynced;

pub use error::{ArchiveError, Refusal};
pub use extract::{Extracted, extract};
pub use gunzip::Gunzip;
pub use limits::Limits;
