//! The tracker over real HTTP and real files.

mod app;
mod conformance;
mod cycle;
mod hostile;
mod import;
mod model;
mod pages;
mod races;
mod recount;
mod restart;
