//! `cah tracker import`.

use std::{
    fs::File,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    pin::{Pin, pin},
};

use anyhow::{Context, Result, bail};
use cah_tracker::{
    operation::{self, CheckedList, Format, ImportError, Imported},
    store::{self, StoreError},
};
use cah_worker::Source;
use clap::ArgGroup;
use futures::TryStreamExt;
use tokio::io::{AsyncRead, AsyncSeekExt, AsyncWriteExt};

use super::place::{self, Place, Tracker, open_file};
use crate::display::{counted, print};

/// The longest list that is fetched: those of whole crawls have a few megabytes, and all that there
/// ever were less than this.
const MAX_LIST: u64 = 4 << 30;

/// Add jobs from a list. What is there already is left alone
///
/// A list can be imported again, and when it has grown: only what is new is added. A list with a
/// wrong entry is refused, with the line, and nothing is imported.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("list").required(true).args(["wat_paths", "json", "txt", "brace"]))]
pub(super) struct Args {
    #[command(flatten)]
    place: place::Args,

    /// WAT files, as Common Crawl lists them, two jobs each: a path or URL of wat.paths or
    /// wat.paths.gz
    #[arg(long, value_name = "FILE_OR_URL")]
    wat_paths: Option<String>,

    /// A JSON list of texts, lists and objects, a job each
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// A text file, a job each line
    #[arg(long, value_name = "FILE")]
    txt: Option<PathBuf>,

    /// A brace expression like 'data/file_{00..99}.tar', a job each word
    #[arg(long, value_name = "EXPRESSION")]
    brace: Option<String>,

    /// The stages that each job of a new project goes through, in order
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    stages: Option<Vec<String>>,

    /// Jobs of a higher priority are given out first
    #[arg(
        long,
        default_value_t = 0,
        allow_negative_numbers = true,
        value_name = "N"
    )]
    priority: i64,

    /// What stands before each path of a list of WAT files
    #[arg(
        long,
        default_value = operation::COMMON_CRAWL,
        value_name = "URL"
    )]
    base_url: String,
}

/// A list, and what it is called.
struct List {
    name: String,
    format: Format,
    content: Content,
}

enum Content {
    Text(Vec<u8>),
    File(File),
}

impl Content {
    fn reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::Text(text) => Box::new(Cursor::new(text)),
            Self::File(file) => Box::new(file),
        }
    }

    fn stream(self) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::Text(text) => Box::pin(Cursor::new(text)),
            Self::File(file) => Box::pin(tokio::fs::File::from_std(file)),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let list = list(&args).await?;
    let (name, of_shards) = (list.name.clone(), list.format.is_of_shards());
    let imported = match args.place.find()? {
        Place::Store(address) => into_store(&address, list, args.stages, args.priority).await,
        Place::Tracker(tracker) => through(&tracker, list, args.stages, args.priority).await,
    };
    let Imported { added, jobs, known } =
        imported.with_context(|| format!("cannot import {name}"))?;
    let known = if known == 1 {
        "1 was there already".into()
    } else {
        format!("{known} were there already")
    };
    let jobs = counted(jobs, "job");
    print(&match of_shards {
        true => format!(
            "{} imported as {jobs}; {known}\n",
            counted(added, "WAT file")
        ),
        false => format!("{jobs} imported; {known}\n"),
    })
}

async fn list(args: &Args) -> Result<List> {
    if let Some(location) = &args.wat_paths {
        let base_url = args.base_url.clone();
        return Ok(List {
            name: location.clone(),
            format: Format::WatPaths { base_url },
            content: Content::File(fetch_list(location).await?),
        });
    }
    if let Some(expression) = &args.brace {
        return Ok(List {
            name: expression.clone(),
            format: Format::Brace,
            content: Content::Text(expression.clone().into_bytes()),
        });
    }
    let (path, format) = match (&args.json, &args.txt) {
        (Some(path), _) => (path, Format::Json),
        (None, Some(path)) => (path, Format::Lines),
        (None, None) => anyhow::bail!("name a list with --wat-paths, --json, --txt or --brace"),
    };
    Ok(List {
        name: path.display().to_string(),
        format,
        content: Content::File(open_file(path)?),
    })
}

/// The list is read to its end before a store is touched, or made.
async fn into_store(
    address: &str,
    list: List,
    stages: Option<Vec<String>>,
    priority: i64,
) -> Result<Imported> {
    if let Some(stages) = &stages {
        operation::check_stages(stages)?;
    }
    let may_be_new = list.format.is_of_shards() || stages.is_some();
    let list = CheckedList::read(list.content.reader(), list.format).await?;
    let store = match may_be_new {
        true => store::open(address).await?,
        false => match store::open_existing(address).await {
            Err(StoreError::NoStore(_)) => return Err(ImportError::NoStages.into()),
            opened => opened?,
        },
    };
    let imported = operation::import(&*store, list, stages, priority).await;
    store.close().await;
    Ok(imported?)
}

async fn through(
    tracker: &Tracker,
    list: List,
    stages: Option<Vec<String>>,
    priority: i64,
) -> Result<Imported> {
    let mut parameters = vec![
        ("priority", priority.to_string()),
        ("format", list.format.name().to_owned()),
    ];
    if let Format::WatPaths { base_url } = list.format {
        parameters.push(("base_url", base_url));
    }
    parameters.extend(stages.map(|stages| ("stages", stages.join(","))));
    let content = list.content.stream();
    tracker.upload("import", &parameters, content).await
}

/// A list of WAT files: a path of this machine, or an address, from which it is fetched into a
/// temporary file.
pub(crate) async fn fetch_list(location: &str) -> Result<File> {
    if !location.contains("://") {
        return open_file(Path::new(location));
    }
    let source = Source::open(location)
        .await
        .context("cannot read the list of WAT files")?;
    if source.length() > MAX_LIST {
        bail!("{location} is longer than {MAX_LIST} bytes, and no list of WAT files");
    }
    let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
    let mut chunks = pin!(source.read_from(0));
    while let Some(chunk) = chunks.try_next().await? {
        file.write_all(&chunk).await?;
    }
    file.rewind().await?;
    Ok(file.into_std().await)
}
