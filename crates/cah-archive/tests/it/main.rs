//! Archives, sound and hostile, extracted into real folders.

mod hostile;
mod sound;
mod support;
