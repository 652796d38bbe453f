//! The settings that decide which candidates become pairs, by name: a shard that was made with
//! others is another shard.

use std::collections::BTreeMap;

use cah_clip::SafetyList;
use cah_fetch::OptOuts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{PipelineConfig, UnsafePolicy};

/// Settings by name, defaults filled in.
pub(crate) type Settings = BTreeMap<String, Value>;

/// The longest image, in bytes.
pub(crate) const MAX_IMAGE_BYTES: &str = "max_image_bytes";

/// What decides which links become images. What only decides whether an image arrives in time
/// (deadline, retries, politeness) is left to the day, as the web is.
pub(super) fn of_candidates(config: &PipelineConfig) -> Settings {
    let rules = &config.rules;
    let off: Vec<_> = rules.off.iter().map(|rule| rule.name()).collect();
    named([
        (MAX_IMAGE_BYTES, json!(config.fetch.max_bytes)),
        ("opt_outs", json!(honoured(config.fetch.opt_outs))),
        ("min_text_chars", json!(rules.min_text_chars)),
        ("max_text_chars", json!(rules.max_text_chars)),
        ("max_url_bytes", json!(rules.max_url_bytes)),
        ("url_extensions", json!(rules.extensions)),
        ("rules_off", json!(off)),
        ("language_model", json!(rules.detector.is_some())),
        ("languages", json!(rules.languages)),
    ])
}

/// What decides which images become pairs.
pub(super) fn of_pairs(config: &PipelineConfig, similarity: f32, safety: &SafetyList) -> Settings {
    let unsafe_images = match config.unsafe_images {
        UnsafePolicy::Drop => "drop",
        UnsafePolicy::Tag => "tag",
    };
    named([
        ("similarity", json!(similarity)),
        ("unsafe_images", json!(unsafe_images)),
        ("safety_list", json!(digest(safety))),
        ("min_image_bytes", json!(config.limits.min_bytes)),
        ("max_pixels", json!(config.limits.max_pixels)),
    ])
}

fn named<const N: usize>(settings: [(&str, Value); N]) -> Settings {
    settings
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The names of the opt-outs that count, as the command line has them.
fn honoured(opt_outs: OptOuts) -> Vec<&'static str> {
    // Taken apart, so that one more does not compile until it stands here.
    let OptOuts {
        noai,
        noimageai,
        noindex,
        noimageindex,
        tdm_reservation,
    } = opt_outs;
    let all = [
        ("noai", noai),
        ("noimageai", noimageai),
        ("noindex", noindex),
        ("noimageindex", noimageindex),
        ("tdm-reservation", tdm_reservation),
    ];
    let honoured = all.into_iter().filter(|(_, honoured)| *honoured);
    honoured.map(|(name, _)| name).collect()
}

/// The list's SHA-256: its prompts are long, and nothing a manifest needs to repeat.
fn digest(safety: &SafetyList) -> String {
    let list = serde_json::to_vec(safety).expect("texts and names always become JSON");
    let digest = Sha256::digest(list);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut PipelineConfig)) -> Settings {
        let mut config = PipelineConfig::default();
        change(&mut config);
        let safety = config.safety.clone().unwrap_or_default();
        let mut all = of_candidates(&config);
        let of_candidates = all.len();
        let of_pairs = of_pairs(&config, 0.3, &safety);
        let expected = of_candidates + of_pairs.len();
        all.extend(of_pairs);
        assert_eq!(all.len(), expected, "no name is in both halves");
        all
    }

    #[test]
    fn what_decides_over_pairs_tells_shards_apart() {
        let usual = of(|_| ());
        assert_eq!(usual["opt_outs"].as_array().unwrap().len(), 5);
        let other = |change: fn(&mut PipelineConfig)| assert_ne!(of(change), usual);
        other(|config| config.fetch.opt_outs.noindex = false);
        other(|config| config.fetch.max_bytes = 1 << 20);
        other(|config| config.rules.extensions.clear());
        other(|config| {
            let mut list = SafetyList::default();
            list.categories[0].prompt.push('!');
            config.safety = Some(list);
        });
    }

    #[test]
    fn how_images_are_fetched_makes_no_other_shard() {
        let patient = of(|config| {
            config.fetch.deadline *= 2;
            config.fetch.retries += 1;
            config.fetch.in_flight = 16;
            config.threads = 7;
            config.batch = 5;
        });
        assert_eq!(patient, of(|_| ()));
    }
}
