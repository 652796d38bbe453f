//! One module a command: its flags, and the call that they become.

pub(crate) mod demo;
pub(crate) mod run;
pub(crate) mod tracker;
pub(crate) mod wat;
pub(crate) mod worker;
