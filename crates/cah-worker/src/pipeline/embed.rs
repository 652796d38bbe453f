//! Samples → pairs: embeddings in batches, similarity, the safety tag.
//!
//! All shards that are under way at once share the batches: an embedding does not depend on its
//! batch, and a full one costs less for each image.

use std::{sync::Arc, time::Duration};

use cah_clip::{ClipError, Model, Pixels, SafetyTag, SafetyTagger, cosine};
use cah_dataset::Nsfw;
use cah_protocol::Outcome;
use cah_task::finished;
use futures::StreamExt;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{GpuRun, UnsafePolicy, decode::Sample, hand_over, receive};
use crate::{Progress, Step, WorkerError, pool::CpuPool};

/// How long a batch waits for the next sample before it goes as it is. Samples that come more
/// slowly leave the model idle anyway.
const LINGER: Duration = Duration::from_millis(50);

/// A sample that passed the filters.
pub(super) struct Pair {
    pub(super) sample: Sample,
    pub(super) similarity: f32,
    pub(super) nsfw: Nsfw,
    pub(super) image_embedding: Vec<f32>,
    pub(super) text_embedding: Vec<f32>,
}

impl GpuRun {
    pub(super) async fn embed(
        self,
        samples: mpsc::Receiver<(Sample, Pixels)>,
        next: mpsc::Sender<Pair>,
    ) -> Result<(), WorkerError> {
        let embedder = &self.parts.embedder;
        let mut pairs = receive(samples)
            .map(|(sample, pixels)| embedder.pair(sample, pixels, &self.progress))
            // What the batch under way and the next one hold.
            .buffered(2 * self.parts.batch)
            .boxed();
        while let Some(pair) = pairs.next().await {
            match pair? {
                Err(outcome) => self.progress.end(outcome),
                Ok(pair) => {
                    if !hand_over(&next, pair).await {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What decides whether a sample is a pair.
pub(super) struct Judge {
    pub(super) model: Model,
    pub(super) tagger: SafetyTagger,
    pub(super) threshold: f32,
    pub(super) unsafe_images: UnsafePolicy,
}

/// The task that embeds what all shards bring.
pub(super) struct Embedder {
    asked: mpsc::Sender<Ask>,
    task: Mutex<AbortOnDropHandle<()>>,
}

/// A sample that waits for its batch.
struct Ask {
    pixels: Pixels,
    sample: Sample,
    progress: Progress,
    answer: oneshot::Sender<Answer>,
}

/// A pair, or where the sample ended.
type Answer = Result<Result<Pair, Outcome>, Arc<ClipError>>;

impl Embedder {
    /// Starts the task; needs a runtime, which has to outlive it.
    pub(super) fn start(judge: Arc<Judge>, pool: CpuPool, batch: usize) -> Self {
        let (asked, asks) = mpsc::channel(batch);
        let task = tokio::spawn(embed_batches(asks, judge, pool, batch));
        Self {
            asked,
            task: Mutex::new(AbortOnDropHandle::new(task)),
        }
    }

    async fn pair(
        &self,
        sample: Sample,
        pixels: Pixels,
        progress: &Progress,
    ) -> Result<Result<Pair, Outcome>, WorkerError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            pixels,
            sample,
            progress: progress.clone(),
            answer,
        };
        if self.asked.send(ask).await.is_err() {
            self.gone().await;
        }
        match answered.await {
            Ok(answer) => answer.map_err(WorkerError::Clip),
            Err(_) => self.gone().await,
        }
    }

    /// Where the task is gone while somebody asks: by a panic of the model, which continues here,
    /// or because the runtime shuts down.
    async fn gone(&self) -> ! {
        finished((&mut *self.task.lock().await).await).await;
        unreachable!("the task that embeds goes on for as long as somebody asks");
    }
}

async fn embed_batches(
    mut asks: mpsc::Receiver<Ask>,
    judge: Arc<Judge>,
    pool: CpuPool,
    size: usize,
) {
    while let Some(first) = asks.recv().await {
        let mut batch = vec![first];
        while batch.len() < size
            && let Ok(Some(next)) = timeout(LINGER, asks.recv()).await
        {
            batch.push(next);
        }
        // Those of a shard that was given up meanwhile.
        batch.retain(|ask| !ask.answer.is_closed());
        if !batch.is_empty() {
            let judge = judge.clone();
            pool.run(move || judge.answer(batch)).await;
        }
    }
}

impl Judge {
    fn answer(&self, batch: Vec<Ask>) {
        let entered = batch.iter().map(|ask| ask.progress.enter(Step::Embed, 1));
        let busy: Vec<_> = entered.collect();
        let (pixels, rest): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|ask| (ask.pixels, (ask.sample, ask.answer)))
            .unzip();
        let (samples, answers): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
        let pairs: Vec<Answer> = match self.pairs(&pixels, samples) {
            Ok(pairs) => pairs.into_iter().map(Ok).collect(),
            Err(error) => {
                let error = Arc::new(error);
                answers.iter().map(|_| Err(error.clone())).collect()
            }
        };
        drop(busy);
        for (answer, pair) in answers.into_iter().zip(pairs) {
            // Nobody waits for the answer of a shard that was given up.
            let _ = answer.send(pair);
        }
    }

    /// What becomes of the samples of a batch, in its order.
    fn pairs(
        &self,
        pixels: &[Pixels],
        samples: Vec<Sample>,
    ) -> Result<Vec<Result<Pair, Outcome>>, ClipError> {
        let texts: Vec<_> = samples
            .iter()
            .map(|sample| sample.of.candidate.text.as_str())
            .collect();
        let images = self.model.embed_images(pixels)?;
        let texts = self.model.embed_texts(&texts)?;
        let pair = |(row, sample)| {
            let (image, text) = (images.row(row), texts.row(row));
            let (similarity, nsfw) = self.judge(image, text)?;
            Ok(Pair {
                sample,
                similarity,
                nsfw,
                image_embedding: image.to_vec(),
                text_embedding: text.to_vec(),
            })
        };
        Ok(samples.into_iter().enumerate().map(pair).collect())
    }

    /// Similarity and safety of a pair, or why it is none.
    fn judge(&self, image: &[f32], text: &[f32]) -> Result<(f32, Nsfw), Outcome> {
        let similarity = cosine(image, text);
        if similarity < self.threshold {
            return Err(Outcome::LowSimilarity);
        }
        let nsfw = match self.tagger.tag(image) {
            SafetyTag::Unlikely => Nsfw::Unlikely,
            SafetyTag::Unsure => Nsfw::Unsure,
            SafetyTag::Nsfw => Nsfw::Nsfw,
        };
        if nsfw == Nsfw::Nsfw && self.unsafe_images == UnsafePolicy::Drop {
            return Err(Outcome::Unsafe);
        }
        Ok((similarity, nsfw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An embedder whose task has ended.
    fn ended(task: tokio::task::JoinHandle<()>) -> Embedder {
        Embedder {
            asked: mpsc::channel(1).0,
            task: Mutex::new(AbortOnDropHandle::new(task)),
        }
    }

    #[tokio::test]
    async fn a_panic_of_the_model_reaches_whoever_asks() {
        let embedder = ended(tokio::spawn(async { panic!("broken model") }));
        let asking = tokio::spawn(async move { embedder.gone().await });
        let panic = asking.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"broken model"));
    }

    #[tokio::test]
    async fn a_runtime_that_shuts_down_is_no_panic() {
        let task = tokio::spawn(std::future::pending());
        task.abort();
        let embedder = ended(task);
        let asking = timeout(Duration::from_millis(50), embedder.gone());
        assert!(asking.await.is_err());
    }
}
