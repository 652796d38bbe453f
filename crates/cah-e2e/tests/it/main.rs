//! The program as its users run it: processes, sockets, files and signals.

#![cfg(unix)]

mod bad_input;
mod crashes;
mod demo;
mod faults;
mod flags;
mod harness;
mod operator;
mod run;
mod signals;
mod tiny_clip;
mod wat;
