//! Every kind of image, against Pillow.

use cah_clip::{DecodeError, Limits, decode};
use serde::Deserialize;

use crate::golden;

#[derive(Deserialize)]
struct Case {
    file: String,
    mime: String,
    width: u32,
    height: u32,
    original: [u32; 2],
    offset: usize,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        golden::bytes(&format!("decode/{}", self.file))
    }

    fn pixels<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        &all[self.offset..][..self.width as usize * self.height as usize * 3]
    }

    /// zune-jpeg rounds otherwise than libjpeg, by a few levels at chroma edges.
    fn tolerance(&self) -> u8 {
        if self.mime == "image/jpeg" { 6 } else { 0 }
    }
}

pub(crate) fn any_size() -> Limits {
    Limits {
        min_bytes: 0,
        ..Limits::default()
    }
}

fn cases() -> Vec<Case> {
    golden::json("decode/index.json")
}

#[test]
fn every_kind_of_image_is_what_pillow_makes_of_it() {
    let truth: Vec<u8> = golden::npy("decode/pixels.npy");
    let mut wrong = Vec::new();
    for case in cases() {
        let decoded = match decode(&case.bytes(), &any_size()) {
            Ok(decoded) => decoded,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.file));
                continue;
            }
        };
        let image = &decoded.image;
        assert_eq!(
            (image.width(), image.height()),
            (case.width, case.height),
            "{}",
            case.file
        );
        let original = [decoded.original_width, decoded.original_height];
        assert_eq!(original, case.original, "{}", case.file);
        assert_eq!(decoded.format.mime(), case.mime, "{}", case.file);
        let differences: Vec<_> = image
            .data()
            .iter()
            .zip(case.pixels(&truth))
            .map(|(a, b)| a.abs_diff(*b))
            .collect();
        let worst = differences.iter().copied().max().unwrap_or_default();
        if worst > case.tolerance() {
            let off = differences.iter().filter(|d| **d > 0).count();
            wrong.push(format!(
                "{}: {off} of {} values differ, by up to {worst}",
                case.file,
                differences.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_fewest_bytes_are_a_switch() {
    let bytes = golden::bytes("decode/rgb.png");
    let error = decode(&bytes, &Limits::default()).unwrap_err();
    assert_eq!(
        error,
        DecodeError::TooSmall {
            bytes: bytes.len(),
            minimum: 5_000
        }
    );
    assert!(decode(&bytes, &any_size()).is_ok());
}

#[test]
fn the_most_pixels_count_in_every_format() {
    for (file, pixels) in [
        ("rgb444.jpg", 45 * 34),
        ("rgb.png", 45 * 34),
        ("plain.gif", 45 * 34),
        ("juts-out.gif", 50 * 40),
        ("lossy.webp", 45 * 34),
        ("animated-offset.webp", 45 * 34),
    ] {
        let bytes = golden::bytes(&format!("decode/{file}"));
        let limits = |max_pixels| Limits {
            max_pixels,
            min_bytes: 0,
        };
        assert!(decode(&bytes, &limits(pixels)).is_ok(), "{file}");
        let error = decode(&bytes, &limits(pixels - 1)).unwrap_err();
        assert!(
            matches!(error, DecodeError::TooManyPixels { .. }),
            "{file}: {error}"
        );
    }
}

#[test]
fn what_is_cut_off_is_damaged() {
    for case in cases() {
        let bytes = case.bytes();
        // A PNG's last chunk and a GIF's trailer hold nothing of the image; Pillow needs neither.
        let tail = match case.mime.as_str() {
            "image/png" => 30,
            "image/gif" => 20,
            _ => 1,
        };
        // Of animations only the first frame is read, and of late-xmp.png only what lies behind its pixels is cut off.
        let other_end = case.file.starts_with("animated") || case.file == "late-xmp.png";
        if other_end || bytes.len() < 200 {
            continue;
        }
        for end in [bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - tail] {
            let error = decode(&bytes[..end], &any_size()).unwrap_err();
            assert!(
                matches!(error, DecodeError::Damaged { .. }),
                "{} cut at {end}: {error}",
                case.file
            );
        }
    }
}

#[test]
fn what_is_no_image_is_of_unknown_format() {
    for bytes in [
        &b"<html><body>Not found</body></html>"[..],
        b"%PDF-1.7",
        b"BM6\0\0\0",
        b"\xff\xd8",
        b"II*\0",
    ] {
        assert_eq!(
            decode(bytes, &any_size()).unwrap_err(),
            DecodeError::UnknownFormat
        );
    }
}
