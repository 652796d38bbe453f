//! The images that a CPU worker handed over.

use std::sync::Arc;

use bytes::Bytes;
use cah_dataset::{DatasetError, FetchedRow, HandedOver};
use cah_protocol::Outcome;
use cah_task::blocking;
use serde_json::Value;
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    Progress, WorkerError,
    pipeline::{Fetched, Images, MAX_IMAGE_BYTES, Memory, Numbered, Settings, Share, Steps},
};

/// A hand-over as the place where a shard's images come from.
pub(crate) struct Unpacked<'a> {
    pub(crate) handed_over: Arc<HandedOver>,
    /// The longest image that this worker takes, in bytes.
    pub(crate) most: u64,
    /// What the images take their bytes of, before they are read.
    pub(crate) memory: &'a Memory,
    /// Images that may wait to be decoded.
    pub(crate) waiting: usize,
    pub(crate) progress: &'a Progress,
}

impl Images for Unpacked<'_> {
    async fn bring(&self, steps: &mut Steps) -> Result<mpsc::Receiver<Fetched>, WorkerError> {
        let about = self.handed_over.about();
        self.progress.take_over(about.candidates, &about.outcomes);
        let (next, images) = mpsc::channel(self.waiting);
        let reader = Reader {
            handed_over: self.handed_over.clone(),
            most: self.most,
            memory: self.memory.clone(),
            progress: self.progress.clone(),
        };
        steps.spawn(blocking(move || reader.read(&next)));
        Ok(images)
    }
}

/// The settings that brought the images about, once this worker has left out those that are longer
/// than it takes: as if whoever downloaded them had done so.
pub(crate) fn within(most: u64, mut settings: Settings) -> Settings {
    let least = longest_image(&settings).min(most);
    settings.insert(MAX_IMAGE_BYTES.to_owned(), least.into());
    settings
}

/// The longest image that there can be by these settings, in bytes.
fn longest_image(settings: &Settings) -> u64 {
    let named = settings.get(MAX_IMAGE_BYTES).and_then(Value::as_u64);
    named.unwrap_or(u64::MAX)
}

/// The image of a candidate; `None` where it is longer than `most` bytes. The hand-over's own limit
/// is one that it has to keep.
pub(crate) fn image(
    handed_over: &HandedOver,
    row: &FetchedRow,
    most: u64,
) -> Result<Option<Bytes>, DatasetError> {
    let theirs = longest_image(&handed_over.about().settings);
    match handed_over.image_length(row)? {
        length if length > most && length <= theirs => Ok(None),
        _ => handed_over.image(row, theirs).map(Some),
    }
}

/// Reads one image after the other, away from the async threads.
struct Reader {
    handed_over: Arc<HandedOver>,
    most: u64,
    memory: Memory,
    progress: Progress,
}

impl Reader {
    fn read(&self, next: &mpsc::Sender<Fetched>) -> Result<(), WorkerError> {
        for row in self.handed_over.rows()? {
            let row = row?;
            let share = self.share(&row)?;
            let image = image(&self.handed_over, &row, self.most)?;
            let image = image.ok_or(Outcome::BodyTooLarge);
            if let Err(outcome) = image {
                self.progress.end(outcome);
            }
            let fetched = Fetched {
                of: Numbered::from(row),
                image,
                ticket: None,
                share: Some(share),
            };
            if next.blocking_send(fetched).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until there is room for a candidate's image.
    fn share(&self, row: &FetchedRow) -> Result<Share, WorkerError> {
        let length = self.handed_over.image_length(row)?.min(self.most);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Handle::current().block_on(self.memory.take(length)))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use cah_dataset::{HandOver, HandOverPacker};
    use cah_protocol::{OutcomeCounts, Shard};
    use sha2::{Digest, Sha256};
    use tokio::time::timeout;

    use super::*;

    const IMAGE: &[u8] = &[7; 4096];

    fn row(index: u64) -> FetchedRow {
        FetchedRow {
            index,
            url: "http://h/a.jpg".into(),
            text: "a caption".into(),
            license: None,
            language: None,
            page_url: "http://h/".into(),
            mime: String::new(),
            sha256: Sha256::digest(IMAGE).into(),
            md5: [0; 16],
        }
    }

    /// A hand-over of so many images, extracted.
    fn handed_over(folder: &Path, images: u64, settings: Settings) -> HandedOver {
        let shard = Shard::numbered(1, "u");
        let about = HandOver {
            shard: shard.clone(),
            settings,
            candidates: images,
            outcomes: OutcomeCounts::default(),
            program: "a test".into(),
        };
        let tar = folder.join("x.tar");
        let packer = HandOverPacker::open(&tar, 1).unwrap();
        packer
            .finish(&about, (0..images).map(|i| Ok(row(i))))
            .unwrap();
        // The table is all that the tar has, and follows a header of 512 bytes.
        fs::write(
            folder.join("candidates.parquet"),
            table(&fs::read(&tar).unwrap()),
        )
        .unwrap();
        fs::create_dir(folder.join("images")).unwrap();
        for index in 0..images {
            let name = format!("images/0000000010000{index}.jpg");
            fs::write(folder.join(name), IMAGE).unwrap();
        }
        HandedOver::open(folder, &shard).unwrap()
    }

    fn table(tar: &[u8]) -> &[u8] {
        let size = std::str::from_utf8(&tar[124..135]).unwrap();
        &tar[512..][..usize::from_str_radix(size, 8).unwrap()]
    }

    fn limit(bytes: u64) -> Settings {
        [(MAX_IMAGE_BYTES.to_owned(), bytes.into())].into()
    }

    #[test]
    fn the_lower_of_two_limits_counts() {
        assert_eq!(within(7, Settings::new()), limit(7));
        assert_eq!(within(7, limit(8)), limit(7));
        assert_eq!(within(7, limit(6)), limit(6));
        let length = IMAGE.len() as u64;
        let folder = tempfile::tempdir().unwrap();
        let it = handed_over(folder.path(), 1, limit(length));
        assert_eq!(image(&it, &row(0), length).unwrap().unwrap(), IMAGE);
        assert_eq!(image(&it, &row(0), length - 1).unwrap(), None);
        // One that breaks the hand-over's own limit is no fault of ours.
        let folder = tempfile::tempdir().unwrap();
        let it = handed_over(folder.path(), 1, limit(length - 1));
        for most in [length, 1] {
            let refused = image(&it, &row(0), most);
            assert!(matches!(refused, Err(DatasetError::BadHandOver { .. })));
        }
    }

    #[tokio::test]
    async fn images_are_read_as_far_as_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::of(2 * IMAGE.len());
        let progress = Progress::default();
        let unpacked = Unpacked {
            handed_over: Arc::new(handed_over(folder.path(), 5, Settings::new())),
            most: u64::MAX,
            memory: &memory,
            waiting: 100,
            progress: &progress,
        };
        let mut steps = Steps::new();
        let mut images = unpacked.bring(&mut steps).await.unwrap();
        let first = images.recv().await.unwrap();
        let second = images.recv().await.unwrap();
        let third = timeout(Duration::from_millis(200), images.recv());
        assert!(third.await.is_err(), "there is room for two");
        drop((first, second));
        for _ in 2..5 {
            images.recv().await.unwrap();
        }
        assert!(images.recv().await.is_none());
    }
}
