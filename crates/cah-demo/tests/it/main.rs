//! The mini web from outside: over HTTP, through its WAT files, and against its truth.

mod crawl;
mod decode;
mod files;
mod html;
mod lifecycle;
mod pages;
mod support;
mod wat;
