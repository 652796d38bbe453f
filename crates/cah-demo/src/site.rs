//! The hosts of the mini web, and where they listen.

use std::fmt;

/// A host of the mini web.
///
/// Most share one port and are told apart by name, as on a shared server; two are plain addresses
/// with a port of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Site {
    /// Pages and their images.
    Atelier,
    /// Images only, shared by the pages of others.
    AtelierImages,
    /// Pages and their images.
    Harbour,
    /// Pages under a Creative Commons licence.
    Orchard,
    /// Pages in other languages than English.
    Galerie,
    /// Pages and images by address and port, without a name.
    Plain,
    /// Broken and moved.
    Creaky,
    /// Overloaded at first.
    Busy,
    /// Answers late or never ends.
    Slow,
    /// Says `noai`.
    NoAi,
    /// Says `noimageai`.
    NoImageAi,
    /// Says `noindex`.
    NoIndex,
    /// Says `noimageindex`.
    NoImageIndex,
    /// Reserves text and data mining.
    Reserved,
    /// Says that one crawler, which is not ours, shall not index.
    OtherBot,
    /// Resolves; nobody listens.
    Closed,
    /// Does not resolve.
    Nowhere,
    /// Serves the WAT files, by address and port.
    Data,
}

/// The socket behind which a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The port that all names share.
    Names,
    /// The port of [`Site::Plain`].
    Plain,
    /// The port of [`Site::Data`].
    Data,
    /// A port that is taken and refuses.
    Closed,
    /// No port at all.
    Nowhere,
}

impl Site {
    pub(crate) const ALL: [Site; 18] = [
        Site::Atelier,
        Site::AtelierImages,
        Site::Harbour,
        Site::Orchard,
        Site::Galerie,
        Site::Plain,
        Site::Creaky,
        Site::Busy,
        Site::Slow,
        Site::NoAi,
        Site::NoImageAi,
        Site::NoIndex,
        Site::NoImageIndex,
        Site::Reserved,
        Site::OtherBot,
        Site::Closed,
        Site::Nowhere,
        Site::Data,
    ];

    /// Name or address as it stands in URLs. `.test` and `.invalid` are reserved: nobody owns them.
    pub(crate) const fn host(self) -> &'static str {
        match self {
            Site::Atelier => "www.atelier.test",
            Site::AtelierImages => "img.atelier.test",
            Site::Harbour => "harbour.test",
            Site::Orchard => "orchard.test",
            Site::Galerie => "galerie.test",
            Site::Creaky => "creaky.test",
            Site::Busy => "busy.test",
            Site::Slow => "slow.test",
            Site::NoAi => "noai.test",
            Site::NoImageAi => "noimageai.test",
            Site::NoIndex => "noindex.test",
            Site::NoImageIndex => "noimageindex.test",
            Site::Reserved => "reserved.test",
            Site::OtherBot => "otherbot.test",
            Site::Closed => "closed.test",
            Site::Nowhere => "nowhere.invalid",
            Site::Plain | Site::Data => "127.0.0.1",
        }
    }

    pub(crate) const fn door(self) -> Door {
        match self {
            Site::Plain => Door::Plain,
            Site::Data => Door::Data,
            Site::Closed => Door::Closed,
            Site::Nowhere => Door::Nowhere,
            _ => Door::Names,
        }
    }

    /// Whether the host has a name that the crawler must be able to resolve.
    pub(crate) fn is_named(self) -> bool {
        matches!(self.door(), Door::Names | Door::Closed)
    }

    /// The header by which the whole host opts out, or seems to.
    pub(crate) const fn opt_out(self) -> Option<(&'static str, &'static str)> {
        match self {
            Site::NoAi => Some(("x-robots-tag", "noai")),
            Site::NoImageAi => Some(("x-robots-tag", "noimageai")),
            Site::NoIndex => Some(("x-robots-tag", "noindex, nofollow")),
            Site::NoImageIndex => Some(("x-robots-tag", "noimageindex")),
            Site::Reserved => Some(("tdm-reservation", "1")),
            Site::OtherBot => Some(("x-robots-tag", "examplebot: noindex")),
            _ => None,
        }
    }

    /// The site that answers behind `door` for the `Host` header `authority`.
    pub(crate) fn at(door: Door, authority: &str) -> Option<Site> {
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        Site::ALL
            .into_iter()
            .filter(|site| site.door() == door)
            .find(|site| door != Door::Names || site.host().eq_ignore_ascii_case(host))
    }
}

/// A site and the path of something on it, with its leading slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location {
    pub(crate) site: Site,
    pub(crate) path: String,
}

impl Location {
    pub(crate) fn new(site: Site, path: impl Into<String>) -> Self {
        let path = path.into();
        debug_assert!(path.starts_with('/'));
        Self { site, path }
    }

    /// The path up to and with its last slash: what relative URLs hang on.
    pub(crate) fn folder(&self) -> &str {
        let end = self.path.rfind('/').map_or(0, |slash| slash + 1);
        &self.path[..end]
    }

    /// The folder above [`folder`](Self::folder); the root is its own.
    pub(crate) fn parent_folder(&self) -> &str {
        let folder = self.folder();
        let end = folder[..folder.len() - 1]
            .rfind('/')
            .map_or(1, |slash| slash + 1);
        &folder[..end]
    }
}

/// The ports on which the mini web listens: all that differs between two runs of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) names: u16,
    pub(crate) plain: u16,
    pub(crate) data: u16,
    pub(crate) closed: u16,
}

impl Ports {
    /// Host and port of a site as they stand in URLs.
    pub(crate) fn authority(&self, site: Site) -> impl fmt::Display {
        let host = site.host();
        match site.door() {
            Door::Names => format!("{host}:{}", self.names),
            Door::Plain => format!("{host}:{}", self.plain),
            Door::Data => format!("{host}:{}", self.data),
            Door::Closed => format!("{host}:{}", self.closed),
            Door::Nowhere => host.to_owned(),
        }
    }

    /// The absolute URL of a location.
    pub(crate) fn url(&self, location: &Location) -> String {
        format!("http://{}{}", self.authority(location.site), location.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_finds_its_site_again() {
        for site in Site::ALL {
            let found = Site::at(site.door(), &format!("{}:8080", site.host()));
            assert_eq!(found, Some(site));
        }
        assert_eq!(Site::at(Door::Names, "elsewhere.test"), None);
        assert_eq!(
            Site::at(Door::Names, "Harbour.Test:80"),
            Some(Site::Harbour)
        );
    }

    #[test]
    fn a_folder_ends_with_the_last_slash() {
        assert_eq!(Location::new(Site::Plain, "/a/b/c.html").folder(), "/a/b/");
        assert_eq!(Location::new(Site::Plain, "/").folder(), "/");
        let parent = |path: &str| Location::new(Site::Plain, path).parent_folder().to_owned();
        assert_eq!(parent("/a/b/c.html"), "/a/");
        assert_eq!(parent("/a/c.html"), "/");
        assert_eq!(parent("/c.html"), "/");
    }
}
