//! The webdataset of a shard: image, caption and row of each pair, as one tar.

use tar::{EntryType, Header};

use crate::{
    error::Result,
    row::{Record, StoredImage},
    storage::{ObjectWriter, Sealed},
};

pub(crate) const BLOCK: usize = 512;

/// The end mark of a tar.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

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
        self.member(record, "txt", record.row.fetched.text.as_bytes())
            .await?;
        self.member(record, "json", &record.to_json()).await
    }

    /// Writes the end mark and sends what is left.
    pub(crate) async fn seal(mut self) -> Result<Sealed> {
        self.0.write(&END).await?;
        self.0.seal().await
    }

    async fn member(&mut self, record: &Record, extension: &str, bytes: &[u8]) -> Result<()> {
        let name = format!("{}.{extension}", record.place.key);
        self.0.write(&member(&name, bytes)).await
    }
}

/// A member with its header, filled up to whole blocks.
pub(crate) fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut member = Vec::with_capacity(BLOCK + bytes.len().next_multiple_of(BLOCK));
    member.extend_from_slice(header(name, bytes.len() as u64).as_bytes());
    member.extend_from_slice(bytes);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

/// The size that a member's header tells, if it is one.
pub(crate) fn size_of(header: &[u8]) -> Option<u64> {
    let header = Header::from_byte_slice(header);
    let cksum = header.as_ustar().is_some().then(|| header.cksum().ok());
    cksum.flatten()?;
    header.entry_size().ok()
}

/// The header of a member, by a name that is made here of digits and few letters.
pub(crate) fn header(name: &str, size: u64) -> Header {
    let mut header = Header::new_ustar();
    // A key is of digits and an extension of few letters, both checked: far below 100 bytes.
    header.set_path(name).expect("a short relative name");
    header.set_size(size);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header
}
