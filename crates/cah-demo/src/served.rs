//! The mini web, reachable.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::{
    Candidate, Error, MiniWeb, Truth,
    answer::Hosting,
    document::Document,
    page::Page,
    picture::draw_all,
    reply::Reply,
    server::{Doors, Running},
    site::{Location, Ports, Site},
    wat::{self, Capture},
};

/// A mini web that answers on the loopback interface. Dropped or stopped, it closes its ports and
/// breaks off every connection at once, those included that would never end.
pub struct ServedWeb {
    ports: Ports,
    wat_paths: Vec<String>,
    page_urls: Vec<String>,
    truth: Truth,
    hosting: Arc<Hosting>,
    running: Running,
}

impl ServedWeb {
    pub(crate) async fn start(web: MiniWeb) -> Result<Self, Error> {
        let doors = Doors::open().await?;
        let ports = doors.ports;
        let pictures = web.pictures;
        let pictures = tokio::task::spawn_blocking(move || draw_all(&pictures)).await?;
        let published = Published::new(&web.wats, web.config.seed, &ports);
        let mut replies = web.replies;
        replies.extend(published.replies);
        let hosting = Arc::new(Hosting {
            ports,
            replies,
            pictures,
            slow: web.config.slow,
            heavy_bytes: web.config.heavy_bytes,
            refused: Default::default(),
            asked: Default::default(),
        });
        Ok(Self {
            ports,
            wat_paths: published.wat_paths,
            page_urls: published.page_urls,
            truth: truth(&web.wats, &ports),
            running: doors.serve(Arc::clone(&hosting)),
            hosting,
        })
    }

    /// Where the crawl's files are, with a slash at the end: `http://127.0.0.1:PORT/`.
    pub fn base_url(&self) -> String {
        self.ports.url(&Location::new(Site::Data, "/"))
    }

    /// The WAT files below [`base_url`](Self::base_url), as `wat.paths` lists them.
    pub fn wat_paths(&self) -> &[String] {
        &self.wat_paths
    }

    /// The absolute URL of the crawl's `wat.paths.gz`.
    pub fn wat_paths_url(&self) -> String {
        format!("{}{}.gz", self.base_url(), wat::paths_file())
    }

    /// The absolute URLs of the pages, in the order of the WAT files.
    pub fn page_urls(&self) -> &[String] {
        &self.page_urls
    }

    /// The names of the mini web and where they are: what a crawler must know, since no name
    /// server does.
    pub fn hosts(&self) -> HashMap<String, IpAddr> {
        Site::ALL
            .into_iter()
            .filter(|site| site.is_named())
            .map(|site| (site.host().to_owned(), Ipv4Addr::LOCALHOST.into()))
            .collect()
    }

