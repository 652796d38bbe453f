//! `cah wat`: WAT files in, a table of links out.

use std::fmt::Write;

use anyhow::{Result, bail};
use cah_wat::{DocumentType, Options};
use cah_worker::{ExtractConfig, Extracted, extract_candidates};

use crate::{
    display::{self, Display},
    settings::RuleArgs,
    stopping::or_interrupted,
};

/// Write the links to images (or to something else) in WAT files to a parquet file.
///
/// The columns are cc2dataset's (uid, url, alt, cc_filename, page_url), then text (alt after
/// repair), license and language. With --raw the rows and columns are exactly cc2dataset's, and
/// no rule applies.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// WAT files: paths, or URLs with http, https or s3; gzip or not
    #[arg(required = true, value_name = "WAT")]
    wats: Vec<String>,

    /// The parquet file to write: a path, or s3://bucket/name.parquet
    #[arg(short, long, value_name = "FILE_OR_URL")]
    out: String,

    /// The kind of links: image, image_only (no text needed), audio, video or text
    #[arg(long, default_value_t = DocumentType::default(), value_name = "TYPE")]
    document_type: DocumentType,

    /// Exactly the rows of cc2dataset: links as they are, no further rule applied
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    rules: RuleArgs,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    check_target(&args.out)?;
    let config = ExtractConfig {
        options: Options {
            document_type: args.document_type,
            raw: args.raw,
        },
        rules: args.rules.rules()?,
    };
    let display = Display::of_files(args.wats.len() as u64);
    let work = async {
        let progress_of = |wat: &str| display.reading(wat);
        Ok(extract_candidates(&args.wats, &args.out, &config, progress_of).await?)
    };
    let extracted = or_interrupted("nothing was written", work).await;
    display.clear();
    display::print(&summary(&extracted?, &args.out)?)
}

/// The table gets its name when it is whole, in place of what has that name: a device must not be
/// replaced so, and a folder cannot be.
fn check_target(out: &str) -> Result<()> {
    match std::fs::metadata(out) {
        Ok(metadata) if !metadata.is_file() => {
            bail!("{out} is no file; name the parquet file to write, like candidates.parquet")
        }
        _ => Ok(()),
    }
}

fn summary(extracted: &Extracted, out: &str) -> Result<String> {
    let mut text = format!("{} rows in {out}\n", extracted.rows);
    for (outcome, count) in extracted.rejected.iter() {
        writeln!(text, "  {count} left out: {outcome}")?;
    }
    Ok(text)
}
