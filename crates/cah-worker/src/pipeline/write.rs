//! Pairs → files.

use cah_clip::{decode, store};
use cah_dataset::{ImageSize, PairRow, ShardWriter, StoredImage};
use cah_protocol::Outcome;
use futures::StreamExt;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Run, decode::Sample, embed::Pair, receive};
use crate::{Step, WorkerError};

/// A pair as the dataset takes it.
struct Entry {
    row: PairRow,
    image: Option<StoredImage>,
    image_embedding: Vec<f32>,
    text_embedding: Vec<f32>,
}

impl Run {
    pub(super) async fn write(
        self,
        pairs: mpsc::Receiver<Pair>,
        mut writer: ShardWriter,
    ) -> Result<ShardWriter, WorkerError> {
        let mut entries = receive(pairs)
            .map(|pair| {
                let run = self.clone();
                self.parts.pool.run(move || run.entry(pair))
            })
            .buffered(2 * self.parts.pool.width())
            .boxed();
        while let Some(entry) = entries.next().await {
            let _busy = self.progress.enter(Step::Write, 1);
            writer
                .push(
                    entry.row,
                    entry.image,
                    &entry.image_embedding,
                    &entry.text_embedding,
                )
                .await?;
            self.progress.end(Outcome::Kept);
        }
        drop(entries);
        Ok(writer)
    }

    fn entry(&self, pair: Pair) -> Entry {
        let _busy = self.progress.enter(Step::Write, 0);
        let stored = self.stored(&pair.sample);
        let Pair { sample, .. } = pair;
        let candidate = sample.of.candidate;
        Entry {
            row: PairRow {
                index: sample.of.index,
                url: candidate.url,
                text: candidate.text,
                size: stored.as_ref().map_or(sample.size, |(_, size)| *size),
                original_size: sample.size,
                license: candidate.license,
                nsfw: pair.nsfw,
                similarity: f64::from(pair.similarity),
                language: Some(candidate.language.to_owned()).filter(|code| !code.is_empty()),
                page_url: candidate.page_url,
                mime: sample.format.mime().to_owned(),
                sha256: Sha256::digest(&sample.bytes).into(),
                md5: Md5::digest(&sample.bytes).into(),
                pdq: None,
                punsafe: None,
                pwatermark: None,
                aesthetic: None,
            },
            image: stored.map(|(image, _)| image),
            image_embedding: pair.image_embedding,
            text_embedding: pair.text_embedding,
        }
    }

    /// The image as it goes into the tar, made anew from the downloaded bytes.
    fn stored(&self, sample: &Sample) -> Option<(StoredImage, ImageSize)> {
        let decoded = decode(&sample.bytes, &self.parts.limits)
            .expect("the same bytes were decoded within the same limits before");
        let stored = store(&decoded, &sample.bytes, self.parts.images)?;
        let size = ImageSize {
            width: stored.width,
            height: stored.height,
        };
        let image = StoredImage {
            bytes: stored.bytes.into(),
            extension: stored.extension.to_owned(),
        };
        Some((image, size))
    }
}
