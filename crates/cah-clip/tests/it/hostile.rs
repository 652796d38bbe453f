//! Bytes from people who mean harm.

use allocation_counter::measure;
use cah_clip::{DecodeError, Limits, decode};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use serde::Deserialize;

use crate::{decode::any_size, golden, scene::scene};

/// Few pixels, so that what may be allocated is little too.
const LIMITS: Limits = Limits {
    max_pixels: 10_000,
    min_bytes: 0,
};

/// What a decoder may hold for so few pixels: a few copies of them, its tables and its input. What libwebp takes with
/// C's `malloc` is not counted.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct Case {
    file: String,
}

fn seeds() -> Vec<Vec<u8>> {
    let cases: Vec<Case> = golden::json("decode/index.json");
    let bytes = |case: &Case| golden::bytes(&format!("decode/{}", case.file));
    cases.iter().map(bytes).collect()
}

fn decode_within_limits(bytes: &[u8]) {
    let mut result = None;
    let used = measure(|| result = Some(decode(bytes, &LIMITS)));
    assert!(
        used.bytes_max < MAX_BYTES,
        "{} bytes allocated for {result:?}",
        used.bytes_max
    );
    if let Some(Ok(decoded)) = result {
        let image = decoded.image;
        assert!(u64::from(image.width()) * u64::from(image.height()) <= LIMITS.max_pixels);
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    prop_oneof![
        6 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Mutation::Repeat(a, b)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ]
}

impl Mutation {
    /// Most of what decides stands in the first bytes, so half of all places are there.
    fn place(index: &prop::sample::Index, length: usize) -> usize {
        let anywhere = index.index(length * 2);
        if anywhere < length {
            anywhere
        } else {
            anywhere % length.min(64)
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, byte) => {
                let at = Self::place(at, bytes.len());
                bytes[at] = *byte;
            }
            Self::Cut(at) => bytes.truncate(Self::place(at, bytes.len())),
            Self::Repeat(a, b) => {
                let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
                let part = bytes[a.min(b)..a.max(b)].to_vec();
                bytes.splice(a..a, part);
            }
            Self::Insert(at, part) => {
                let at = Self::place(at, bytes.len());
                bytes.splice(at..at, part.clone());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn mutated_images_do_no_harm(
        seed in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        static SEEDS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(seeds);
        let mut bytes = SEEDS[seed.index(SEEDS.len())].clone();
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        decode_within_limits(&bytes);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        head in prop::sample::select(vec![
            &b""[..], b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a", b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0",
            b"RIFF\xff\0\0\0WEBPVP8L", b"RIFF\xff\0\0\0WEBPVP8 ",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = head.to_vec();
        bytes.extend(rest);
        decode_within_limits(&bytes);
    }
}

/// Headers that promise more than there is must cost nothing.
#[test]
fn giant_sizes_in_headers_are_refused_before_anything_is_allocated() {
    let mut png = golden::bytes("decode/rgb.png");
    png[16..24].copy_from_slice(&[0, 0, 0x70, 0, 0, 0, 0x70, 0]);
    // The header's checksum must fit for the size to be believed.
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut jpeg = golden::bytes("decode/rgb444.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut gif = golden::bytes("decode/plain.gif");
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut webp = golden::bytes("decode/animated-offset.webp");
    webp[24..30].copy_from_slice(&[0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    for (name, bytes) in [("png", png), ("jpeg", jpeg), ("gif", gif), ("webp", webp)] {
        let mut result = None;
        let used = measure(|| result = Some(decode(&bytes, &any_size())));
        let error = result.unwrap().unwrap_err();
        assert!(
            matches!(error, DecodeError::TooManyPixels { .. }),
            "{name}: {error}"
        );
        assert!(used.bytes_max < 1 << 20, "{name}: {} bytes", used.bytes_max);
    }
}

/// The budget of pixels that all threads share reckons with so much for each.
#[test]
fn the_dearest_images_take_twelve_bytes_a_pixel() {
    const SIDE: u16 = 1_024;
    let image = scene(SIDE.into(), SIDE.into(), 1);
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 90);
    encoder.set_progressive(true);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder
        .encode(image.data(), SIDE, SIDE, ColorType::Rgb)
        .unwrap();
    let used = measure(|| drop(decode(&jpeg, &any_size()).unwrap()));
    let pixels = u64::from(SIDE) * u64::from(SIDE);
    let each = used.bytes_max as f64 / pixels as f64;
    assert!((6.0..12.0).contains(&each), "{each} bytes");
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    };
    !bytes.iter().fold(!0, step)
}
