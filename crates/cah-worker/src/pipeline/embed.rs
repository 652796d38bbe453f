//! Samples → pairs: embeddings in batches, similarity, the safety tag.

use cah_clip::{Pixels, SafetyTag, cosine};
use cah_dataset::Nsfw;
use cah_protocol::Outcome;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{Run, UnsafePolicy, decode::Sample, hand_over, receive};
use crate::{Step, WorkerError};

/// A sample that passed the filters.
pub(super) struct Pair {
    pub(super) sample: Sample,
    pub(super) similarity: f32,
    pub(super) nsfw: Nsfw,
    pub(super) image_embedding: Vec<f32>,
    pub(super) text_embedding: Vec<f32>,
}

impl Run {
    pub(super) async fn embed(
        self,
        samples: mpsc::Receiver<(Sample, Pixels)>,
        next: mpsc::Sender<Pair>,
    ) -> Result<(), WorkerError> {
        let mut batches = receive(samples).chunks(self.parts.batch).boxed();
        while let Some(batch) = batches.next().await {
            let run = self.clone();
            let pairs = self.parts.pool.run(move || run.pairs(batch)).await?;
            for pair in pairs {
                if !hand_over(&next, pair).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The pairs of a batch, in its order.
    fn pairs(&self, batch: Vec<(Sample, Pixels)>) -> Result<Vec<Pair>, WorkerError> {
        let _busy = self.progress.enter(Step::Embed, batch.len() as u64);
        let (samples, pixels): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let texts: Vec<_> = samples
            .iter()
            .map(|sample| sample.of.candidate.text.as_str())
            .collect();
        let images = self.parts.model.embed_images(&pixels)?;
        let texts = self.parts.model.embed_texts(&texts)?;
        let mut pairs = Vec::new();
        for (row, sample) in samples.into_iter().enumerate() {
            match self.judge(images.row(row), texts.row(row)) {
                Ok((similarity, nsfw)) => pairs.push(Pair {
                    sample,
                    similarity,
                    nsfw,
                    image_embedding: images.row(row).to_vec(),
                    text_embedding: texts.row(row).to_vec(),
                }),
                Err(outcome) => self.progress.end(outcome),
            }
        }
        Ok(pairs)
    }

    /// Similarity and safety of a pair, or why it is none.
    fn judge(&self, image: &[f32], text: &[f32]) -> Result<(f32, Nsfw), Outcome> {
        let similarity = cosine(image, text);
        if similarity < self.parts.threshold {
            return Err(Outcome::LowSimilarity);
        }
        let nsfw = match self.parts.tagger.tag(image) {
            SafetyTag::Unlikely => Nsfw::Unlikely,
            SafetyTag::Unsure => Nsfw::Unsure,
            SafetyTag::Nsfw => Nsfw::Nsfw,
        };
        if nsfw == Nsfw::Nsfw && self.parts.unsafe_images == UnsafePolicy::Drop {
            return Err(Outcome::Unsafe);
        }
        Ok((similarity, nsfw))
    }
}
