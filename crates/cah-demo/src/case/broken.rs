//! Candidates whose bytes arrive and are no image that anybody wants.

use cah_protocol::Outcome;

use super::Case;
use crate::{
    flaw::Flaw,
    page::Figure,
    picture::Format,
    reply::Reply,
    scene::Scene,
    site::Site,
    studio::{Studio, absolute},
};

pub(super) const CASES: &[Case] = &[
    tiny_png,
    tiny_jpeg,
    text_as_image,
    drawing_without_extension,
    enormous_png,
    enormous_jpeg,
    enormous_webp,
    damaged_png,
    damaged_jpeg,
    damaged_webp,
    halved_png,
];

/// What pages use as bullets and spacers.
fn tiny_png(studio: &mut Studio) -> Vec<Figure> {
    picture(studio, Format::Png, (24, 24), None, Outcome::ImageTooSmall)
}

fn tiny_jpeg(studio: &mut Studio) -> Vec<Figure> {
    picture(studio, Format::Jpeg, (32, 20), None, Outcome::ImageTooSmall)
}

fn text_as_image(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Jpeg, Flaw::Text, Outcome::UnknownFormat)
}

/// An SVG whose address does not tell what it is.
fn drawing_without_extension(studio: &mut Studio) -> Vec<Figure> {
    let shape = "<circle cx=\"50\" cy=\"50\" r=\"40\" fill=\"#c33\"/>\n".repeat(150);
    let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\">\n{shape}</svg>\n");
    let reply = Reply::File("image/svg+xml", svg.into());
    vec![studio.dead(Site::Orchard, reply, Outcome::UnknownFormat)]
}

fn enormous_png(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Png, Flaw::Enormous, Outcome::TooManyPixels)
}

fn enormous_jpeg(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Jpeg, Flaw::Enormous, Outcome::TooManyPixels)
}

fn enormous_webp(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Webp, Flaw::Enormous, Outcome::TooManyPixels)
}

fn damaged_png(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Png, Flaw::Damaged, Outcome::ImageDamaged)
}

fn damaged_jpeg(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Jpeg, Flaw::Damaged, Outcome::ImageDamaged)
}

fn damaged_webp(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Webp, Flaw::Damaged, Outcome::ImageDamaged)
}

fn halved_png(studio: &mut Studio) -> Vec<Figure> {
    flawed(studio, Format::Png, Flaw::Halved, Outcome::ImageDamaged)
}

fn flawed(studio: &mut Studio, format: Format, flaw: Flaw, wanted: Outcome) -> Vec<Figure> {
    picture(studio, format, (320, 280), Some(flaw), wanted)
}

fn picture(
    studio: &mut Studio,
    format: Format,
    size: (u32, u32),
    flaw: Option<Flaw>,
    wanted: Outcome,
) -> Vec<Figure> {
    let scene = Scene::random(&mut studio.rng);
    let shot = studio.shot_as(scene, format, size, flaw);
    let location = studio.hang_shot(&shot);
    vec![Figure::candidate(
        absolute(location),
        shot.caption,
        flaw.is_none(),
        wanted,
    )]
}
