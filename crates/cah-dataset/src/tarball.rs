//! The webdataset of a shard: image, caption and row of each pair, as one tar.

use tar::{EntryType, Header};

use crate::{
    error::Result,
    row::{Record, StoredImage},
    storage::{ObjectWriter, Sealed},
};

const BLOCK: usize = 512;

/// A tar on its way. Members carry no time, owner or machine: the same pairs, the same bytes.
pub(crate) struct Tarball(ObjectWriter);

impl Tarball {
    pub(crate) fn new(object: ObjectWriter) -> Self {
        Self(object)
    }

    /// Appends `KEY.jpg`, `KEY.txt` and `KEY.json`; webdataset groups members that follow each
    /// other and share what stands before the first dot.
    pub(crate) async fn push(&mut self, record: &Record, image: &StoredImage) -> Result<()> {
        self.member(record, &image.extension, &image.bytes).await?;
        self.member(record, "txt", record.row.text.as_bytes())
            .await?;
        self.member(record, "json", &record.to_json()).await
    }

    /// Writes the end mark, two empty blocks, and sends what is left.
    pub(crate) async fn seal(mut self) -> Result<Sealed> {
        self.0.write(&[0; 2 * BLOCK]).await?;
        self.0.seal().await
    }

    async fn member(&mut self, record: &Record, extension: &str, bytes: &[u8]) -> Result<()> {
        let header = header(&format!("{}.{extension}", record.key), bytes.len());
        self.0.write(header.as_bytes()).await?;
        self.0.write(bytes).await?;
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        self.0.write(&[0; BLOCK][..padding]).await
    }
}

fn header(name: &str, size: usize) -> Header {
    let mut header = Header::new_ustar();
    // A key is of digits and an extension of few letters, both checked: far below 100 bytes.
    header.set_path(name).expect("a short relative name");
    header.set_size(size as u64);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header
}
