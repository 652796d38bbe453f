//! Downloaded images → what the model sees.

use bytes::Bytes;
use cah_clip::{DecodeError, ImageFormat, Pixels, decode};
use cah_dataset::ImageSize;
use cah_protocol::Outcome;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{GpuRun, Share, extract::Numbered, fetch::Fetched, hand_over, receive};
use crate::{Step, WorkerError};

/// A candidate whose image was fetched and decoded. The decoded image is not kept: it is
/// many times larger than the bytes, and only the few that become pairs need it again.
pub(super) struct Sample {
    pub(super) of: Numbered,
    pub(super) bytes: Bytes,
    pub(super) share: Share,
    pub(super) size: ImageSize,
    pub(super) format: ImageFormat,
}

impl GpuRun {
    pub(super) async fn decode(
        self,
        images: mpsc::Receiver<Fetched>,
        next: mpsc::Sender<(Sample, Pixels)>,
    ) -> Result<(), WorkerError> {
        let mut samples = receive(images)
            .filter_map(|fetched| self.taken(fetched))
            .map(|(of, bytes, share)| {
                let run = self.clone();
                self.parts.pool.run(move || run.sample(of, bytes, share))
            })
            .buffered(2 * self.parts.pool.width())
            .boxed();
        while let Some(sample) = samples.next().await {
            let Some(sample) = sample else { continue };
            if !hand_over(&next, sample).await {
                break;
            }
        }
        Ok(())
    }

    /// An image with its share of the memory: what waits there does not wait in the fetch's room
    /// any more.
    async fn taken(&self, fetched: Fetched) -> Option<(Numbered, Bytes, Share)> {
        let bytes = fetched.image.ok()?;
        let share = match fetched.share {
            Some(share) => share,
            None => self.parts.memory.take(bytes.len()).await,
        };
        Some((fetched.of, bytes, share))
    }

    fn sample(&self, of: Numbered, bytes: Bytes, share: Share) -> Option<(Sample, Pixels)> {
        let _busy = self.progress.enter(Step::Decode, 1);
        match decode(&bytes, &self.parts.limits) {
            Ok(decoded) => {
                let pixels = self.parts.judge.model.preprocess(&decoded.image);
                let sample = Sample {
                    size: ImageSize {
                        width: decoded.original_width,
                        height: decoded.original_height,
                    },
                    format: decoded.format,
                    of,
                    bytes,
                    share,
                };
                Some((sample, pixels))
            }
            Err(error) => {
                tracing::debug!(url = of.candidate.url, %error, "not decoded");
                self.progress.end(failed(&error));
                None
            }
        }
    }
}

/// The outcome of a candidate whose image is not usable.
fn failed(error: &DecodeError) -> Outcome {
    match error {
        DecodeError::TooSmall { .. } => Outcome::ImageTooSmall,
        DecodeError::UnknownFormat => Outcome::UnknownFormat,
        DecodeError::TooManyPixels { .. } => Outcome::TooManyPixels,
        DecodeError::Damaged { .. } => Outcome::ImageDamaged,
    }
}
