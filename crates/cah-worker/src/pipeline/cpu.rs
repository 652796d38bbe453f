//! A CPU worker's half of the way: WAT bytes → candidates → images.

use std::sync::Arc;

use cah_fetch::{Fetcher, Guard};
use cah_protocol::Shard;
use cah_task::{blocking, finished};
use cah_wat::Rules;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{CHANNEL, PipelineConfig, Settings, Steps, all, settings};
use crate::{
    Progress, Source, WorkerError,
    gather::{Gathering, resume},
};

/// Turns shards into images for GPU workers. Built once, used for one shard after the other.
#[derive(Clone)]
pub struct CpuPipeline {
    parts: Arc<CpuParts>,
}

/// What the steps work with; the same for every shard.
pub(super) struct CpuParts {
    pub(super) rules: Rules,
    pub(super) fetcher: Fetcher,
    guard: Guard,
    pub(super) in_flight: usize,
    settings: Settings,
}

/// The shard that is worked on, as the steps see it.
#[derive(Clone)]
pub(crate) struct CpuRun {
    pub(super) parts: Arc<CpuParts>,
    pub(super) progress: Progress,
}

impl CpuPipeline {
    /// Sets the steps up. Of the settings, those count that say which links become candidates and
    /// how images are downloaded.
    pub fn new(config: &PipelineConfig) -> Result<Self, WorkerError> {
        Ok(Self {
            parts: Arc::new(CpuParts {
                settings: settings::of_candidates(config),
                rules: config.rules.clone(),
                in_flight: config.fetch.in_flight,
                guard: Guard::new(&config.fetch)?,
                fetcher: Fetcher::new(config.fetch.clone())?,
            }),
        })
    }

    /// What decides which links become images.
    pub(crate) fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Keeps this machine's network from a location that a tracker chose.
    pub(super) fn guard(&self) -> &Guard {
        &self.parts.guard
    }

    pub(super) fn run(&self, progress: &Progress) -> CpuRun {
        CpuRun {
            parts: self.parts.clone(),
            progress: progress.clone(),
        }
    }

    /// Brings the images of a shard that a tracker leased, but those that are gathered already.
    pub(crate) async fn gather(
        &self,
        shard: &Shard,
        gathering: Gathering,
        progress: &Progress,
    ) -> Result<Gathering, WorkerError> {
        let source = Source::open_within(&shard.url, Some(self.guard())).await?;
        let run = self.run(progress);
        let (to_resume, candidates) = mpsc::channel(CHANNEL);
        let (to_fetch, new) = mpsc::channel(CHANNEL);
        let (to_keep, mut images) = mpsc::channel(CHANNEL);
        // Dropping the set, because a step failed or the shard was given up, ends every step.
        let mut steps = Steps::new();
        steps.spawn(run.clone().extract(shard.piece, source, to_resume));
        steps.spawn(run.fetch(new, to_keep));
        let url = shard.url.clone();
        let resuming = resume(
            gathering.done(),
            url,
            candidates,
            to_fetch,
            progress.clone(),
        );
        let resuming = AbortOnDropHandle::new(tokio::spawn(resuming));
        let progress = progress.clone();
        let keeping = blocking(move || {
            let mut gathering = gathering;
            while let Some(fetched) = images.blocking_recv() {
                gathering.keep(fetched, &progress)?;
            }
            Ok(gathering)
        });
        let (gathering, ()) = futures::try_join!(keeping, all(&mut steps))?;
        // Asked last: where the file could not be read, that is what counts.
        finished(resuming.await).await?;
        Ok(gathering)
    }
}
