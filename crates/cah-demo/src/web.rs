//! The mini web before it has ports: pages, pictures, replies, and how they fill WAT files.

use std::collections::HashMap;

use crate::{
    Config, Error,
    case::{Case, catalogue},
    page::{Anchor, Base, Figure, Licence, Page, Tongue},
    picture::Picture,
    reply::Reply,
    served::ServedWeb,
    site::{Location, Site},
    studio::Studio,
};

/// A web that is thought out and not yet reachable. The same [`Config`] makes the same web.
#[derive(Debug)]
pub struct MiniWeb {
    pub(crate) config: Config,
    /// The pages of each WAT file, in order.
    pub(crate) wats: Vec<Vec<Page>>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) replies: HashMap<Location, Reply>,
}

impl MiniWeb {
    /// Invents pages, images and captions; draws nothing and opens nothing.
    pub fn build(config: Config) -> Result<Self, Error> {
        config.check()?;
        let mut studio = Studio::new(config.seed);
        let wats = (0..config.wats)
            .map(|wat| {
                let first = config.pages * wat / config.wats;
                let next = config.pages * (wat + 1) / config.wats;
                write_pages(&mut studio, first..next)
            })
            .collect();
        let (pictures, replies) = studio.close();
        Ok(Self {
            config,
            wats,
            pictures,
            replies,
        })
    }

    /// Draws the images, listens on free ports of the loopback interface and answers from then on.
    ///
    /// # Errors
    /// [`Error::Listen`] where there is no free port.
    pub async fn serve(self) -> Result<ServedWeb, Error> {
        ServedWeb::start(self).await
    }

    /// The number of pages.
    pub fn pages(&self) -> usize {
        self.wats.iter().map(Vec::len).sum()
    }

    /// The number of image files, those that no candidate leads to included.
    pub fn images(&self) -> usize {
        self.pictures.len()
    }
}

/// The pages with these numbers: each ordinary figures, and over all of them every case once.
fn write_pages(studio: &mut Studio, numbers: std::ops::Range<usize>) -> Vec<Page> {
    let mut pages: Vec<Page> = numbers.map(|number| empty_page(studio, number)).collect();
    let mut cases: Vec<Case> = catalogue().collect();
    studio.rng.shuffle(&mut cases);
    let count = pages.len();
    for (index, page) in pages.iter_mut().enumerate() {
        let special = cases.iter().skip(index).step_by(count);
        page.figures = fill(studio, page, special);
    }
    pages
}

/// Two or three ordinary figures and the special ones, in a random order.
fn fill<'a>(
    studio: &mut Studio,
    page: &Page,
    special: impl Iterator<Item = &'a Case>,
) -> Vec<Figure> {
    let ordinary = 2 + studio.rng.below(2);
    let mut groups: Vec<Vec<Figure>> = (0..ordinary).map(|_| vec![studio.ordinary(page)]).collect();
    groups.extend(special.map(|case| case(studio)));
    studio.rng.shuffle(&mut groups);
    groups.into_iter().flatten().collect()
}

fn empty_page(studio: &mut Studio, number: usize) -> Page {
    let (site, section) = match number % 12 {
        0 | 5 | 9 => (Site::Atelier, "works"),
        1 | 6 | 10 => (Site::Harbour, "walks/north"),
        2 | 7 => (Site::Orchard, "varieties"),
        3 => (Site::Galerie, "salle"),
        _ => (Site::Plain, "albums/2026"),
    };
    Page {
        at: Location::new(site, format!("/{section}/{number}.html")),
        title: format!("{}, page {number}", site.host()),
        tongue: Tongue((site == Site::Galerie).then(|| studio.language())),
        base: base(studio, site),
        licence: licence(studio, site),
        figures: Vec::new(),
        anchors: anchors(number),
    }
}

/// Some pages hang their relative links elsewhere: in a folder of theirs, or on another host.
fn base(studio: &mut Studio, site: Site) -> Option<Base> {
    match studio.rng.below(8) {
        0 => Some(Base {
            folder: Location::new(site, "/archive/2026/"),
            absolute: false,
        }),
        1 => Some(Base {
            folder: Location::new(Site::AtelierImages, "/shared/large/"),
            absolute: true,
        }),
        _ => None,
    }
}

/// All pages of one host have a licence, and some of the others.
fn licence(studio: &mut Studio, site: Site) -> Option<Licence> {
    const LICENCES: [Licence; 3] = [
        Licence {
            url: "https://creativecommons.org/licenses/by/4.0/",
            name: "CC BY 4.0",
        },
        Licence {
            url: "https://creativecommons.org/licenses/by-sa/4.0/",
            name: "CC BY-SA 4.0",
        },
        Licence {
            url: "http://creativecommons.org/licenses/by-nc-nd/2.0/",
            name: "Some rights reserved",
        },
    ];
    (site == Site::Orchard || studio.rng.chance(0.1)).then(|| studio.rng.pick(&LICENCES))
}

/// Links that are no images: the next page, now and then a sound, a film or a text.
fn anchors(number: usize) -> Vec<Anchor> {
    let anchor = |href: String, text: &str| Anchor {
        href,
        text: text.to_owned(),
    };
    let mut anchors = vec![anchor(format!("{}.html", number + 1), "Next page")];
    match number % 10 {
        2 => anchors.push(anchor(format!("/media/{number}.mp3"), "Listen to the tour")),
        5 => anchors.push(anchor(
            format!("/media/{number}.mp4"),
            "Watch the making of",
        )),
        8 => anchors.push(anchor(format!("/media/{number}.pdf"), "The catalogue")),
        _ => {}
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_makes_a_web() {
        for seed in 0..100 {
            let config = Config {
                seed,
                pages: 4,
                wats: 1,
                ..Config::default()
            };
            assert_eq!(MiniWeb::build(config).unwrap().pages(), 4);
        }
    }

    #[test]
    fn a_web_has_the_pages_that_were_asked_for_however_they_are_dealt() {
        let config = Config {
            pages: 7,
            wats: 3,
            ..Config::default()
        };
        let web = MiniWeb::build(config).unwrap();
        let dealt: Vec<usize> = web.wats.iter().map(Vec::len).collect();
        assert_eq!(dealt, [2, 2, 3]);
        let all = web.wats.iter().flatten();
        assert!(all.into_iter().all(|page| page.figures.len() >= 2));
    }
}
