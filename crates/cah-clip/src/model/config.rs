//! `config.json` of a CLIP model.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::ClipError;

const FILE: &str = "config.json";

/// The nonlinearity between the two halves of a block's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's models.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// The exact one, by the error function: LAION's models.
    #[serde(rename = "gelu")]
    Gelu,
}

/// The shape of one transformer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TowerConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width between the two halves of the MLP.
    pub intermediate_size: usize,
    /// Blocks.
    #[serde(rename = "num_hidden_layers")]
    pub layers: usize,
    /// Attention heads; they divide `hidden_size`.
    #[serde(rename = "num_attention_heads")]
    pub heads: usize,
    /// The MLP's nonlinearity.
    #[serde(rename = "hidden_act")]
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f32,
}

/// The shape of a CLIP model, as `transformers`' `CLIPConfig` reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// The image tower.
    pub vision: TowerConfig,
    /// Pixels of a side of the square that the image tower takes.
    pub image_size: usize,
    /// Pixels of a side of a patch.
    pub patch_size: usize,
    /// The text tower.
    pub text: TowerConfig,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// The most tokens of a text.
    pub context_length: usize,
    /// Where a text is pooled: `None` at its highest id, else at the first of this id.
    pub pooled_token: Option<u32>,
    /// Numbers in an embedding.
    pub dimension: usize,
}

impl ClipConfig {
    /// Reads `config.json`; fields that are not there have `transformers`' defaults.
    ///
    /// # Errors
    /// [`ClipError::NotClip`] for another kind of model, [`ClipError::BadFile`] for what can't be built.
    pub fn parse(json: &[u8]) -> Result<Self, ClipError> {
        let root: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| ClipError::bad_file(FILE, error))?;
        let kind = root.get("model_type").and_then(Value::as_str);
        if kind != Some("clip") {
            let found = kind.unwrap_or("nameless").to_owned();
            let file = FILE.into();
            return Err(ClipError::NotClip { file, found });
        }
        let text: TextJson = section(&root, "text_config", text_defaults())?;
        let vision: VisionJson = section(&root, "vision_config", vision_defaults())?;
        let dimension = match root.get("projection_dim") {
            None | Some(Value::Null) => 512,
            Some(value) => read("projection_dim", value.clone())?,
        };
        let config = Self {
            vision: vision.tower,
            image_size: vision.image_size,
            patch_size: vision.patch_size,
            pooled_token: text.pooled_token(),
            vocab_size: text.vocab_size,
            context_length: text.max_position_embeddings,
            text: text.tower,
            dimension,
        };
        config.check()?;
        Ok(config)
    }

    /// Patches of an image.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Refuses shapes that no model has before anything is allocated for them.
    fn check(&self) -> Result<(), ClipError> {
        let sizes = [
            ("image_size", self.image_size, 4_096),
            ("patch_size", self.patch_size, self.image_size),
            ("vocab_size", self.vocab_size, 1 << 24),
            ("max_position_embeddings", self.context_length, 1 << 16),
            ("projection_dim", self.dimension, 1 << 16),
        ];
        let towers = [&self.text, &self.vision].into_iter().flat_map(|tower| {
            [
                ("hidden_size", tower.hidden_size, 1 << 16),
                ("intermediate_size", tower.intermediate_size, 1 << 18),
                ("num_hidden_layers", tower.layers, 1 << 10),
                ("num_attention_heads", tower.heads, tower.hidden_size),
            ]
        });
        for (name, value, most) in sizes.into_iter().chain(towers) {
            if value == 0 || value > most {
                let reason = format!("{name} is {value}, where 1 to {most} can be");
                return Err(ClipError::bad_file(FILE, reason));
            }
        }
        if self.context_length < 3 {
            let reason = "max_position_embeddings leaves no room for a word";
            return Err(ClipError::bad_file(FILE, reason));
        }
        for tower in [&self.text, &self.vision] {
            if tower.hidden_size % tower.heads != 0 {
                let (width, heads) = (tower.hidden_size, tower.heads);
                let reason = format!("hidden_size {width} is not a multiple of {heads} heads");
                return Err(ClipError::bad_file(FILE, reason));
            }
        }
        Ok(())
    }
}

