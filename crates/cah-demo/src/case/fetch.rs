//! Candidates that end when the image is requested.

use cah_protocol::Outcome;

use super::Case;
use crate::{
    page::{Figure, Form, Source},
    reply::{Reply, Target},
    site::{Location, Site},
    studio::{Studio, absolute},
};

pub(super) const CASES: &[Case] = &[
    not_found,
    gone,
    forbidden,
    server_error,
    unpublished,
    closed_port,
    unknown_name,
    no_certificate,
    slow,
    endless,
    circle,
    too_many_hops,
    away_from_http,
    to_nowhere,
    to_a_dead_end,
    noai,
    noimageai,
    noindex,
    noimageindex,
    reserved,
    page_instead_of_image,
    heavy_announced,
    heavy_unannounced,
    cut_short,
];

fn not_found(studio: &mut Studio) -> Vec<Figure> {
    status(studio, 404)
}

fn gone(studio: &mut Studio) -> Vec<Figure> {
    status(studio, 410)
}

fn forbidden(studio: &mut Studio) -> Vec<Figure> {
    status(studio, 403)
}

/// Does not recover, however often it is asked.
fn server_error(studio: &mut Studio) -> Vec<Figure> {
    status(studio, 500)
}

fn status(studio: &mut Studio, status: u16) -> Vec<Figure> {
    vec![studio.dead(Site::Creaky, Reply::Status(status), Outcome::HttpStatus)]
}

/// An address that was never given out: a misspelling.
fn unpublished(studio: &mut Studio) -> Vec<Figure> {
    unanswered(studio, Site::Atelier, Form::Absolute, Outcome::HttpStatus)
}

fn closed_port(studio: &mut Studio) -> Vec<Figure> {
    unanswered(studio, Site::Closed, Form::Absolute, Outcome::ConnectFailed)
}

fn unknown_name(studio: &mut Studio) -> Vec<Figure> {
    unanswered(studio, Site::Nowhere, Form::Absolute, Outcome::DnsFailed)
}

/// `https` to a port that speaks plain HTTP.
fn no_certificate(studio: &mut Studio) -> Vec<Figure> {
    unanswered(studio, Site::Creaky, Form::Secure, Outcome::TlsFailed)
}

fn unanswered(studio: &mut Studio, site: Site, form: Form, wanted: Outcome) -> Vec<Figure> {
    let location = studio.address(site, "/images/", "jpg");
    let source = Source::Link(location, form);
    let caption = studio.caption();
    vec![Figure::candidate(source, caption, false, wanted)]
}

/// The first byte comes too late.
fn slow(studio: &mut Studio) -> Vec<Figure> {
    let late = |shot: &crate::studio::Shot| Reply::Late(shot.picture);
    vec![studio.candidate(Site::Slow, late, Outcome::TimedOut)]
}

/// The last byte never comes.
fn endless(studio: &mut Studio) -> Vec<Figure> {
    vec![studio.dead(Site::Slow, Reply::Endless, Outcome::TimedOut)]
}

/// Two addresses that each know the other to be right.
fn circle(studio: &mut Studio) -> Vec<Figure> {
    let here = studio.address(Site::Creaky, "/moved/", "jpg");
    let there = studio.address(Site::Creaky, "/moved/", "jpg");
    let back = Reply::Redirect(302, Target::Location(here.clone()));
    studio.publish(
        here.clone(),
        Reply::Redirect(301, Target::Location(there.clone())),
    );
    studio.publish(there, back);
    vec![moved(studio, here)]
}

fn too_many_hops(studio: &mut Studio) -> Vec<Figure> {
    let shot = studio.shot();
    let mut location = studio.hang_shot(&shot);
    for _ in 0..30 {
        let earlier = studio.address(Site::Creaky, "/moved/", "jpg");
        studio.publish(
            earlier.clone(),
            Reply::Redirect(302, Target::Location(location)),
        );
        location = earlier;
    }
    vec![moved(studio, location)]
}

fn moved(studio: &mut Studio, location: Location) -> Figure {
    let caption = studio.caption();
    Figure::candidate(absolute(location), caption, false, Outcome::BadRedirect)
}

fn away_from_http(studio: &mut Studio) -> Vec<Figure> {
    bad_redirect(studio, Target::Verbatim("ftp://files.test/pictures/7.jpg"))
}

fn to_nowhere(studio: &mut Studio) -> Vec<Figure> {
    bad_redirect(studio, Target::Missing)
}

fn bad_redirect(studio: &mut Studio, target: Target) -> Vec<Figure> {
    let reply = Reply::Redirect(302, target);
    vec![studio.dead(Site::Creaky, reply, Outcome::BadRedirect)]
}

/// A sound redirect to an image that is no more.
fn to_a_dead_end(studio: &mut Studio) -> Vec<Figure> {
    let missing = studio.address(Site::Harbour, "/images/", "jpg");
    let reply = Reply::Redirect(301, Target::Location(missing));
    vec![studio.dead(Site::Creaky, reply, Outcome::HttpStatus)]
}

fn noai(studio: &mut Studio) -> Vec<Figure> {
    opted_out(studio, Site::NoAi, Outcome::RobotsNoai)
}

fn noimageai(studio: &mut Studio) -> Vec<Figure> {
    opted_out(studio, Site::NoImageAi, Outcome::RobotsNoimageai)
}

fn noindex(studio: &mut Studio) -> Vec<Figure> {
    opted_out(studio, Site::NoIndex, Outcome::RobotsNoindex)
}

fn noimageindex(studio: &mut Studio) -> Vec<Figure> {
    opted_out(studio, Site::NoImageIndex, Outcome::RobotsNoimageindex)
}

fn reserved(studio: &mut Studio) -> Vec<Figure> {
    opted_out(studio, Site::Reserved, Outcome::TdmReserved)
}

/// A whole image with a true caption, which its owner does not want used.
fn opted_out(studio: &mut Studio, site: Site, wanted: Outcome) -> Vec<Figure> {
    vec![studio.candidate(
        site,
        |shot| Reply::Picture(shot.picture, Some(shot.format.content_type())),
        wanted,
    )]
}

/// "Not found" for people: status 200 and HTML.
fn page_instead_of_image(studio: &mut Studio) -> Vec<Figure> {
    let page = "<!DOCTYPE html>\n<title>Gone</title>\n<p>The image that you look for is no more.\n";
    let reply = Reply::File("text/html; charset=utf-8", page.repeat(100).into());
    vec![studio.dead(Site::Creaky, reply, Outcome::WrongContentType)]
}

fn heavy_announced(studio: &mut Studio) -> Vec<Figure> {
    heavy(studio, true)
}

fn heavy_unannounced(studio: &mut Studio) -> Vec<Figure> {
    heavy(studio, false)
}

fn heavy(studio: &mut Studio, announced: bool) -> Vec<Figure> {
    let reply = Reply::Heavy { announced };
    vec![studio.dead(Site::Creaky, reply, Outcome::BodyTooLarge)]
}

fn cut_short(studio: &mut Studio) -> Vec<Figure> {
    vec![studio.candidate(
        Site::Creaky,
        |shot| Reply::CutShort(shot.picture),
        Outcome::TransferFailed,
    )]
}
