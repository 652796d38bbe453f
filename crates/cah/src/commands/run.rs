//! `cah run`: WAT files in, dataset out.

use std::path::PathBuf;

use anyhow::Result;
use cah_dataset::Store;
use cah_worker::{shards_of, solo};

use crate::{
    display::Display,
    report::{JsonFile, Report},
    settings::PipelineArgs,
    stopping::or_interrupted,
};

/// Turn WAT files into a dataset on this machine, without a tracker.
///
/// Each WAT file is two shards. A run that is stopped, however hard, continues where it was when
/// the same command is given again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// WAT files: paths, or URLs with http, https or s3; gzip or not
    #[arg(required = true, value_name = "WAT")]
    wats: Vec<String>,

    /// The dataset's folder, or s3://bucket/prefix
    #[arg(long, value_name = "DIR_OR_URL", alias = "output-folder")]
    out: String,

    /// Write the final table to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    pipeline: PipelineArgs,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let json = JsonFile::check(args.json.as_deref())?;
    let shards = shards_of(&args.wats);
    let store = Store::open(&args.out).await?;
    let pipeline = args.pipeline.pipeline().await?;
    let display = Display::new(Some(shards.len() as u64));
    let report = Report::new(display.clone());
    let work = async { Ok(solo(&pipeline, &shards, &store, &report).await?) };
    let worked = or_interrupted("the same command continues where this one stopped", work).await;
    store.settle().await;
    display.clear();
    worked?;
    report.table().deliver(json, &args.out)
}
