//! What a CPU worker hands to a GPU worker: one tar with `images/KEY.jpg`, the downloaded bytes as
//! they came whatever their format, and `candidates.parquet`, the table's columns that are known by
//! then. What it says about itself stands in the table's metadata.
//!
//! A hand-over comes from anywhere: [`HandedOver`] believes nothing in it.

mod pack;
mod unpack;

use std::collections::BTreeMap;

use cah_protocol::{IDS_PER_SHARD, OutcomeCounts, Phase, Piece, Shard};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::ShardNames;

pub use pack::HandOverPacker;
pub use unpack::HandedOver;

/// The table's name in the tar.
const TABLE: &str = "candidates.parquet";

/// The folder of the images in the tar.
const IMAGES: &str = "images";

/// Where the table's metadata says what it is of.
const ABOUT: &str = "crawlingathome.hand_over";

/// The layout; raised when an older reader would misunderstand it.
const FORMAT: u32 = 1;

/// Candidates that a shard may have: more than any WAT file has links, and no tracker takes more.
const MOST_CANDIDATES: u64 = 1_000_000_000;

/// Bytes that the settings may have as they stand in a manifest, of which they become a part.
const MOST_SETTINGS_BYTES: usize = 16 << 10;

/// What a hand-over says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOver {
    /// Half of which WAT file.
    pub shard: Shard,
    /// The settings that decided which candidates became images, by name.
    pub settings: BTreeMap<String, Value>,
    /// How many candidates the shard had.
    pub candidates: u64,
    /// Where those ended that have no image.
    pub outcomes: OutcomeCounts,
    /// Name and version of the program.
    pub program: String,
}

/// [`HandOver`] in the table's metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: u32,
    number: u64,
    piece: Piece,
    wat: String,
    start_id: u64,
    end_id: u64,
    settings: BTreeMap<String, Value>,
    candidates: u64,
    outcomes: OutcomeCounts,
    program: String,
}

impl HandOver {
    fn to_json(&self) -> String {
        let about = About {
            format: FORMAT,
            number: self.shard.number,
            piece: self.shard.piece,
            wat: self.shard.url.clone(),
            start_id: self.shard.start_id,
            end_id: self.shard.end_id,
            settings: self.settings.clone(),
            candidates: self.candidates,
            outcomes: self.outcomes.clone(),
            program: self.program.clone(),
        };
        // Numbers, texts and maps with text keys always become JSON.
        serde_json::to_string(&about).expect("a hand-over is plain data")
    }

    fn parse(json: &str) -> Result<Self, String> {
        let about: About = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if about.format != FORMAT {
            let found = about.format;
            return Err(format!(
                "its format is {found}, this program reads {FORMAT}"
            ));
        }
        Ok(Self {
            shard: Shard {
                number: about.number,
                url: about.wat,
                start_id: about.start_id,
                end_id: about.end_id,
                piece: about.piece,
            },
            settings: about.settings,
            candidates: about.candidates,
            outcomes: about.outcomes,
            program: about.program,
        })
    }

    /// Makes sure that the settings have room in a manifest.
    fn check_settings(&self) -> Result<(), String> {
        // Maps with text keys always become JSON. Indented as there: that may be most of it.
        let json = serde_json::to_vec_pretty(&self.settings).expect("settings are plain data");
        match json.len() > MOST_SETTINGS_BYTES {
            true => Err(format!(
                "its settings have more than {MOST_SETTINGS_BYTES} bytes"
            )),
            false => Ok(()),
        }
    }

    /// Makes sure that so many images are what is left of the candidates.
    fn check(&self, images: u64) -> Result<(), String> {
        let early = |phase| matches!(phase, Phase::Rules | Phase::Fetch);
        if let Some((late, _)) = self.outcomes.iter().find(|(it, _)| !early(it.phase())) {
            return Err(format!("`{late}` is no outcome before a hand-over"));
        }
        if images > IDS_PER_SHARD {
            return Err(format!("a shard has {IDS_PER_SHARD} sample ids"));
        }
        if self.candidates > MOST_CANDIDATES {
            return Err(format!("no shard has {} candidates", self.candidates));
        }
        let mut ended = self.outcomes.iter();
        let sum = ended.try_fold(images, |sum, (_, count)| sum.checked_add(count));
        match sum == Some(self.candidates) {
            true => Ok(()),
            false => Err(format!(
                "{} candidates, but the outcomes and {images} images do not add up to them",
                self.candidates
            )),
        }
    }
}

/// The name in the tar of the image of a shard's candidate.
fn image_member(shard: u64, index: u64) -> String {
    format!("{IMAGES}/{}.jpg", ShardNames(shard).key(index))
}

#[cfg(test)]
mod tests {
    use cah_protocol::Outcome;
    use serde_json::json;

    use super::*;

    fn about(candidates: u64) -> HandOver {
        let mut outcomes = OutcomeCounts::default();
        outcomes.add_named(Outcome::TimedOut.name(), candidates);
        HandOver {
            shard: Shard::numbered(1, "u"),
            settings: BTreeMap::new(),
            candidates,
            outcomes,
            program: "a test".into(),
        }
    }

    #[test]
    fn what_no_tracker_takes_is_refused() {
        assert_eq!(about(MOST_CANDIDATES).check(0), Ok(()));
        assert!(about(2 * MOST_CANDIDATES).check(0).is_err());
    }

    /// Few bytes of JSON may be many where each value has a line of its own.
    #[test]
    fn settings_are_measured_as_a_manifest_has_them() {
        let mut about = about(0);
        assert_eq!(about.check_settings(), Ok(()));
        let mut deep = json!(vec![1; 500]);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        about.settings.insert("deep".into(), deep);
        assert!(about.to_json().len() < MOST_SETTINGS_BYTES / 4);
        assert!(about.check_settings().is_err());
    }
}
