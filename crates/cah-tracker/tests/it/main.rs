//! The tracker over real HTTP and real files.

mod admin;
mod app;
mod conformance;
mod cycle;
mod distcompute;
mod hostile;
mod import;
mod limits;
mod model;
mod monitor;
mod network;
mod pages;
mod postgres;
mod races;
mod recount;
mod restart;
mod staging;
mod whole_wats;
