//! The images that a CPU worker handed over.

use std::sync::Arc;

use cah_dataset::HandedOver;
use cah_task::blocking;
use tokio::sync::mpsc;

use crate::{
    Progress, WorkerError,
    pipeline::{Fetched, Images, Numbered, Steps},
};

/// The longest image that is read where the hand-over does not name a lower limit, in bytes.
const MOST_IMAGE_BYTES: u64 = 256 << 20;

/// A hand-over as the place where a shard's images come from.
pub(crate) struct Unpacked<'a> {
    pub(crate) handed_over: Arc<HandedOver>,
    /// Images that may wait to be decoded.
    pub(crate) waiting: usize,
    pub(crate) progress: &'a Progress,
}

impl Images for Unpacked<'_> {
    async fn bring(&self, steps: &mut Steps) -> Result<mpsc::Receiver<Fetched>, WorkerError> {
        let about = self.handed_over.about();
        self.progress.take_over(about.candidates, &about.outcomes);
        let (next, images) = mpsc::channel(self.waiting);
        let handed_over = self.handed_over.clone();
        let reading = blocking(move || read(&handed_over, &next));
        steps.spawn(reading);
        Ok(images)
    }
}

fn read(handed_over: &HandedOver, next: &mpsc::Sender<Fetched>) -> Result<(), WorkerError> {
    let limit = handed_over.about().settings.get("max_image_bytes");
    let limit = limit.and_then(|limit| limit.as_u64());
    let most = limit.unwrap_or(MOST_IMAGE_BYTES).min(MOST_IMAGE_BYTES);
    for row in handed_over.rows()? {
        let row = row?;
        let image = handed_over.image(&row, most)?;
        let fetched = Fetched {
            of: Numbered::from(row),
            image: Ok(image),
            ticket: None,
        };
        if next.blocking_send(fetched).is_err() {
            break;
        }
    }
    Ok(())
}
