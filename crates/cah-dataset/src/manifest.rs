//! What a shard says about itself, and which shards are the same.

use std::{collections::BTreeMap, fmt::Display};

use cah_protocol::{Outcome, OutcomeCounts, Piece, Shard};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{DatasetError, Result},
    names::ShardNames,
    text::is_timestamp,
};

/// The manifest's layout; raised when an older reader would misunderstand it.
const FORMAT: u32 = 1;

/// Longest manifest that is read, in bytes.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Which weights made the embeddings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What people call it, such as `hf:openai/clip-vit-base-patch32`.
    pub name: String,
    /// The digest of its files, by which two models are told apart.
    pub digest: String,
}

/// What a shard is made from and how: known before the first row.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardInfo {
    /// Half of which WAT file.
    pub shard: Shard,
    /// The crawl, such as `CC-MAIN-2026-43`; empty where it is not known.
    pub crawl: String,
    /// The model.
    pub model: Model,
    /// Length of an embedding.
    pub dim: usize,
    /// How images are stored, such as `keep_ratio:384`; `None` where none is.
    pub images: Option<String>,
    /// The settings that decide which candidates become pairs, by name.
    pub thresholds: BTreeMap<String, Value>,
    /// Name and version of the program.
    pub program: String,
}

/// What happened to the candidates of a shard: known after the last row.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many candidates the shard had.
    pub candidates: u64,
    /// How many of them ended in which outcome.
    pub outcomes: OutcomeCounts,
    /// Seconds of work by step of the pipeline.
    pub seconds: BTreeMap<String, f64>,
}

/// One file of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// The manifest, `stats/N.json`: a shard is complete if and only if it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The job number.
    pub number: u64,
    /// Which half of the WAT file.
    pub piece: Piece,
    /// Where the WAT file is.
    pub wat: String,
    /// First sample id of the WAT file.
    pub start_id: u64,
    /// First sample id after the WAT file.
    pub end_id: u64,
    /// The crawl.
    pub crawl: String,
    /// The model.
    pub model: Model,
    /// Length of an embedding.
    pub dim: usize,
    /// How images are stored; `None` where none is.
    pub images: Option<String>,
    /// The settings that decided which candidates became pairs.
    pub thresholds: BTreeMap<String, Value>,
    /// Name and version of the program.
    pub program: String,
    /// When the shard was begun, in RFC 3339, UTC.
    pub started: String,
    /// When the shard was finished, in RFC 3339, UTC.
    pub finished: String,
    /// Seconds of work by step of the pipeline.
    pub seconds: BTreeMap<String, f64>,
    /// How many candidates the shard had.
    pub candidates: u64,
    /// How many of them became pairs: the rows of the table.
    pub pairs: u64,
    /// How many candidates ended in which outcome; they add up to `candidates`.
    pub outcomes: OutcomeCounts,
    /// Every file by its name relative to the dataset; a shard without pairs has none.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Reads a manifest and believes it only if it is whole and adds up.
    ///
    /// # Errors
    /// What is wrong, in a few words: no JSON, a field too many or too few, sums that do not
    /// match, files that are not those of the shard.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What was known before the first row.
    pub fn info(&self) -> ShardInfo {
        ShardInfo {
            shard: Shard {
                number: self.number,
                url: self.wat.clone(),
                start_id: self.start_id,
                end_id: self.end_id,
                piece: self.piece,
            },
            crawl: self.crawl.clone(),
            model: self.model.clone(),
            dim: self.dim,
            images: self.images.clone(),
            thresholds: self.thresholds.clone(),
            program: self.program.clone(),
        }
    }

    pub(crate) fn new(
        info: ShardInfo,
        tally: Tally,
        pairs: u64,
        files: BTreeMap<String, FileEntry>,
        times: [String; 2],
    ) -> Self {
        let [started, finished] = times;
        Self {
            format: FORMAT,
            number: info.shard.number,
            piece: info.shard.piece,
            wat: info.shard.url,
            start_id: info.shard.start_id,
            end_id: info.shard.end_id,
            crawl: info.crawl,
            model: info.model,
            dim: info.dim,
            images: info.images,
            thresholds: info.thresholds,
            program: info.program,
            started,
            finished,
            seconds: tally.seconds,
            candidates: tally.candidates,
            pairs,
            outcomes: tally.outcomes,
            files,
        }
    }

    /// The manifest as it is stored, ending in a line break.
    ///
    /// # Errors
    /// One that is longer than any that is read: it would keep the whole dataset from being read.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        // Numbers, texts and maps with text keys always become JSON.
        let mut json = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        json.push(b'\n');
        if json.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(DatasetError::BadShard {
                number: self.number,
                why: format!("its manifest would have more than {MAX_MANIFEST_BYTES} bytes"),
            });
        }
        Ok(json)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "its format is {}, this program reads {FORMAT}",
                self.format
            ));
        }
        check_sums(self.candidates, &self.outcomes, self.pairs)?;
        let possible = ShardNames(self.number).files();
        let expected = match (self.pairs, &self.images) {
            (0, _) => &[],
            (_, None) => &possible[1..],
            (_, Some(_)) => &possible[..],
        };
        if self.files.len() != expected.len()
            || !expected.iter().all(|file| self.files.contains_key(file))
        {
            return Err("its files are not those of its shard".into());
        }
        let is_sha256 =
            |text: &str| text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
        if !self.files.values().all(|file| is_sha256(&file.sha256)) {
            return Err("a file's sha256 is none".into());
        }
        if !is_timestamp(&self.started) || !is_timestamp(&self.finished) {
            return Err("its times are not in RFC 3339".into());
        }
        Ok(())
    }
}

