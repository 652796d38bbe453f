//! What the model sees of an image: resized, cropped, normalised.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    error::ClipError,
    image::RgbImage,
    resample::{self, Filter, Window, resize},
};

/// A JSON object.
pub(crate) type Fields = Map<String, Value>;

/// An image as a CLIP model takes it: `[3, height, width]` of normalised f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Pixels {
    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values: channel, row, column.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Makes [`Pixels`] as `transformers`' `CLIPImageProcessor` does with Pillow: shorter side to the size
/// by the configured filter, centre crop, rescale, normalise.
#[derive(Clone, Debug)]
pub struct Preprocessor {
    size: Option<Size>,
    crop: Option<(u32, u32)>,
    filter: Filter,
    /// The normalised value of each of 256 levels, a table a channel.
    levels: Box<[[f32; 256]; 3]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    ShorterSide(u32),
    Exact(u32, u32),
}

impl Preprocessor {
    /// Reads `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`ClipError::BadFile`] where it isn't JSON or asks for what is not known.
    pub fn from_config(json: &[u8]) -> Result<Self, ClipError> {
        const FILE: &str = "preprocessor_config.json";
        let fields = serde_json::from_slice(json);
        Self::from_fields(
            FILE,
            fields.map_err(|error| ClipError::bad_file(FILE, error))?,
        )
    }

    /// Takes the fields that `file` has; those that are null count as absent.
    pub(crate) fn from_fields(file: &str, mut fields: Fields) -> Result<Self, ClipError> {
        let bad = |reason: String| ClipError::bad_file(file, reason);
        fields.retain(|_, value| !value.is_null());
        let config: Config = serde_json::from_value(Value::Object(fields))
            .map_err(|error| bad(error.to_string()))?;
        config.build().map_err(bad)
    }

    /// What CLIP models are trained with: bicubic, a square of `side`, OpenAI's mean and deviation.
    pub fn clip(side: u32) -> Self {
        let config = Config {
            size: SizeConfig::Side(side),
            crop_size: SizeConfig::Side(side),
            ..Config::default()
        };
        config.build().expect("the defaults are known")
    }

    /// The size that all images come out with; `None` where it depends on the image.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.size) {
            (Some(crop), _) => Some(crop),
            (None, Some(Size::Exact(width, height))) => Some((width, height)),
            _ => None,
        }
    }

    /// Makes of an image what the model sees.
    pub fn pixels(&self, image: &RgbImage) -> Pixels {
        let size = self.resized(image.width(), image.height());
        let window = match self.crop {
            Some((width, height)) => Window::centred(width, height, size),
            None => Window::whole(size),
        };
        let (width, height) = self.crop.unwrap_or((window.width, window.height));
        let resized = resize(image, size, window, self.filter);
        let mut pixels = self.canvas(width as usize, height as usize);
        // An image smaller than the crop lies in its middle, rounded as `center_crop` has it.
        let left = (width - window.width).div_ceil(2) as usize;
        let top = (height - window.height).div_ceil(2) as usize;
        self.normalise_into(&mut pixels, &resized, left, top);
        pixels
    }

    /// The size of the whole image before the crop.
    fn resized(&self, width: u32, height: u32) -> resample::Size {
        let (width, height) = (u64::from(width), u64::from(height));
        match self.size {
            None => (width, height),
            Some(Size::Exact(width, height)) => (width.into(), height.into()),
            Some(Size::ShorterSide(side)) => {
                let side = u64::from(side);
                match width <= height {
                    true => (side, side * height / width),
                    false => (side * width / height, side),
                }
            }
        }
    }

    /// Black, normalised.
    fn canvas(&self, width: usize, height: usize) -> Pixels {
        let mut values = Vec::with_capacity(width * height * 3);
        for table in self.levels.iter() {
            values.resize(values.len() + width * height, table[0]);
        }
        Pixels {
            width,
            height,
            values,
        }
    }

    fn normalise_into(&self, pixels: &mut Pixels, image: &RgbImage, left: usize, top: usize) {
        let (width, height) = (pixels.width, pixels.height);
        let [red, green, blue] = &*self.levels;
        let (reds, rest) = pixels.values.split_at_mut(width * height);
        let (greens, blues) = rest.split_at_mut(width * height);
        for (y, row) in image.rows().enumerate() {
            let start = (top + y) * width + left;
            let span = start..start + row.len() / 3;
            let targets = reds[span.clone()]
                .iter_mut()
                .zip(&mut greens[span.clone()])
                .zip(&mut blues[span]);
            for (((r, g), b), pixel) in targets.zip(row.chunks_exact(3)) {
                *r = red[usize::from(pixel[0])];
                *g = green[usize::from(pixel[1])];
                *b = blue[usize::from(pixel[2])];
            }
        }
    }
}

