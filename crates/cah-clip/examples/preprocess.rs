//! Decodes and preprocesses every image of a folder some times over, on one thread: our half of
//! `bench/preprocess`.
//!
//! Usage: `preprocess FOLDER PASSES`

use std::{error::Error, fs, hint::black_box};

use cah_clip::{Limits, Preprocessor, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder of images")?;
    let passes: usize = arguments.next().ok_or("give a number of passes")?.parse()?;

    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    let files: Vec<_> = paths.iter().map(fs::read).collect::<Result<_, _>>()?;

    let preprocessor = Preprocessor::clip(224);
    let limits = Limits::default();
    for _ in 0..passes {
        for bytes in &files {
            let decoded = decode(bytes, &limits)?;
            black_box(preprocessor.pixels(&decoded.image));
        }
    }
    Ok(())
}
