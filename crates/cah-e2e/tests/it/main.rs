//! The program as its users run it: processes, sockets, files and signals.

#![cfg(unix)]

mod bad_input;
#[path = "../../../cah-tracker/tests/it/postgres/cluster.rs"]
#[expect(dead_code, reason = "the tracker's own tests use more of it")]
mod cluster;
mod crashes;
mod demo;
mod faults;
mod flags;
mod hand_overs;
mod harness;
mod operator;
mod run;
mod signals;
mod tiny_clip;
mod wat;
mod workers;
