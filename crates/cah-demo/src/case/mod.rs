//! Everything that can happen to a candidate, as figures of pages.
//!
//! A case is a function that puts one or more figures on a page, publishes what their addresses
//! answer and says where each of them should end. Every WAT file has every case once.

mod broken;
mod fetch;
mod rules;
mod sound;

use crate::{page::Figure, studio::Studio};

/// Puts the figures of one case on a page. They stay together and in order.
pub(crate) type Case = fn(&mut Studio) -> Vec<Figure>;

/// Every case.
pub(crate) fn catalogue() -> impl Iterator<Item = Case> {
    [rules::CASES, fetch::CASES, broken::CASES, sound::CASES]
        .into_iter()
        .flatten()
        .copied()
}
