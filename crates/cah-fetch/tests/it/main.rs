//! The fetcher against real servers on loopback: well-behaved, slow, lying and hostile ones.

mod basics;
mod cancellation;
mod limits;
mod names;
mod opt_outs;
mod politeness;
mod redirects;
mod refused;
mod retries;
mod scale;
mod support;
mod tls;
