//! What the files of a shard and the members of its tar are called.

use object_store::path::Path;

/// The folder of the manifests.
pub(crate) const STATS: &str = "stats";

/// Every folder of a dataset.
pub(crate) const FOLDERS: [&str; 5] = ["images", "metadata", "img_emb", "text_emb", STATS];

/// The names of one shard's files, relative to the dataset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardNames(pub(crate) u64);

impl ShardNames {
    pub(crate) fn images(self) -> String {
        format!("images/{:09}.tar", self.0)
    }

    pub(crate) fn metadata(self) -> String {
        format!("metadata/metadata_{:09}.parquet", self.0)
    }

    pub(crate) fn image_embeddings(self) -> String {
        format!("img_emb/img_emb_{:09}.npy", self.0)
    }

    pub(crate) fn text_embeddings(self) -> String {
        format!("text_emb/text_emb_{:09}.npy", self.0)
    }

    pub(crate) fn manifest(self) -> String {
        format!("{STATS}/{:09}.json", self.0)
    }

    /// Every file but the manifest, in the order in which a shard is published; the tar of
    /// images, which may be missing, comes first.
    pub(crate) fn files(self) -> [String; 4] {
        [
            self.images(),
            self.metadata(),
            self.image_embeddings(),
            self.text_embeddings(),
        ]
    }

    /// The key of the candidate with this index: the shard's number, then the index in at least
    /// five digits, so that keys of a shard sort as their indices up to 99,999.
    pub(crate) fn key(self, index: u64) -> String {
        format!("{:09}{index:05}", self.0)
    }

    /// The shard whose manifest this is, or nothing where it is another file.
    pub(crate) fn of_manifest(path: &Path) -> Option<Self> {
        let digits = path.filename()?.strip_suffix(".json")?;
        let names = Self(digits.parse().ok()?);
        (names.manifest() == path.as_ref()).then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_layout() {
        let names = ShardNames(42);
        assert_eq!(names.images(), "images/000000042.tar");
        assert_eq!(names.metadata(), "metadata/metadata_000000042.parquet");
        assert_eq!(names.image_embeddings(), "img_emb/img_emb_000000042.npy");
        assert_eq!(names.text_embeddings(), "text_emb/text_emb_000000042.npy");
        assert_eq!(names.manifest(), "stats/000000042.json");
        assert_eq!(names.key(7), "00000004200007");
        assert_eq!(names.key(123_456), "000000042123456");
    }

    #[test]
    fn only_manifests_are_taken_for_manifests() {
        let number = |name: &str| ShardNames::of_manifest(&Path::from(name)).map(|n| n.0);
        assert_eq!(number("stats/000000042.json"), Some(42));
        assert_eq!(number("stats/1234567890.json"), Some(1_234_567_890));
        for other in [
            "stats/42.json",
            "stats/.000000042.json.x.part",
            "stats/+00000042.json",
            "stats/a/000000042.json",
            "stats/000000042.txt",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
