//! Where scenes become images, images get an address, and pages get their captions.

use std::collections::{HashMap, HashSet};

use cah_protocol::Outcome;

use crate::{
    flaw::Flaw,
    page::{Figure, Form, Page, Source, Tongue, Verdict},
    picture::{Format, Picture, PictureId},
    reply::Reply,
    scene::{Language, Phrasing, Rng, Scene},
    site::{Location, Site},
};

/// Hosts that have images and nothing against being crawled.
const IMAGE_SITES: [Site; 5] = [
    Site::Atelier,
    Site::AtelierImages,
    Site::Harbour,
    Site::Orchard,
    Site::Plain,
];

/// What the mini web is made in: it knows every image and address that is taken.
pub(crate) struct Studio {
    pub(crate) rng: Rng,
    pictures: Vec<Picture>,
    replies: HashMap<Location, Reply>,
    /// Ordinary images that other pages may show again.
    album: Vec<(Location, Scene)>,
    /// Addresses with the texts that stand beside them, so that only deliberate duplicates are any.
    told: HashSet<(Location, String)>,
}

/// A scene, how it is stored, and a true caption.
pub(crate) struct Shot {
    pub(crate) scene: Scene,
    pub(crate) picture: PictureId,
    pub(crate) format: Format,
    pub(crate) caption: String,
}