    /// Every candidate of the WAT files, and where it should end.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How often each URL of the web was asked for so far.
    pub fn asked(&self) -> HashMap<String, u64> {
        let asked = self.hosting.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the ports and waits until they are closed.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// What the web publishes beside its images.
#[derive(Default)]
struct Published {
    replies: HashMap<Location, Reply>,
    page_urls: Vec<String>,
    wat_paths: Vec<String>,
}

impl Published {
    fn new(wats: &[Vec<Page>], seed: u64, ports: &Ports) -> Self {
        let mut published = Self::default();
        for (number, pages) in wats.iter().enumerate() {
            published.crawl(number, pages, seed, ports);
        }
        published.list_wats();
        published
    }

    /// Publishes the pages of a WAT file, and the file.
    fn crawl(&mut self, number: usize, pages: &[Page], seed: u64, ports: &Ports) {
        let documents: Vec<(Document, Bytes)> = pages
            .iter()
            .map(|page| {
                let document = page.document(ports);
                let html = Bytes::from(document.html());
                (document, html)
            })
            .collect();
        let feed = Feed::new(number, ports);
        let mut captures: Vec<Capture> = documents
            .iter()
            .map(|(document, html)| Capture {
                url: &document.url,
                content_type: HTML,
                body: html,
                document: Some(document),
            })
            .collect();
        captures.insert(captures.len() / 2, feed.capture());
        let wat = wat::write(number, seed, &captures);

        self.publish(feed.location.clone(), FEED, feed.body.clone());
        for (page, (document, html)) in pages.iter().zip(&documents) {
            self.publish(page.at.clone(), HTML, html.clone());
            self.page_urls.push(document.url.clone());
        }
        let path = wat::path(number);
        self.publish(data(&path), "application/octet-stream", wat.into());
        self.wat_paths.push(path);
    }

    /// `wat.paths`, plain and compressed.
    fn list_wats(&mut self) {
        let list: String = self
            .wat_paths
            .iter()
            .map(|path| format!("{path}\n"))
            .collect();
        let path = wat::paths_file();
        let compressed = gzip(list.as_bytes());
        self.publish(data(&path), "text/plain", list.into());
        self.publish(
            data(&format!("{path}.gz")),
            "application/octet-stream",
            compressed.into(),
        );
    }

    fn publish(&mut self, location: Location, content_type: &'static str, body: Bytes) {
        self.replies
            .insert(location, Reply::File(content_type, body));
    }
}

const HTML: &str = "text/html; charset=utf-8";
const FEED: &str = "application/json";

/// Something that was crawled and is no page: its record has no links.
struct Feed {
    location: Location,
    url: String,
    body: Bytes,
}

impl Feed {
    fn new(number: usize, ports: &Ports) -> Self {
        let location = Location::new(Site::Harbour, format!("/feed/{number}.json"));
        Self {
            url: ports.url(&location),
            location,
            body: Bytes::from_static(
                b"{\"version\":\"https://jsonfeed.org/version/1.1\",\"items\":[]}\n",
            ),
        }
    }

    fn capture(&self) -> Capture<'_> {
        Capture {
            url: &self.url,
            content_type: FEED,
            body: &self.body,
            document: None,
        }
    }
}

fn data(path: &str) -> Location {
    Location::new(Site::Data, format!("/{path}"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail")
}

/// What is true of the web, now that its URLs are known.
fn truth(wats: &[Vec<Page>], ports: &Ports) -> Truth {
    let candidates = wats.iter().enumerate().flat_map(|(wat, pages)| {
        pages
            .iter()
            .flat_map(move |page| candidates_of(wat, page, ports))
    });
    Truth::new(candidates.collect())
}

fn candidates_of(wat: usize, page: &Page, ports: &Ports) -> Vec<Candidate> {
    let candidate = |figure: &crate::page::Figure| {
        let verdict = figure.verdict.as_ref()?;
        Some(Candidate {
            wat,
            page_url: ports.url(&page.at),
            licence: page.licence.map(|licence| licence.url.to_owned()),
            url: figure.source.absolute(ports),
            text: verdict.text.clone(),
            language: verdict.tongue.code().to_owned(),
            matches: verdict.matches,
            wanted: verdict.wanted,
        })
    };
    page.figures.iter().filter_map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use cah_protocol::Outcome;

    use super::*;
    use crate::Config;

    const PORTS: Ports = Ports {
        names: 40_001,
        plain: 40_002,
        data: 40_003,
        closed: 40_004,
    };

    fn published(config: Config) -> (Published, Truth) {
        let web = MiniWeb::build(config).unwrap();
        let published = Published::new(&web.wats, web.config.seed, &PORTS);
        (published, truth(&web.wats, &PORTS))
    }

    /// Every page and every WAT, by its place.
    fn files(published: &Published) -> HashMap<&Location, &Bytes> {
        let files = published.replies.iter();
        files
            .map(|(location, reply)| match reply {
                Reply::File(_, body) => (location, body),
                other => panic!("{other:?} is no file"),
            })
            .collect()
    }

    #[test]
    fn a_seed_fixes_every_byte_but_the_ports() {
        let (one, truth_of_one) = published(Config::default());
        let (same, truth_of_same) = published(Config::default());
        assert_eq!(files(&one), files(&same));
        assert_eq!(truth_of_one, truth_of_same);
        let other = Config {
            seed: 2,
            ..Config::default()
        };
        assert_ne!(published(other).1, truth_of_one);
    }

    #[test]
    fn the_default_is_a_few_hundred_pages_and_twice_as_many_candidates() {
        let (published, truth) = published(Config::default());
        assert_eq!(published.page_urls.len(), 240);
        assert_eq!(published.wat_paths.len(), 2);
        let count = |wanted: fn(&Candidate) -> bool| {
            truth.candidates().iter().filter(|c| wanted(c)).count()
        };
        let all = count(|_| true);
        assert!((600..=900).contains(&all), "{all}");
        let kept = count(|candidate| candidate.wanted == Outcome::Kept);
        assert!((300..=450).contains(&kept), "{kept}");
        let mismatched = count(|candidate| candidate.wanted == Outcome::LowSimilarity);
        assert!((180..=320).contains(&mismatched), "{mismatched}");
        let foreign = count(|candidate| !candidate.is_readable());
        assert!((30..=90).contains(&foreign), "{foreign}");
    }

    #[test]
    fn only_deliberate_duplicates_are_any() {
        let (_, truth) = published(Config::default());
        let mut seen = HashSet::new();
        for candidate in truth.candidates() {
            let is_new = seen.insert((&candidate.url, &candidate.text));
            assert_eq!(
                is_new,
                candidate.wanted != Outcome::Duplicate,
                "{candidate:?}"
            );
        }
    }

    #[test]
    fn images_are_shared_between_pages() {
        let (_, truth) = published(Config::default());
        let mut pages: HashMap<&str, HashSet<&str>> = HashMap::new();
        for candidate in truth.candidates() {
            pages
                .entry(&candidate.url)
                .or_default()
                .insert(&candidate.page_url);
        }
        let shared = pages.values().filter(|pages| pages.len() > 1).count();
        assert!(shared > 50, "{shared}");
    }
}
