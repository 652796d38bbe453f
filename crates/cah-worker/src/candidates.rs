//! WAT files → one parquet file of candidates: the pipeline's first step alone.

use cah_dataset::{Candidate as Row, CandidateWriter};
use cah_protocol::{Outcome, OutcomeCounts};
use cah_wat::{DocumentType, Link, Options, Page, Piece, Rejection, Rule, Rules};
use tokio::sync::mpsc;

use crate::{
    Progress, Source, Step, WorkerError,
    pages::{PageSink, read_pages},
    pipeline::rejected,
};

/// Our columns behind those of cc2dataset.
const OURS: [&str; 3] = ["text", "license", "language"];

/// Rows that wait for the writer.
const ROWS: usize = 4096;

/// What is taken out of WAT files.
#[derive(Clone, Debug, Default)]
pub struct ExtractConfig {
    /// The kind of links, and whether they are taken exactly as cc2dataset takes them.
    pub options: Options,
    /// The rules that links keep, as far as they are made for such links. Raw rows are judged by
    /// none.
    pub rules: Rules,
}

impl ExtractConfig {
    /// The rules without those that are not made for links of this kind: only captions have a
    /// length to keep, and only images an ending that no photograph has.
    fn fitting_rules(&self) -> Rules {
        let length_of_text = [Rejection::TextTooShort, Rejection::TextTooLong];
        let unfit: &[Rejection] = match self.options.document_type {
            DocumentType::Image => &[],
            DocumentType::ImageOnly => &length_of_text,
            DocumentType::Audio | DocumentType::Video | DocumentType::Text => &[
                Rejection::TextTooShort,
                Rejection::TextTooLong,
                Rejection::UrlExtension,
            ],
        };
        let mut rules = self.rules.clone();
        rules.off.extend(unfit.iter().copied().map(Rule::Reject));
        rules
    }
}

/// What came out of WAT files.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// Rows in the file.
    pub rows: u64,
    /// The links that a rule kept out.
    pub rejected: OutcomeCounts,
}

/// Writes the links of the WAT files to one parquet file at `target`, in their order.
///
/// The columns are cc2dataset's `uid`, `url`, `alt`, `cc_filename`, `page_url`; unless the rows
/// are raw, `text` (the repaired `alt`), `license` and `language` follow. The file appears under
/// its name when everything is in it.
pub async fn extract_candidates(
    wats: &[String],
    target: &str,
    config: &ExtractConfig,
    progress_of: impl Fn(&str) -> Progress,
) -> Result<Extracted, WorkerError> {
    let rules = (!config.options.raw).then(|| config.fitting_rules());
    let ours: &[&str] = if rules.is_some() { &OURS } else { &[] };
    let mut writer = CandidateWriter::create(target, ours).await?;
    let mut rejected = OutcomeCounts::default();
    for wat in wats {
        let progress = progress_of(wat);
        let source = Source::open(wat).await?;
        let (next, mut rows) = mpsc::channel(ROWS);
        let sink = Rows {
            rules: rules.clone(),
            progress: progress.clone(),
            found: Vec::new(),
            next,
        };
        let reading = read_pages(source, Piece::Whole, config.options, progress.clone(), sink);
        let writing = async {
            while let Some(row) = rows.recv().await {
                writer.push(row).await?;
            }
            Ok(())
        };
        futures::try_join!(reading, writing)?;
        rejected += &progress.outcomes();
    }
    Ok(Extracted {
        rows: writer.finish().await?,
        rejected,
    })
}

/// Pages in, rows out.
struct Rows {
    /// None for raw rows.
    rules: Option<Rules>,
    progress: Progress,
    found: Vec<Row>,
    next: mpsc::Sender<Row>,
}

impl Rows {
    /// The values of [`OURS`] for a link, or the rule that keeps it out.
    fn ours(&self, page: &Page<'_>, link: &Link<'_>) -> Result<Vec<Option<String>>, Outcome> {
        let Some(rules) = &self.rules else {
            return Ok(Vec::new());
        };
        let candidate = rules.judge(page, link).map_err(rejected)?;
        let language = Some(candidate.language).filter(|code| !code.is_empty());
        Ok(vec![
            Some(candidate.text),
            candidate.license,
            language.map(String::from),
        ])
    }
}

impl PageSink for Rows {
    fn take(&mut self, page: &Page<'_>) {
        for link in &page.links {
            self.progress.count(Step::Extract, 1);
            let ours = match self.ours(page, link) {
                Ok(ours) => ours,
                Err(outcome) => {
                    self.progress.end(outcome);
                    continue;
                }
            };
            self.found.push(Row {
                url: link.url.to_string(),
                alt: link.alt.to_string(),
                cc_filename: page.cc_filename.to_string(),
                page_url: page.url.to_string(),
                ours,
            });
        }
    }

    fn flush(&mut self) -> bool {
        self.found
            .drain(..)
            .all(|row| self.next.blocking_send(row).is_ok())
    }
}
