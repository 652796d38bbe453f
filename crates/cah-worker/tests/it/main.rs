//! The worker on real files, servers and images.

mod candidates;
mod held_back;
mod leased;
mod pipeline;
mod rival;
mod sources;
mod support;
