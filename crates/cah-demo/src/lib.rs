//! A mini web whose truth is known: hosts, pages, images, captions, and the WAT of it.
//!
//! [`MiniWeb::build`] invents a web from a seed: a few hundred pages on a dozen hosts, images of
//! scenes, captions that tell the truth about them or do not, and everything that makes crawling
//! hard: dead links, slow and endless answers, redirects, opt-outs, damaged and oversized files.
//! [`MiniWeb::serve`] draws the images and puts it all on loopback ports, together with the WAT
//! files that a crawl of it gives, written as Common Crawl writes them. What a crawler should make
//! of each candidate stands in its [`Truth`].
//!
//! ```no_run
//! # async fn demo() -> Result<(), cah_demo::Error> {
//! use cah_demo::{Config, MiniWeb};
//!
//! let web = MiniWeb::build(Config::default())?.serve().await?;
//! let wat = format!("{}{}", web.base_url(), web.wat_paths()[0]);
//! // … crawl `wat`, with `web.hosts()` as the only names …
//! let kept = [("http://harbour.test:8080/images/a.jpg", "a red ring on a blue wall")];
//! let score = web.truth().score(kept);
//! assert!(score.precision >= 0.9 && score.recall >= 0.9);
//! web.stop().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod case;
mod config;
mod document;
mod error;
mod flaw;
mod garble;
mod page;
mod picture;
mod range;
mod reply;
pub mod scene;
mod served;
mod server;
mod site;
mod studio;
mod truth;
mod wat;
mod web;

pub use config::Config;
pub use error::Error;
pub use served::ServedWeb;
pub use truth::{Candidate, Score, Truth};
pub use web::MiniWeb;
