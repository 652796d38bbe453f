//! The configurations of the models that people take, as their makers publish them: the fields that say something of
//! `config.json` and `preprocessor_config.json` of each.

use cah_clip::{Activation, ClipConfig, Preprocessor, RgbImage, TowerConfig};
use rstest::rstest;
use serde::Deserialize;
use serde_json::Value;

use crate::golden;

use Activation::{Gelu, QuickGelu};

#[derive(Deserialize)]
struct Published {
    config: Value,
    preprocessor_config: Value,
}

const OPENAI_MEAN: f32 = 0.48145466;
const OPENAI_DEVIATION: f32 = 0.26862954;

fn tower(width: usize, layers: usize, heads: usize, activation: Activation) -> TowerConfig {
    TowerConfig {
        hidden_size: width,
        intermediate_size: 4 * width,
        layers,
        heads,
        activation,
        layer_norm_eps: 1e-5,
    }
}

#[rstest]
#[case("openai-clip-vit-base-patch32", 32, QuickGelu)]
#[case("openai-clip-vit-base-patch16", 16, QuickGelu)]
#[case("laion-CLIP-ViT-B-32-laion2B-s34B-b79K", 32, Gelu)]
fn base_models(#[case] name: &str, #[case] patch: usize, #[case] activation: Activation) {
    let config = ClipConfig {
        vision: tower(768, 12, 12, activation),
        image_size: 224,
        patch_size: patch,
        text: tower(512, 12, 8, activation),
        vocab_size: 49_408,
        context_length: 77,
        pooled_token: None,
        dimension: 512,
    };
    check(name, &config, OPENAI_MEAN, OPENAI_DEVIATION);
}

#[rstest]
#[case(
    "openai-clip-vit-large-patch14",
    QuickGelu,
    OPENAI_MEAN,
    OPENAI_DEVIATION
)]
#[case("laion-CLIP-ViT-L-14-laion2B-s32B-b82K", Gelu, 0.5, 0.5)]
fn large_models(
    #[case] name: &str,
    #[case] activation: Activation,
    #[case] mean: f32,
    #[case] deviation: f32,
) {
    let config = ClipConfig {
        vision: tower(1_024, 24, 16, activation),
        image_size: 224,
        patch_size: 14,
        text: tower(768, 12, 12, activation),
        vocab_size: 49_408,
        context_length: 77,
        pooled_token: None,
        dimension: 768,
    };
    check(name, &config, mean, deviation);
}

/// All of them say an end of text of 2, which means that the highest id is pooled.
fn check(name: &str, expected: &ClipConfig, mean: f32, deviation: f32) {
    let published: Published = golden::json(&format!("published/{name}.json"));
    let config = ClipConfig::parse(published.config.to_string().as_bytes()).unwrap();
    assert_eq!(config, *expected);
    let preprocessor = published.preprocessor_config.to_string();
    let preprocessor = Preprocessor::from_config(preprocessor.as_bytes()).unwrap();
    assert_eq!(preprocessor.output_size(), Some((224, 224)));
    let white = preprocessor.pixels(&RgbImage::new(1, 1, vec![255; 3]));
    assert_eq!(white.values()[0], (1.0 - mean) / deviation);
}
