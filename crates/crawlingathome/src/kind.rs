//! The types of Crawling@Home workers, as types.

use cah_protocol::WorkerType;

/// What a worker of Crawling@Home does with a shard.
///
/// Sealed: the protocol has three.
pub trait Kind: sealed::Sealed + Send + Sync + 'static {
    /// The type as a value.
    const TYPE: WorkerType;
}

/// Takes a shard the whole way from WAT to pairs.
#[derive(Clone, Copy, Debug)]
pub enum Hybrid {}

/// Takes a shard from WAT to images, and hands these over.
#[derive(Clone, Copy, Debug)]
pub enum Cpu {}

/// Takes a shard from images that were handed over to pairs.
#[derive(Clone, Copy, Debug)]
pub enum Gpu {}

impl Kind for Hybrid {
    const TYPE: WorkerType = WorkerType::Hybrid;
}

impl Kind for Cpu {
    const TYPE: WorkerType = WorkerType::Cpu;
}

impl Kind for Gpu {
    const TYPE: WorkerType = WorkerType::Gpu;
}

/// What counts pairs at the end.
pub trait CountsPairs: Kind {}
impl CountsPairs for Hybrid {}
impl CountsPairs for Gpu {}

/// What begins with a WAT file.
#[cfg(feature = "files")]
pub trait ReadsWats: Kind {}
#[cfg(feature = "files")]
impl ReadsWats for Hybrid {}
#[cfg(feature = "files")]
impl ReadsWats for Cpu {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Hybrid {}
    impl Sealed for super::Cpu {}
    impl Sealed for super::Gpu {}
}
