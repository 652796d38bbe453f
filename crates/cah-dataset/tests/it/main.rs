//! The dataset as a caller of the library sees it.

mod candidates;
mod crash;
mod faulty;
mod hand_over;
mod layout;
mod open;
mod remote;
mod resume;
mod round_trip;
mod support;