impl Studio {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            // The tiny CLIP is trained on other sequences than this one.
            rng: Rng::nth(seed, u64::from_be_bytes(*b"mini-web")),
            pictures: Vec::new(),
            replies: HashMap::new(),
            album: Vec::new(),
            told: HashSet::new(),
        }
    }

    /// The pictures and what every address answers.
    pub(crate) fn close(self) -> (Vec<Picture>, HashMap<Location, Reply>) {
        (self.pictures, self.replies)
    }

    /// The caption of a picture that nobody draws.
    pub(crate) fn caption(&mut self) -> String {
        let scene = Scene::random(&mut self.rng);
        self.tell(&scene, Tongue(None))
    }

    /// An ordinary scene in an ordinary format and size.
    pub(crate) fn shot(&mut self) -> Shot {
        let scene = Scene::random(&mut self.rng);
        self.shot_of(scene)
    }

    /// The scene in an ordinary format and size.
    pub(crate) fn shot_of(&mut self, scene: Scene) -> Shot {
        let (format, width, height) = self.frame();
        self.shot_as(scene, format, (width, height), None)
    }

    /// The scene in exactly this format and size, spoilt or not.
    pub(crate) fn shot_as(
        &mut self,
        scene: Scene,
        format: Format,
        (width, height): (u32, u32),
        flaw: Option<Flaw>,
    ) -> Shot {
        self.pictures.push(Picture {
            scene,
            width,
            height,
            format,
            flaw,
        });
        Shot {
            scene,
            picture: PictureId(self.pictures.len() - 1),
            format,
            caption: self.tell(&scene, Tongue(None)),
        }
    }

    /// Format, width and height: mostly a few hundred pixels, now and then 64 or 1,600.
    fn frame(&mut self) -> (Format, u32, u32) {
        let (format, shortest, longest) = match self.rng.below(40) {
            // Fewer pixels fill 5,000 bytes only where nothing is lost.
            0..2 => (Format::Png, 64, 160),
            2 => (Format::Jpeg, 900, 1_600),
            3 if self.rng.chance(0.5) => (Format::Webp, 900, 1_600),
            4..10 => (Format::Png, 200, 360),
            10..18 => (Format::Webp, 240, 640),
            _ => (Format::Jpeg, 240, 700),
        };
        let long = self.rng.range(shortest as f32, longest as f32 + 1.0);
        let short = (long * self.rng.range(0.6, 1.0)).max(shortest as f32);
        let (long, short) = (long as u32, short as u32);
        match self.rng.chance(0.6) {
            true => (format, long, short),
            false => (format, short, long),
        }
    }

    /// A true sentence about the scene.
    fn tell(&mut self, scene: &Scene, tongue: Tongue) -> String {
        let phrasing = match self.rng.chance(0.7) {
            true => Phrasing::Train,
            false => Phrasing::HeldOut,
        };
        match tongue.0 {
            None => scene.caption(&mut self.rng, phrasing),
            Some(language) => scene.caption_in(language),
        }
    }

    /// Lets `location` answer so. Every address is given out once.
    pub(crate) fn publish(&mut self, location: Location, reply: Reply) {
        let taken = self.replies.insert(location, reply);
        debug_assert!(taken.is_none(), "two replies for one address");
    }

    /// A new address in a folder of the site; `extension` without its dot.
    pub(crate) fn address(&mut self, site: Site, folder: &str, extension: &str) -> Location {
        let name = self.rng.bits() >> 24;
        Location::new(site, format!("{folder}{name:010x}.{extension}"))
    }

    /// Publishes a file of the site as `reply` and links it by its absolute URL.
    pub(crate) fn hang(&mut self, site: Site, extension: &str, reply: Reply) -> Location {
        let location = self.address(site, "/images/", extension);
        self.publish(location.clone(), reply);
        location
    }

    /// A picture on an ordinary host, whole and willing.
    pub(crate) fn hang_shot(&mut self, shot: &Shot) -> Location {
        let site = self.rng.pick(&IMAGE_SITES);
        let reply = Reply::Picture(shot.picture, Some(shot.format.content_type()));
        self.hang(site, shot.format.extension(), reply)
    }

    /// A new picture with its true caption, whose address answers with `reply`.
    pub(crate) fn candidate(
        &mut self,
        site: Site,
        reply: impl FnOnce(&Shot) -> Reply,
        wanted: Outcome,
    ) -> Figure {
        let shot = self.shot();
        let location = self.hang(site, shot.format.extension(), reply(&shot));
        Figure::candidate(absolute(location), shot.caption, true, wanted)
    }

    /// A caption without a picture: the address answers with `reply`.
    pub(crate) fn dead(&mut self, site: Site, reply: Reply, wanted: Outcome) -> Figure {
        let caption = self.caption();
        let location = self.hang(site, "jpg", reply);
        Figure::candidate(absolute(location), caption, false, wanted)
    }

    /// What pages are made of: a picture, new or seen elsewhere, and a caption, true or false.
    pub(crate) fn ordinary(&mut self, page: &Page) -> Figure {
        loop {
            let (source, location, scene) = match self.rng.chance(0.2) {
                true if !self.album.is_empty() => self.again(),
                _ => self.anew(page),
            };
            let matches = self.rng.chance(0.58);
            let told = match matches {
                true => scene,
                false => scene.random_mismatch(&mut self.rng),
            };
            let text = self.tell(&told, page.tongue);
            if self.told.insert((location, text.clone())) {
                let wanted = match matches {
                    true => Outcome::Kept,
                    false => Outcome::LowSimilarity,
                };
                return Figure::candidate(source, text, matches, wanted).in_tongue(page.tongue);
            }
        }
    }

    fn again(&mut self) -> (Source, Location, Scene) {
        let (location, scene) = self.album[self.rng.below(self.album.len())].clone();
        (absolute(location.clone()), location, scene)
    }

    fn anew(&mut self, page: &Page) -> (Source, Location, Scene) {
        let shot = self.shot();
        let (location, form) = self.somewhere(page, shot.format.extension());
        let reply = Reply::Picture(shot.picture, Some(shot.format.content_type()));
        self.publish(location.clone(), reply);
        self.album.push((location.clone(), shot.scene));
        (Source::Link(location.clone(), form), location, shot.scene)
    }

    /// A new address, and a form in which the page can write it.
    fn somewhere(&mut self, page: &Page, extension: &str) -> (Location, Form) {
        let base = page.link_base();
        let form = self.rng.pick(&[
            Form::Absolute,
            Form::Absolute,
            Form::ProtocolRelative,
            Form::RootRelative,
            Form::Relative,
            Form::FromParent,
        ]);
        let site = self.rng.pick(&IMAGE_SITES);
        let location = match form {
            Form::Absolute | Form::Secure | Form::ProtocolRelative => {
                self.address(site, "/images/", extension)
            }
            Form::RootRelative => self.address(base.site, "/media/", extension),
            Form::Relative => self.address(base.site, &format!("{}img/", base.folder()), extension),
            Form::FromParent => self.address(
                base.site,
                &format!("{}img/", base.parent_folder()),
                extension,
            ),
        };
        (location, form)
    }

    /// A language other than English.
    pub(crate) fn language(&mut self) -> Language {
        self.rng.pick(&Language::ALL)
    }
}

/// The usual way to write an address.
pub(crate) fn absolute(location: Location) -> Source {
    Source::Link(location, Form::Absolute)
}

impl Figure {
    /// An image whose alternative text needs no repair.
    pub(crate) fn candidate(
        source: Source,
        text: impl Into<String>,
        matches: bool,
        wanted: Outcome,
    ) -> Self {
        let text = text.into();
        Self {
            source,
            alt: Some(text.clone()),
            verdict: Some(Verdict {
                text,
                tongue: Tongue(None),
                matches,
                wanted,
            }),
        }
    }

    /// The same with a text in another language.
    pub(crate) fn in_tongue(mut self, tongue: Tongue) -> Self {
        if let Some(verdict) = &mut self.verdict {
            verdict.tongue = tongue;
        }
        self
    }
}