/// Reads a section, over which `<name>_dict` of old files wins; what neither has is as by default.
fn section<T: for<'de> Deserialize<'de>>(
    root: &Map<String, Value>,
    name: &str,
    defaults: Value,
) -> Result<T, ClipError> {
    let mut merged = Map::new();
    let dict = format!("{name}_dict");
    for section in [Some(&defaults), root.get(name), root.get(&dict)] {
        if let Some(Value::Object(fields)) = section {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            merged.extend(given.map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    read(name, Value::Object(merged))
}

fn read<T: for<'de> Deserialize<'de>>(name: &str, value: Value) -> Result<T, ClipError> {
    serde_json::from_value(value)
        .map_err(|error| ClipError::bad_file(FILE, format!("{name}: {error}")))
}

#[derive(Deserialize)]
struct TextJson {
    #[serde(flatten)]
    tower: TowerConfig,
    vocab_size: usize,
    max_position_embeddings: usize,
    eos_token_id: u32,
}

/// Those of `transformers`' `CLIPTextConfig`.
fn text_defaults() -> Value {
    json!({
        "vocab_size": 49_408,
        "hidden_size": 512,
        "intermediate_size": 2_048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "eos_token_id": 49_407,
    })
}

impl TextJson {
    /// OpenAI's files say 2, which is no end of text there; `transformers` then takes the highest id.
    fn pooled_token(&self) -> Option<u32> {
        (self.eos_token_id != 2).then_some(self.eos_token_id)
    }
}

#[derive(Deserialize)]
struct VisionJson {
    #[serde(flatten)]
    tower: TowerConfig,
    image_size: usize,
    patch_size: usize,
}

/// Those of `transformers`' `CLIPVisionConfig`.
fn vision_defaults() -> Value {
    json!({
        "hidden_size": 768,
        "intermediate_size": 3_072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_is_openai_b32() {
        let config = ClipConfig::parse(br#"{"model_type": "clip"}"#).unwrap();
        assert_eq!((config.image_size, config.patches()), (224, 49));
        assert_eq!(config.dimension, 512);
        assert_eq!(config.pooled_token, Some(49_407));
    }

    #[test]
    fn old_files_say_it_in_a_dict() {
        let json = br#"{"model_type": "clip", "projection_dim": 768,
            "text_config": {"hidden_size": 512, "eos_token_id": 2},
            "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12},
            "vision_config_dict": null}"#;
        let config = ClipConfig::parse(json).unwrap();
        assert_eq!((config.text.hidden_size, config.text.heads), (768, 12));
        assert_eq!(config.pooled_token, None);
        assert_eq!(config.dimension, 768);
    }

    #[test]
    fn what_is_no_clip_is_named() {
        let error = ClipConfig::parse(br#"{"model_type": "bert"}"#).unwrap_err();
        assert!(error.to_string().contains("\"bert\" model"), "{error}");
        let cases: [(&[u8], &str); 5] = [
            (b"[]", "config.json"),
            (
                br#"{"model_type": "clip", "text_config": {"hidden_act": "relu"}}"#,
                "relu",
            ),
            (
                br#"{"model_type": "clip", "text_config": {"num_attention_heads": 7}}"#,
                "7 heads",
            ),
            (
                br#"{"model_type": "clip", "vision_config": {"patch_size": 0}}"#,
                "patch_size is 0",
            ),
            (
                br#"{"model_type": "clip", "projection_dim": 1000000}"#,
                "projection_dim is 1000000",
            ),
        ];
        for (json, word) in cases {
            let error = ClipConfig::parse(json).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
