//! Candidates that end before anything is requested, and images that are no candidates.

use cah_protocol::Outcome;

use super::Case;
use crate::{
    garble,
    page::{Figure, Form, Source},
    site::Site,
    studio::{Studio, absolute},
};

pub(super) const CASES: &[Case] = &[
    data_url,
    script_url,
    other_scheme,
    broken_host,
    long_url,
    drawing,
    icon,
    short_text,
    blank_text,
    long_text,
    same_again,
    same_address_otherwise_written,
    same_text_otherwise_written,
    no_candidates,
];

/// One pixel within the page itself.
fn data_url(studio: &mut Studio) -> Vec<Figure> {
    let pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    nowhere(studio, pixel)
}

fn script_url(studio: &mut Studio) -> Vec<Figure> {
    nowhere(studio, "javascript:void(0)")
}

fn other_scheme(studio: &mut Studio) -> Vec<Figure> {
    nowhere(studio, "ftp://files.test/pictures/7.jpg")
}

fn broken_host(studio: &mut Studio) -> Vec<Figure> {
    nowhere(studio, "http://[::1/pictures/7.jpg")
}

fn nowhere(studio: &mut Studio, url: &str) -> Vec<Figure> {
    let source = Source::Verbatim(url.to_owned());
    let caption = studio.caption();
    vec![Figure::candidate(
        source,
        caption,
        false,
        Outcome::UrlInvalid,
    )]
}

fn long_url(studio: &mut Studio) -> Vec<Figure> {
    let folder = format!("/images/{}/", "a".repeat(2_048));
    unasked(studio, &folder, "jpg", Outcome::UrlTooLong)
}

fn drawing(studio: &mut Studio) -> Vec<Figure> {
    unasked(studio, "/images/", "svg", Outcome::UrlExtension)
}

fn icon(studio: &mut Studio) -> Vec<Figure> {
    unasked(studio, "/images/", "ico", Outcome::UrlExtension)
}

/// An address at which nothing is, since nobody may ask for it.
fn unasked(studio: &mut Studio, folder: &str, extension: &str, wanted: Outcome) -> Vec<Figure> {
    let location = studio.address(Site::Harbour, folder, extension);
    let caption = studio.caption();
    vec![Figure::candidate(
        absolute(location),
        caption,
        false,
        wanted,
    )]
}

fn short_text(studio: &mut Studio) -> Vec<Figure> {
    with_text(studio, "Logo".to_owned(), Outcome::TextTooShort)
}

fn blank_text(studio: &mut Studio) -> Vec<Figure> {
    let mut figures = with_text(studio, String::new(), Outcome::TextTooShort);
    for figure in &mut figures {
        figure.alt = Some("   ".to_owned());
    }
    figures
}

/// A whole article in the attribute.
fn long_text(studio: &mut Studio) -> Vec<Figure> {
    let sentence = studio.caption();
    let article = vec![sentence; 600].join(" ");
    with_text(studio, article, Outcome::TextTooLong)
}

fn with_text(studio: &mut Studio, text: String, wanted: Outcome) -> Vec<Figure> {
    let shot = studio.shot();
    let location = studio.hang_shot(&shot);
    vec![Figure::candidate(absolute(location), text, false, wanted)]
}

/// A gallery that shows the same image twice.
fn same_again(studio: &mut Studio) -> Vec<Figure> {
    twice(studio, |again| again)
}

fn same_address_otherwise_written(studio: &mut Studio) -> Vec<Figure> {
    twice(studio, |mut again| {
        if let Source::Link(_, form) = &mut again.source {
            *form = Form::ProtocolRelative;
        }
        again
    })
}

fn same_text_otherwise_written(studio: &mut Studio) -> Vec<Figure> {
    twice(studio, |mut again| {
        again.alt = again.alt.map(|text| garble::with_entities(&text));
        again
    })
}

fn twice(studio: &mut Studio, rewrite: impl FnOnce(Figure) -> Figure) -> Vec<Figure> {
    let shot = studio.shot();
    let location = studio.hang_shot(&shot);
    let figure = |wanted| {
        let source = absolute(location.clone());
        Figure::candidate(source, shot.caption.clone(), true, wanted)
    };
    vec![figure(Outcome::Kept), rewrite(figure(Outcome::Duplicate))]
}

/// No `alt`, an empty one, and an image that a script fills in later.
fn no_candidates(studio: &mut Studio) -> Vec<Figure> {
    let shot = studio.shot();
    let location = studio.hang_shot(&shot);
    let plain = |source, alt: Option<&str>| Figure {
        source,
        alt: alt.map(str::to_owned),
        verdict: None,
    };
    vec![
        plain(absolute(location.clone()), None),
        plain(absolute(location), Some("")),
        plain(Source::Verbatim("/site.js?pixel".to_owned()), None),
    ]
}
