//! `cah tracker import`.

use std::{fs::File, io::Cursor, io::Read, path::PathBuf};

use anyhow::{Context, Result};
use cah_tracker::operation::{self, Format, Imported};
use cah_worker::WatSource;
use clap::ArgGroup;
use futures::TryStreamExt;

use super::place::{self, Project, file_body, open_file};

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

pub(super) async fn run(args: Args) -> Result<()> {
    let list = list(&args).await?;
    let (name, of_shards) = (list.name.clone(), list.format.is_of_shards());
    let project = args.place.open().await?;
    let imported = import(&project, list, args.stages, args.priority).await;
    project.close().await;
    let imported = imported.with_context(|| format!("cannot import {name}"))?;
    let Imported { added, jobs, known } = imported;
    match of_shards {
        true => {
            println!("{added} WAT files imported as {jobs} jobs; {known} were there already");
        }
        false => println!("{jobs} jobs imported; {known} were there already"),
    }
    Ok(())
}

async fn list(args: &Args) -> Result<List> {
    if let Some(location) = &args.wat_paths {
        let base_url = args.base_url.clone();
        return Ok(List {
            name: location.clone(),
            format: Format::WatPaths { base_url },
            content: Content::Text(read_list(location).await?),
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

async fn import(
    project: &Project,
    list: List,
    stages: Option<Vec<String>>,
    priority: i64,
) -> Result<Imported> {
    match project {
        Project::Store(store) => {
            let content: Box<dyn Read + Send> = match list.content {
                Content::Text(text) => Box::new(Cursor::new(text)),
                Content::File(file) => Box::new(file),
            };
            Ok(operation::import(&**store, content, list.format, stages, priority).await?)
        }
        Project::Tracker(tracker) => {
            let mut parameters = vec![
                ("priority", priority.to_string()),
                ("format", list.format.name().to_owned()),
            ];
            if let Format::WatPaths { base_url } = list.format {
                parameters.push(("base_url", base_url));
            }
            parameters.extend(stages.map(|stages| ("stages", stages.join(","))));
            let body = match list.content {
                Content::Text(text) => reqwest::Body::from(text),
                Content::File(file) => file_body(file),
            };
            tracker.upload("import", &parameters, body).await
        }
    }
}

/// A list of WAT files, from a path or a URL; those of whole crawls are a few megabytes.
pub(crate) async fn read_list(location: &str) -> Result<Vec<u8>> {
    let source = WatSource::open(location)
        .await
        .context("cannot read the list of WAT files")?;
    let chunks: Vec<_> = source.read_from(0).try_collect().await?;
    Ok(chunks.concat())
}
