//! Pairs → files.

use cah_clip::{ImageMode, Limits, decode, store};
use cah_dataset::{ImageSize, PairRow, ShardWriter, StoredImage};
use cah_protocol::Outcome;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{GpuRun, Share, decode::Sample, embed::Pair, receive};
use crate::{Step, WorkerError};

/// A pair as the dataset takes it.
struct Entry {
    row: PairRow,
    image: Option<StoredImage>,
    image_embedding: Vec<f32>,
    text_embedding: Vec<f32>,
    _share: Share,
}

impl GpuRun {
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
        let stored = stored(&pair.sample, self.parts.images, &self.parts.limits);
        let Pair { sample, .. } = pair;
        Entry {
            row: PairRow {
                size: stored.as_ref().map_or(sample.size, |(_, size)| *size),
                original_size: sample.size,
                nsfw: pair.nsfw,
                similarity: f64::from(pair.similarity),
                pdq: None,
                punsafe: None,
                pwatermark: None,
                aesthetic: None,
                fetched: sample.of.fetched(&sample.bytes),
            },
            image: stored.map(|(image, _)| image),
            image_embedding: pair.image_embedding,
            text_embedding: pair.text_embedding,
            _share: sample.share,
        }
    }
}

/// The image as it goes into the tar, and its size there. Only modes that make it anew need its
/// pixels.
fn stored(sample: &Sample, mode: ImageMode, limits: &Limits) -> Option<(StoredImage, ImageSize)> {
    match mode {
        ImageMode::Nothing => None,
        ImageMode::Original => {
            let image = StoredImage {
                bytes: sample.bytes.clone(),
                extension: sample.format.extension().to_owned(),
            };
            Some((image, sample.size))
        }
        _ => made_anew(sample, mode, limits),
    }
}

fn made_anew(
    sample: &Sample,
    mode: ImageMode,
    limits: &Limits,
) -> Option<(StoredImage, ImageSize)> {
    let decoded = decode(&sample.bytes, limits)
        .expect("the same bytes were decoded within the same limits before");
    let stored = store(&decoded, &sample.bytes, mode)?;
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

#[cfg(test)]
mod tests {
    use cah_clip::ImageFormat;

    use super::*;
    use crate::pipeline::{
        Memory,
        extract::{Numbered, test_candidate},
    };

    /// A sample whose bytes nobody could decode again.
    async fn sample() -> Sample {
        Sample {
            share: Memory::of(1).take(1).await,
            of: Numbered {
                index: 0,
                candidate: test_candidate("https://example.org/a.webp"),
            },
            bytes: "as it came".into(),
            size: ImageSize {
                width: 4,
                height: 3,
            },
            format: ImageFormat::Webp,
        }
    }

    #[tokio::test]
    async fn what_needs_no_pixels_is_not_decoded_again() {
        let sample = sample().await;
        let limits = Limits::default();
        let (image, size) = stored(&sample, ImageMode::Original, &limits).unwrap();
        assert_eq!(image.bytes, "as it came");
        assert_eq!(image.extension, "webp");
        assert_eq!(size, sample.size);
        assert!(stored(&sample, ImageMode::Nothing, &limits).is_none());
    }
}
