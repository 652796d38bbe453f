//! Resizing as Pillow does it.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::image::RgbImage;

/// Columns and rows of an image that nobody has in full: what a line of pixels is scaled up to can be longer than any
/// image in memory.
pub(crate) type Size = (u64, u64);

/// A part of such an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) left: u64,
    pub(crate) top: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Window {
    /// All of an image, which then is short enough to lie in memory.
    pub(crate) fn whole(of: Size) -> Self {
        Self::centred(u32::MAX, u32::MAX, of)
    }

    /// The middle `width` by `height`, or as much of it as there is, of an image of size `of`.
    pub(crate) fn centred(width: u32, height: u32, of: Size) -> Self {
        let part = |wanted: u32, all: u64| u32::try_from(all).map_or(wanted, |all| all.min(wanted));
        let (width, height) = (part(width, of.0), part(height, of.1));
        Self {
            left: (of.0 - u64::from(width)) / 2,
            top: (of.1 - u64::from(height)) / 2,
            width,
            height,
        }
    }
}

/// The filters that Pillow and `fast_image_resize` share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter(FilterType);

impl Filter {
    /// Pillow's `BICUBIC` (a = -0.5).
    pub(crate) const BICUBIC: Self = Self(FilterType::CatmullRom);

    /// The filter by Pillow's number, as `preprocessor_config.json` has it.
    pub(crate) fn from_pillow(number: u64) -> Option<Self> {
        Some(Self(match number {
            1 => FilterType::Lanczos3,
            2 => FilterType::Bilinear,
            3 => FilterType::CatmullRom,
            4 => FilterType::Box,
            5 => FilterType::Hamming,
            _ => return None,
        }))
    }

    /// How far the filter reaches at scale 1, in pixels.
    const REACH: f64 = 3.0;
}

/// Resizes `image` to `size` and returns the part `keep` of it; no more than that is computed.
///
/// Width first, then height, in two calls: so the intermediate rows are rounded to 8 bits as in Pillow,
/// which makes 99.8 % of the values equal and the rest differ by one level. One call would round
/// once and agree on 85 to 91 %.
pub(crate) fn resize(image: &RgbImage, size: Size, keep: Window, filter: Filter) -> RgbImage {
    let columns = Axis::new(image.width(), size.0, keep.left, keep.width);
    let rows = Axis::new(image.height(), size.1, keep.top, keep.height);
    let (first_row, row_count) = rows.source_span();

    let narrowed = pass(
        ImageView::of(image),
        (keep.width, row_count),
        Part {
            left: columns.start(),
            top: f64::from(first_row),
            width: columns.length(image.width()),
            height: f64::from(row_count),
        },
        filter,
    );
    let top = rows.start() - f64::from(first_row);
    pass(
        ImageView::of(&narrowed),
        (keep.width, keep.height),
        Part {
            left: 0.0,
            top,
            width: f64::from(keep.width),
            height: rows.length(image.height()).min(f64::from(row_count) - top),
        },
        filter,
    )
}

/// One side of the image: `source` pixels onto `target`, of which `count` from `first` are wanted.
struct Axis {
    source: u32,
    scale: f64,
    first: u64,
    count: u32,
}

impl Axis {
    fn new(source: u32, target: u64, first: u64, count: u32) -> Self {
        Self {
            source,
            scale: f64::from(source) / target as f64,
            first,
            count,
        }
    }

    /// Where the wanted part begins, in source pixels.
    fn start(&self) -> f64 {
        self.first as f64 * self.scale
    }

    /// How long the wanted part is, in source pixels, and never past the end by a rounding error.
    fn length(&self, source: u32) -> f64 {
        (f64::from(self.count) * self.scale).min(f64::from(source) - self.start())
    }

    /// The first of the source pixels that the wanted part is made of, and how many they are.
    fn source_span(&self) -> (u32, u32) {
        let reach = Filter::REACH * self.scale.max(1.0) + 1.0;
        let from = (self.start() - reach).floor().max(0.0) as u32;
        let to = (self.start() + self.length(self.source) + reach).ceil() as u32;
        (from, to.min(self.source) - from)
    }
}

/// A part of the source with fractional borders.
struct Part {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Pixels that `fast_image_resize` reads.
struct ImageView<'a>(ImageRef<'a>);

impl<'a> ImageView<'a> {
    fn of(image: &'a RgbImage) -> Self {
        let view = ImageRef::new(image.width(), image.height(), image.data(), PixelType::U8x3);
        Self(view.expect("an RgbImage has the bytes that its size asks for"))
    }
}

fn pass(source: ImageView<'_>, size: (u32, u32), part: Part, filter: Filter) -> RgbImage {
    let mut target = Image::new(size.0, size.1, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter.0))
        .use_alpha(false)
        .crop(part.left, part.top, part.width, part.height);
    Resizer::new()
        .resize(&source.0, &mut target, &options)
        .expect("both are U8x3, and the part lies within the source");
    RgbImage::new(size.0, size.1, target.into_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        let data = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [x * 7, y * 5, x ^ y]))
            .map(|value| value as u8)
            .collect();
        RgbImage::new(width, height, data)
    }

    fn cut(image: &RgbImage, keep: Window) -> Vec<u8> {
        image
            .rows()
            .skip(keep.top as usize)
            .take(keep.height as usize)
            .flat_map(|row| &row[keep.left as usize * 3..][..keep.width as usize * 3])
            .copied()
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_part_equals_the_same_part_of_the_whole(
            width in 1u32..90, height in 1u32..90,
            to_width in 1u32..60, to_height in 1u32..60,
            keep in (1u32..60, 1u32..60),
        ) {
            let image = gradient(width, height);
            let size = (to_width.into(), to_height.into());
            let whole = resize(&image, size, Window::whole(size), Filter::BICUBIC);
            let keep = Window::centred(keep.0, keep.1, size);
            let part = resize(&image, size, keep, Filter::BICUBIC);
            for (a, b) in part.data().iter().zip(cut(&whole, keep)) {
                prop_assert!(a.abs_diff(b) <= 1);
            }
        }
    }

    #[test]
    fn extreme_shapes_cost_only_what_is_kept() {
        let line = gradient(60_000, 2);
        // More columns than 32 bits can count.
        let size = (60_000 * 112_000, 224);
        let part = resize(
            &line,
            size,
            Window::centred(224, 224, size),
            Filter::BICUBIC,
        );
        assert_eq!((part.width(), part.height()), (224, 224));
    }
}
