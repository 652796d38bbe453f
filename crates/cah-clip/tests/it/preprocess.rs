//! What the model sees, against transformers with Pillow.

use cah_clip::Preprocessor;
use serde::Deserialize;

use crate::{golden, scene::scene};

#[derive(Deserialize)]
struct Case {
    width: u32,
    height: u32,
    seed: u32,
    config: serde_json::Value,
    shape: [usize; 3],
    offset: usize,
}

#[test]
fn resizing_equals_pillow_to_a_level_on_nearly_all_values() {
    let truth: Vec<u8> = golden::npy("preprocess/levels.npy");
    let cases: Vec<Case> = golden::json("preprocess/index.json");
    let (mut equal, mut all) = (0_usize, 0);
    for case in &cases {
        let config = case.config.to_string();
        let preprocessor = Preprocessor::from_config(config.as_bytes()).unwrap();
        let pixels = preprocessor.pixels(&scene(case.width, case.height, case.seed));
        let [channels, height, width] = case.shape;
        assert_eq!(
            (pixels.width(), pixels.height()),
            (width, height),
            "{config}"
        );
        let truth = &truth[case.offset..][..channels * height * width];
        let mut within = 0;
        for (value, truth) in pixels.values().iter().zip(truth) {
            let difference = (*value - f32::from(*truth)).abs();
            within += usize::from(difference <= 1.0);
            equal += usize::from(difference == 0.0);
        }
        all += truth.len();
        let share = within as f64 / truth.len() as f64;
        assert!(
            share >= 0.995,
            "{}x{} {config}: {share}",
            case.width,
            case.height
        );
    }
    let share = equal as f64 / all as f64;
    assert!(share >= 0.995, "only {share} of all values are equal");
}

#[test]
fn normalised_values_are_numpys_to_the_bit() {
    let truth: Vec<f32> = golden::npy("preprocess/normalised.npy");
    let ramp = (0..=255).flat_map(|level| [level; 3]).collect();
    let image = cah_clip::RgbImage::new(16, 16, ramp);
    let pixels = Preprocessor::clip(16).pixels(&image);
    assert_eq!(pixels.values(), truth);
}
