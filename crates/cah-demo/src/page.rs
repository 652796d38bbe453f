//! The pages of the mini web: what they show, and what is true of it.

use cah_protocol::Outcome;

use crate::{
    document::{Document, Head, HeadLink, Link, Meta, Script},
    scene::Language,
    site::{Location, Ports},
};

/// The language of a page: English, unless it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tongue(pub(crate) Option<Language>);

impl Tongue {
    /// ISO 639-1 code.
    pub(crate) fn code(self) -> &'static str {
        self.0.map_or("en", Language::code)
    }
}

/// One HTML page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) at: Location,
    pub(crate) title: String,
    pub(crate) tongue: Tongue,
    pub(crate) base: Option<Base>,
    pub(crate) licence: Option<Licence>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) anchors: Vec<Anchor>,
}

/// A page's `<base href>`.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) folder: Location,
    /// Written with scheme and host, or as a path only.
    pub(crate) absolute: bool,
}

/// The Creative Commons licence that a page names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Licence {
    pub(crate) url: &'static str,
    pub(crate) name: &'static str,
}

/// A link to something else than an image.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(crate) href: String,
    pub(crate) text: String,
}

/// An image on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) source: Source,
    /// The alternative text as the page writes it; `None` without the attribute.
    pub(crate) alt: Option<String>,
    /// What is true of it, if it is a candidate.
    pub(crate) verdict: Option<Verdict>,
}

/// What is known of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The alternative text once it is repaired.
    pub(crate) text: String,
    pub(crate) tongue: Tongue,
    /// Whether the text tells what the image shows.
    pub(crate) matches: bool,
    /// Where the candidate should end.
    pub(crate) wanted: Outcome,
}

/// What `src` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A location, written in one of the forms that HTML allows.
    Link(Location, Form),
    /// Exactly this; it leads nowhere.
    Verbatim(String),
}

/// How a page writes the address of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `http://host/images/a.jpg`
    Absolute,
    /// `https://host/images/a.jpg`
    Secure,
    /// `//host/images/a.jpg`
    ProtocolRelative,
    /// `/images/a.jpg`
    RootRelative,
    /// `img/a.jpg`
    Relative,
    /// `../img/a.jpg`
    FromParent,
}

impl Source {
    /// What stands in `src` of a page whose relative links hang on `base`.
    pub(crate) fn written(&self, base: &Location, ports: &Ports) -> String {
        let (location, form) = match self {
            Source::Verbatim(text) => return text.clone(),
            Source::Link(location, form) => (location, *form),
        };
        let path = location.path.as_str();
        let below = |folder: &str| {
            path.strip_prefix(folder)
                .expect("whoever chooses a relative form puts the image below the folder")
        };
        match form {
            Form::Absolute | Form::Secure => self.absolute(ports),
            Form::ProtocolRelative => format!("//{}{path}", ports.authority(location.site)),
            Form::RootRelative => path.to_owned(),
            Form::Relative => below(base.folder()).to_owned(),
            Form::FromParent => format!("../{}", below(base.parent_folder())),
        }
    }

    /// The absolute URL that a crawler makes of it.
    pub(crate) fn absolute(&self, ports: &Ports) -> String {
        match self {
            Source::Verbatim(text) => text.clone(),
            Source::Link(location, Form::Secure) => {
                format!(
                    "https://{}{}",
                    ports.authority(location.site),
                    location.path
                )
            }
            Source::Link(location, _) => ports.url(location),
        }
    }
}

impl Page {
    /// What the page's relative links hang on.
    pub(crate) fn link_base(&self) -> &Location {
        self.base.as_ref().map_or(&self.at, |base| &base.folder)
    }

    /// The page with its URLs: what is served as HTML and described in the WAT.
    pub(crate) fn document(&self, ports: &Ports) -> Document {
        Document {
            url: ports.url(&self.at),
            language: self.tongue.code(),
            head: self.head(ports),
            links: self.links(ports),
        }
    }

    fn head(&self, ports: &Ports) -> Head {
        let mut link = vec![
            HeadLink::new("/style.css", "stylesheet"),
            HeadLink::new(ports.url(&self.at), "canonical"),
        ];
        link.extend(
            self.licence
                .map(|licence| HeadLink::new(licence.url, "license")),
        );
        Head {
            title: self.title.clone(),
            metas: vec![
                Meta::new("viewport", "width=device-width, initial-scale=1"),
                Meta::new("description", &self.title),
            ],
            link,
            scripts: vec![Script::new("/site.js")],
            base: self.base.as_ref().map(|base| match base.absolute {
                true => ports.url(&base.folder),
                false => base.folder.path.clone(),
            }),
        }
    }

    fn links(&self, ports: &Ports) -> Vec<Link> {
        let base = self.link_base();
        let figures = self.figures.iter().map(|figure| {
            let source = figure.source.written(base, ports);
            Link::image(source, figure.alt.clone())
        });
        let anchors = self
            .anchors
            .iter()
            .map(|anchor| Link::anchor(&anchor.href, &anchor.text));
        let licence = self
            .licence
            .map(|licence| Link::licence(licence.url, licence.name));
        std::iter::once(Link::anchor("/", "Home"))
            .chain(figures)
            .chain(anchors)
            .chain(licence)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;

    const PORTS: Ports = Ports {
        names: 81,
        plain: 82,
        data: 83,
        closed: 84,
    };

    #[test]
    fn every_form_leads_to_the_absolute_url() {
        let page = Location::new(Site::Harbour, "/walks/north/page.html");
        let images = [
            (Site::Atelier, "/images/a.jpg", Form::Absolute),
            (Site::Atelier, "/images/a.jpg", Form::Secure),
            (Site::Plain, "/images/a.jpg", Form::ProtocolRelative),
            (Site::Harbour, "/images/a.jpg?w=640", Form::RootRelative),
            (Site::Harbour, "/walks/north/img/a.jpg", Form::Relative),
            (Site::Harbour, "/walks/img/a.jpg", Form::FromParent),
        ];
        for (site, path, form) in images {
            let source = Source::Link(Location::new(site, path), form);
            let written = source.written(&page, &PORTS);
            let joined = url::Url::parse(&PORTS.url(&page))
                .unwrap()
                .join(&written)
                .unwrap();
            assert_eq!(joined.as_str(), source.absolute(&PORTS), "{form:?}");
        }
    }
}
