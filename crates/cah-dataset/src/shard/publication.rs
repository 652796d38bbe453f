//! The end of a shard: names for its files, and then the manifest.

use crate::{
    error::{DatasetError, Result},
    manifest::{Manifest, ShardInfo},
    names::ShardNames,
    storage::{Sealed, Store},
};

/// The files of a shard once they are whole, in the order of [`ShardNames::files`].
pub(super) type SealedFiles = Vec<(String, Sealed)>;

/// A shard whose files are sealed and which only needs its names.
pub(super) struct Publication {
    pub(super) store: Store,
    pub(super) info: ShardInfo,
    pub(super) manifest: Manifest,
    pub(super) files: SealedFiles,
}

impl Publication {
    /// Names the files, then the manifest.
    ///
    /// Whatever can fill a disk has happened before the first name is given. An older manifest
    /// goes first, so that at no time a manifest stands beside files that are not its own, then
    /// what a crash left of an earlier attempt and this one has not; and the new manifest comes
    /// only if the files are still those of this writer.
    pub(super) async fn publish(self) -> Result<Manifest> {
        let name = ShardNames(self.manifest.number).manifest();
        let json = self.manifest.to_json()?;
        let mut record = self.store.create(&name).await?;
        record.write(&json).await?;
        let record = record.seal().await?;

        let _turn = self.store.publishing_turn().await?;
        if self.store.completed(&self.info).await?.is_some() {
            self.store.remove(&name).await?;
        }
        for file in ShardNames(self.manifest.number).files() {
            if !self.manifest.files.contains_key(&file) {
                self.store.remove(&file).await?;
            }
        }
        let mut tags = Vec::new();
        for (file, sealed) in self.files {
            tags.push((file, sealed.publish().await?));
        }
        for (file, tag) in tags {
            check_still_ours(&self.store, &file, tag).await?;
        }
        record.publish().await?;
        Ok(self.manifest)
    }
}

async fn check_still_ours(store: &Store, file: &str, tag: Option<String>) -> Result<()> {
    match tag {
        Some(tag) if !store.is_still(file, &tag).await? => {
            Err(DatasetError::Overtaken(store.name_of(file)))
        }
        _ => Ok(()),
    }
}
