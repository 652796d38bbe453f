//! Integration tests of `cah-wat`.

mod damage;
mod golden;
mod hostile;
mod language;
mod pieces;
mod reading;
mod rules;
mod wat;
