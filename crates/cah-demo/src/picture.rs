//! The images of the mini web, as files.

use std::{
    num::NonZero,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use image::{
    ExtendedColorType, ImageEncoder, RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

use crate::{flaw::Flaw, scene::Scene};

/// Fewer bytes than this make no image worth having: what crawlers of LAION's kind skip.
pub(crate) const WORTHWHILE_BYTES: usize = 5_000;

/// How an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Webp,
}

impl Format {
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::Webp => "webp",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Webp => "image/webp",
        }
    }
}

/// An image before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) scene: Scene,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: Format,
    /// What is wrong with the file, if anything is.
    pub(crate) flaw: Option<Flaw>,
}

/// Which of a web's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PictureId(pub(crate) usize);

impl Picture {
    /// Draws and encodes the picture: the same bytes whenever and wherever it is called.
    pub(crate) fn draw(&self) -> Bytes {
        let image = self.scene.render(self.width, self.height);
        let whole = encode(&image, self.format);
        match self.flaw {
            None => whole.into(),
            Some(flaw) => flaw.inflict(whole, self.format).into(),
        }
    }
}

fn encode(image: &RgbImage, format: Format) -> Vec<u8> {
    match format {
        Format::Jpeg => at_worthwhile_quality(|quality| encode_jpeg(image, quality)),
        Format::Png => encode_png(image),
        Format::Webp => at_worthwhile_quality(|quality| encode_webp(image, quality)),
    }
}

/// Photographs fill their bytes; a drawing may need a better quality to be worth fetching.
fn at_worthwhile_quality(encode: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
    let file = encode(86);
    if file.len() >= WORTHWHILE_BYTES {
        return file;
    }
    encode(98)
}

fn encode_jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let side = |pixels: u32| u16::try_from(pixels).expect("pictures are at most 1,600 pixels wide");
    jpeg_encoder::Encoder::new(&mut file, quality)
        .encode(
            image.as_raw(),
            side(image.width()),
            side(image.height()),
            jpeg_encoder::ColorType::Rgb,
        )
        .expect("writing to a Vec does not fail, and the buffer has the size of the image");
    file
}

fn encode_png(image: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Up)
        .write_image(
            image.as_raw(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .expect("writing to a Vec does not fail, and the buffer has the size of the image");
    file
}

fn encode_webp(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut config = webp::WebPConfig::new().expect("libwebp is the version it was built with");
    config.quality = f32::from(quality);
    // The fastest of libwebp's methods: the demo draws hundreds of images at its start.
    config.method = 0;
    webp::Encoder::from_rgb(image.as_raw(), image.width(), image.height())
        .encode_advanced(&config)
        .expect("the configuration is valid and the image below libwebp's 16,383 pixels")
        .to_vec()
}

/// Draws all pictures, on every core, in the order given.
pub(crate) fn draw_all(pictures: &[Picture]) -> Vec<Bytes> {
    let drawn: Vec<OnceLock<Bytes>> = pictures.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let draw_some = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(index) else {
                return;
            };
            drawn[index].get_or_init(|| picture.draw());
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(draw_some);
        }
    });
    drawn
        .into_iter()
        .map(|file| file.into_inner().expect("the threads drew every index"))
        .collect()
}

#[cfg(test)]
mod tests {
    use zune_core::bytestream::ZCursor;

    use super::*;
    use crate::{Config, MiniWeb};

    /// Width and height of the decoded pixels.
    fn decoded_size(file: &[u8], format: Format) -> (u32, u32) {
        match format {
            Format::Webp => {
                let image = webp::Decoder::new(file).decode().unwrap();
                (image.width(), image.height())
            }
            Format::Png => {
                let image = image::load_from_memory(file).unwrap();
                (image.width(), image.height())
            }
            Format::Jpeg => {
                let mut decoder = zune_jpeg::JpegDecoder::new(ZCursor::new(file));
                decoder.decode().unwrap();
                let (width, height) = decoder.dimensions().unwrap();
                (width as u32, height as u32)
            }
        }
    }

    #[test]
    fn every_image_of_a_web_decodes_to_its_size() {
        let config = Config {
            pages: 60,
            ..Config::default()
        };
        let web = MiniWeb::build(config).unwrap();
        let files = draw_all(&web.pictures);
        let whole = web.pictures.iter().zip(&files);
        for (picture, file) in whole.filter(|(picture, _)| picture.flaw.is_none()) {
            let size = (picture.width, picture.height);
            assert_eq!(decoded_size(file, picture.format), size);
            let is_worthwhile = file.len() >= WORTHWHILE_BYTES;
            assert_eq!(is_worthwhile, size.0.max(size.1) >= 64, "{size:?}");
        }
    }

    #[test]
    fn an_image_is_drawn_the_same_twice() {
        let web = MiniWeb::build(Config::default()).unwrap();
        for picture in &web.pictures[..12] {
            assert_eq!(picture.draw(), picture.draw());
        }
    }
}