/// The fields of `preprocessor_config.json` that matter, with CLIP's defaults.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    do_resize: bool,
    size: SizeConfig,
    resample: u64,
    do_center_crop: bool,
    crop_size: SizeConfig,
    do_rescale: bool,
    rescale_factor: f64,
    do_normalize: bool,
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

/// A size as one number (old files) or by name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SizeConfig {
    Side(u32),
    Shortest { shortest_edge: u32 },
    Exact { width: u32, height: u32 },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            do_resize: true,
            size: SizeConfig::Side(224),
            resample: 3,
            do_center_crop: true,
            crop_size: SizeConfig::Side(224),
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: [0.48145466, 0.4578275, 0.40821073],
            image_std: [0.26862954, 0.261_302_6, 0.275_777_1],
        }
    }
}

impl Config {
    fn build(&self) -> Result<Preprocessor, String> {
        let filter = Filter::from_pillow(self.resample).ok_or_else(|| {
            format!(
                "resample {} is not known; 3 (bicubic) is what CLIP models use",
                self.resample
            )
        })?;
        let size = match self.size {
            SizeConfig::Side(side)
            | SizeConfig::Shortest {
                shortest_edge: side,
            } => Size::ShorterSide(checked_side(side)?),
            SizeConfig::Exact { width, height } => {
                Size::Exact(checked_side(width)?, checked_side(height)?)
            }
        };
        let crop = match self.crop_size {
            SizeConfig::Side(side)
            | SizeConfig::Shortest {
                shortest_edge: side,
            } => (checked_side(side)?, checked_side(side)?),
            SizeConfig::Exact { width, height } => (checked_side(width)?, checked_side(height)?),
        };
        if self.image_std.contains(&0.0) {
            return Err("image_std has a zero, which can't be divided by".into());
        }
        Ok(Preprocessor {
            size: self.do_resize.then_some(size),
            crop: self.do_center_crop.then_some(crop),
            filter,
            levels: Box::new(std::array::from_fn(|channel| self.levels(channel))),
        })
    }

    /// Rescales in f64 and normalises in f32, as numpy does there.
    fn levels(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|level| {
            let rescaled = match self.do_rescale {
                true => (level as f64 * self.rescale_factor) as f32,
                false => level as f32,
            };
            match self.do_normalize {
                true => (rescaled - self.image_mean[channel]) / self.image_std[channel],
                false => rescaled,
            }
        })
    }
}

fn checked_side(side: u32) -> Result<u32, String> {
    match side {
        1..=4096 => Ok(side),
        _ => Err(format!(
            "a size of {side} pixels is not usable: 224 is usual"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_all_spellings() {
        for json in [
            r#"{"size": 64, "crop_size": 64}"#,
            r#"{"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}"#,
            r#"{"size": {"height": 64, "width": 64}, "do_center_crop": false}"#,
        ] {
            let preprocessor = Preprocessor::from_config(json.as_bytes()).unwrap();
            assert_eq!(preprocessor.output_size(), Some((64, 64)), "{json}");
        }
        let open = Preprocessor::from_config(br#"{"do_center_crop": false}"#).unwrap();
        assert_eq!(open.output_size(), None);
    }

    #[test]
    fn a_line_may_become_longer_than_32_bits_count() {
        let preprocessor = Preprocessor::clip(224);
        let (width, height) = preprocessor.resized(20_000_000, 1);
        assert_eq!((width, height), (4_480_000_000, 224));
        let mut data = vec![0; 60_000_000];
        data[30_000_000..].fill(255);
        let pixels = preprocessor.pixels(&RgbImage::new(20_000_000, 1, data));
        assert_eq!((pixels.width(), pixels.height()), (224, 224));
    }

    #[test]
    fn what_is_not_known_is_said() {
        for (json, word) in [
            (r#"{"resample": 0}"#, "resample 0"),
            (r#"{"size": 0}"#, "size of 0"),
            (r#"{"image_std": [1, 0, 1]}"#, "image_std"),
            ("nonsense", "expected"),
        ] {
            let error = Preprocessor::from_config(json.as_bytes()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("preprocessor_config.json"), "{text}");
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn an_image_smaller_than_the_crop_is_framed_in_black() {
        let json = br#"{"do_resize": false, "crop_size": 4, "do_normalize": false}"#;
        let preprocessor = Preprocessor::from_config(json).unwrap();
        let white = RgbImage::new(2, 1, vec![255; 6]);
        let pixels = preprocessor.pixels(&white);
        let lit: Vec<_> = (0..16).filter(|i| pixels.values()[*i] == 1.0).collect();
        assert_eq!(lit, [9, 10]);
    }
}
