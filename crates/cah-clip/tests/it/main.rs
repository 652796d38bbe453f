//! The tests of `cah-clip` as its users see it, against what Pillow and transformers make of the same
//! input (`tests/golden`, written by `make.py` there).

mod decode;
mod golden;
mod hostile;
mod hub;
mod models;
mod preprocess;
mod published;
mod safety;
mod scene;
mod tokens;
mod weights;
mod wrong_models;