/// Every candidate has one outcome, and every kept one a row.
pub(crate) fn check_sums(
    candidates: u64,
    outcomes: &OutcomeCounts,
    pairs: u64,
) -> Result<(), String> {
    let sum = outcomes
        .iter()
        .try_fold(0u64, |sum, (_, count)| sum.checked_add(count));
    match (sum, outcomes.get(Outcome::Kept)) {
        (None, _) => Err("the outcomes add up to more than can be counted".into()),
        (Some(sum), _) if sum != candidates => Err(format!(
            "{candidates} candidates, but the outcomes add up to {sum}"
        )),
        (_, kept) if kept != pairs => Err(format!("{kept} candidates kept, but {pairs} rows")),
        _ => Ok(()),
    }
}

impl ShardInfo {
    /// In what a complete shard differs from what this one would become, or `None` if rows of one
    /// could stand for rows of the other. The model's name and the program's version may differ.
    pub(crate) fn difference(&self, there: &Manifest) -> Option<String> {
        let json = |settings: &BTreeMap<String, Value>| {
            // Maps with text keys always become JSON.
            serde_json::to_string(settings).expect("settings are plain data")
        };
        let none = || "none".to_owned();
        let piece = |piece: Piece| u8::from(piece);
        differ("WAT", &there.wat, &self.shard.url)
            .or_else(|| differ("piece", piece(there.piece), piece(self.shard.piece)))
            .or_else(|| differ("first sample id", there.start_id, self.shard.start_id))
            .or_else(|| differ("last sample id", there.end_id, self.shard.end_id))
            .or_else(|| differ("crawl", &there.crawl, &self.crawl))
            .or_else(|| differ("model", &there.model.digest, &self.model.digest))
            .or_else(|| differ("embedding length", there.dim, self.dim))
            .or_else(|| {
                let ours = self.images.clone().unwrap_or_else(none);
                differ(
                    "image setting",
                    there.images.clone().unwrap_or_else(none),
                    ours,
                )
            })
            .or_else(|| {
                differ(
                    "thresholds",
                    json(&there.thresholds),
                    json(&self.thresholds),
                )
            })
    }
}

