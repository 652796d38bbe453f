//! Candidates that reach the model by an unusual way, and those that only it can refuse.

use cah_protocol::Outcome;

use super::Case;
use crate::{
    garble,
    page::{Figure, Tongue},
    reply::{Reply, Target},
    scene::Scene,
    site::Site,
    studio::{Shot, Studio, absolute},
};

pub(super) const CASES: &[Case] = &[
    moved_permanently,
    found,
    temporary_redirect,
    permanent_redirect,
    three_hops,
    busy,
    hiccup,
    bytes_of_any_kind,
    no_content_type,
    no_extension,
    resized_by_query,
    for_another_bot,
    entities,
    mojibake,
    foreign_mojibake,
    unsafe_scene,
    unsafe_scene,
];

fn moved_permanently(studio: &mut Studio) -> Vec<Figure> {
    redirected(studio, &[301])
}

fn found(studio: &mut Studio) -> Vec<Figure> {
    redirected(studio, &[302])
}

fn temporary_redirect(studio: &mut Studio) -> Vec<Figure> {
    redirected(studio, &[307])
}

fn permanent_redirect(studio: &mut Studio) -> Vec<Figure> {
    redirected(studio, &[308])
}

fn three_hops(studio: &mut Studio) -> Vec<Figure> {
    redirected(studio, &[301, 302, 307])
}

/// An image behind redirects from host to host.
fn redirected(studio: &mut Studio, statuses: &[u16]) -> Vec<Figure> {
    let shot = studio.shot();
    let mut location = studio.hang_shot(&shot);
    for (status, site) in statuses
        .iter()
        .zip([Site::Creaky, Site::Harbour].into_iter().cycle())
    {
        let earlier = studio.address(site, "/old/", shot.format.extension());
        let reply = Reply::Redirect(*status, Target::Location(location));
        studio.publish(earlier.clone(), reply);
        location = earlier;
    }
    vec![Figure::candidate(
        absolute(location),
        shot.caption,
        true,
        Outcome::Kept,
    )]
}

/// 503 with `Retry-After`, then the image.
fn busy(studio: &mut Studio) -> Vec<Figure> {
    recovering(studio, 503, Some(1))
}

/// 500, then the image.
fn hiccup(studio: &mut Studio) -> Vec<Figure> {
    recovering(studio, 500, None)
}

fn recovering(studio: &mut Studio, status: u16, retry_after: Option<u8>) -> Vec<Figure> {
    kept(studio, Site::Busy, |shot| Reply::Recovering {
        status,
        retry_after,
        then: shot.picture,
    })
}

/// Storage that does not know what it stores.
fn bytes_of_any_kind(studio: &mut Studio) -> Vec<Figure> {
    kept(studio, Site::AtelierImages, |shot| {
        Reply::Picture(shot.picture, Some("application/octet-stream"))
    })
}

fn no_content_type(studio: &mut Studio) -> Vec<Figure> {
    kept(studio, Site::AtelierImages, |shot| {
        Reply::Picture(shot.picture, None)
    })
}

/// Tells a robot of another name not to index.
fn for_another_bot(studio: &mut Studio) -> Vec<Figure> {
    kept(studio, Site::OtherBot, plain)
}

fn kept(studio: &mut Studio, site: Site, reply: impl FnOnce(&Shot) -> Reply) -> Vec<Figure> {
    vec![studio.candidate(site, reply, Outcome::Kept)]
}

fn plain(shot: &Shot) -> Reply {
    Reply::Picture(shot.picture, Some(shot.format.content_type()))
}

fn no_extension(studio: &mut Studio) -> Vec<Figure> {
    at_unusual_path(studio, |path| path.replace('.', "/"))
}

fn resized_by_query(studio: &mut Studio) -> Vec<Figure> {
    at_unusual_path(studio, |path| format!("{path}?w=640"))
}

fn at_unusual_path(studio: &mut Studio, rename: impl FnOnce(&str) -> String) -> Vec<Figure> {
    let shot = studio.shot();
    let mut location = studio.address(Site::AtelierImages, "/images/", shot.format.extension());
    location.path = rename(&location.path);
    studio.publish(location.clone(), plain(&shot));
    vec![Figure::candidate(
        absolute(location),
        shot.caption,
        true,
        Outcome::Kept,
    )]
}

/// A caption that an editor escaped more than it needed.
fn entities(studio: &mut Studio) -> Vec<Figure> {
    let mut figures = kept(studio, Site::Harbour, plain);
    for figure in &mut figures {
        figure.alt = figure.alt.take().map(|text| garble::with_entities(&text));
    }
    figures
}

/// A caption in UTF-8 that something took for Windows-1252.
fn mojibake(studio: &mut Studio) -> Vec<Figure> {
    let shot = studio.shot();
    let text = format!("{}…", shot.caption);
    garbled(studio, &shot, text, Tongue(None))
}

/// The same in a language that cannot do without such characters.
fn foreign_mojibake(studio: &mut Studio) -> Vec<Figure> {
    // Not every language has such characters in its words for shapes and colours.
    let (scene, language, text) = loop {
        let scene = Scene::random(&mut studio.rng);
        let language = studio.language();
        let text = scene.caption_in(language);
        if !text.is_ascii() {
            break (scene, language, text);
        }
    };
    let shot = studio.shot_of(scene);
    garbled(studio, &shot, text, Tongue(Some(language)))
}

fn garbled(studio: &mut Studio, shot: &Shot, text: String, tongue: Tongue) -> Vec<Figure> {
    let location = studio.hang_shot(shot);
    let alt = Some(garble::misread(&text));
    let figure = Figure::candidate(absolute(location), text, true, Outcome::Kept).in_tongue(tongue);
    vec![Figure { alt, ..figure }]
}

/// A true caption of what stands in for unsafe content.
fn unsafe_scene(studio: &mut Studio) -> Vec<Figure> {
    let scene = Scene::hazard(&mut studio.rng);
    let shot = studio.shot_of(scene);
    let location = studio.hang_shot(&shot);
    vec![Figure::candidate(
        absolute(location),
        shot.caption,
        true,
        Outcome::Unsafe,
    )]
}
