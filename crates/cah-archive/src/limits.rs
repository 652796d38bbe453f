/// How much an archive may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of the whole archive once it is inflated, headers included.
    pub total: u64,
    /// The most bytes of one file.
    pub entry: u64,
    /// The most files and folders.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB, 2 GiB a file, two million entries: several times the largest shard.
    fn default() -> Self {
        Self {
            total: 64 << 30,
            entry: 2 << 30,
            entries: 2_000_000,
        }
    }
}