fn differ<T: PartialEq + Display>(what: &str, there: T, ours: T) -> Option<String> {
    (there != ours).then(|| format!("its {what} is `{there}`, now it is `{ours}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        let file = json!({"size": 1, "sha256": "0".repeat(64)});
        json!({
            "format": 1, "number": 3, "piece": 0, "wat": "http://h/x.wat.gz",
            "start_id": 1_000_000, "end_id": 2_000_000, "crawl": "CC-MAIN-2026-43",
            "model": {"name": "m", "digest": "d"}, "dim": 4, "images": null,
            "thresholds": {"similarity": 0.3}, "program": "cah 0.1.0",
            "started": "2026-11-01T00:00:00Z", "finished": "2026-11-01T00:01:00.5Z",
            "seconds": {"fetch": 1.5}, "candidates": 5, "pairs": 2,
            "outcomes": {"timed_out": 3, "kept": 2},
            "files": {
                "metadata/metadata_000000003.parquet": file,
                "img_emb/img_emb_000000003.npy": file,
                "text_emb/text_emb_000000003.npy": file,
            },
        })
    }

    fn parse(value: &Value) -> Result<Manifest, String> {
        Manifest::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_manifest_survives_its_file() {
        let manifest = parse(&sample()).unwrap();
        assert_eq!(Manifest::parse(&manifest.to_json().unwrap()), Ok(manifest));
    }

    #[test]
    fn a_manifest_that_nobody_would_read_is_not_written() {
        let mut manifest = parse(&sample()).unwrap();
        let long = "x".repeat(MAX_MANIFEST_BYTES as usize);
        manifest.thresholds.insert("x".into(), long.into());
        assert!(matches!(
            manifest.to_json(),
            Err(DatasetError::BadShard { number: 3, .. })
        ));
    }

    #[test]
    fn a_manifest_that_does_not_add_up_is_refused() {
        let spoil = |path: &str, value: Value| {
            let mut manifest = sample();
            *manifest.pointer_mut(path).unwrap() = value;
            parse(&manifest).unwrap_err()
        };
        assert!(spoil("/candidates", json!(6)).contains("add up to 5"));
        assert!(spoil("/pairs", json!(1)).contains("1 rows"));
        assert!(spoil("/outcomes/timed_out", json!(u64::MAX)).contains("counted"));
        assert!(spoil("/format", json!(2)).contains("format"));
        assert!(spoil("/number", json!(4)).contains("files"));
        assert!(spoil("/images", json!("original")).contains("files"));
        assert!(spoil("/started", json!("today")).contains("times"));
        assert!(spoil("/piece", json!(2)).contains("piece"));
        assert!(spoil("/outcomes", json!({"eaten": 5})).contains("eaten"));
        let file = "/files/img_emb~1img_emb_000000003.npy";
        assert!(spoil(&format!("{file}/sha256"), json!("..")).contains("sha256"));
        let mut empty = sample();
        (empty["pairs"], empty["outcomes"]) = (json!(0), json!({"timed_out": 5}));
        assert!(parse(&empty).unwrap_err().contains("files"));
        empty["files"] = json!({});
        assert!(parse(&empty).is_ok());
        let mut more = sample();
        more["other"] = json!(1);
        assert!(parse(&more).unwrap_err().contains("other"));
        for text in ["", "{", "[]", "null", "\0\0"] {
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn shards_of_other_runs_are_told_apart() {
        let there = parse(&sample()).unwrap();
        let same = there.info();
        assert_eq!(same.difference(&there), None);
        let with = |change: fn(&mut ShardInfo)| {
            let mut info = same.clone();
            change(&mut info);
            info.difference(&there)
        };
        assert_eq!(
            with(|info| info.shard.url = "y".into()).unwrap(),
            "its WAT is `http://h/x.wat.gz`, now it is `y`"
        );
        assert!(with(|info| info.shard.piece = Piece::Second).is_some());
        assert!(with(|info| info.shard.start_id = 0).is_some());
        assert!(with(|info| info.model.digest = "e".into()).is_some());
        assert!(with(|info| info.dim = 5).is_some());
        assert!(with(|info| info.images = Some("original".into())).is_some());
        assert!(with(|info| info.thresholds = BTreeMap::new()).is_some());
        assert_eq!(with(|info| info.model.name = "n".into()), None);
        assert_eq!(with(|info| info.program = "cah 0.2.0".into()), None);
    }
}
