//! The worker on real files, servers and images.

mod candidates;
mod leased;
mod pipeline;
mod rival;
mod sources;
mod support;
