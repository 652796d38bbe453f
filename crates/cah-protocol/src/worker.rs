//! Kinds of workers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a Crawling@Home worker does with a shard.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum WorkerType {
    /// The whole way from WAT to pairs; what a worker is where the type is left out.
    #[default]
    #[serde(rename = "HYBRID")]
    Hybrid,
    /// From WAT to images, handed over to a GPU worker.
    #[serde(rename = "CPU")]
    Cpu,
    /// From handed-over images to pairs.
    #[serde(rename = "GPU")]
    Gpu,
}

/// Text that names no worker type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no worker type; the types are HYBRID, CPU and GPU")]
pub struct UnknownWorkerType(pub String);

impl WorkerType {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            WorkerType::Hybrid => "HYBRID",
            WorkerType::Cpu => "CPU",
            WorkerType::Gpu => "GPU",
        }
    }
}

impl fmt::Display for WorkerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkerType {
    type Err = UnknownWorkerType;

    /// Reads a name as the reference client does: the first letter counts, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownWorkerType> {
        match text.trim_start().chars().next() {
            Some('H' | 'h') => Ok(WorkerType::Hybrid),
            Some('C' | 'c') => Ok(WorkerType::Cpu),
            Some('G' | 'g') => Ok(WorkerType::Gpu),
            _ => Err(UnknownWorkerType(text.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_letter_counts() {
        assert_eq!("hybrid".parse(), Ok(WorkerType::Hybrid));
        assert_eq!("Cpu".parse(), Ok(WorkerType::Cpu));
        assert_eq!("g".parse(), Ok(WorkerType::Gpu));
        assert!("".parse::<WorkerType>().is_err());
        assert!("tpu".parse::<WorkerType>().is_err());
    }
}
