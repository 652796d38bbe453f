//! What the tests share: servers that behave as they are told, WAT files, a pipeline.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Response, StatusCode, header},
};
use bytes::Bytes;
use cah_clip::{ImageMode, Model, ModelFiles};
use cah_fetch::NameServers;
use cah_worker::{Pipeline, PipelineConfig, Source, UnsafePolicy};
use flate2::{Compression, write::GzEncoder};
use futures::TryStreamExt;
use tokio::{net::TcpListener, task::JoinHandle};

/// What a request is about.
pub(crate) struct Ask {
    /// How many came before.
    pub(crate) count: usize,
    /// Its path.
    pub(crate) path: String,
    /// Its `Range`, as the first byte and, where it is named, the last one.
    pub(crate) range: Option<(u64, Option<u64>)>,
}

/// A server on loopback that lasts as long as this.
pub(crate) struct Server {
    /// Without a slash at the end.
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// The requests that came so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves what `answer` says.
pub(crate) async fn serve<F>(answer: impl Fn(Ask) -> F + Clone + Send + Sync + 'static) -> Server
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    serve_at("127.0.0.1:0", answer).await
}

/// As [`serve`], at an address of loopback.
pub(crate) async fn serve_at<F>(
    address: &str,
    answer: impl Fn(Ask) -> F + Clone + Send + Sync + 'static,
) -> Server
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let router = Router::new().fallback(move |request: Request| {
        answer(Ask {
            count: counter.fetch_add(1, SeqCst),
            path: request.uri().path().to_owned(),
            range: range(&request),
        })
    });
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { url, asked, task }
}

fn range(request: &Request) -> Option<(u64, Option<u64>)> {
    let range = request.headers().get(header::RANGE)?.to_str().unwrap();
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().ok()))
}

/// The answer of a server that knows ranges, with the headers that buckets have as well.
pub(crate) fn part(content: &[u8], range: Option<(u64, Option<u64>)>) -> Response<Body> {
    let total = content.len();
    let answer = Response::builder()
        .header(header::ETAG, "\"1\"")
        .header(header::LAST_MODIFIED, "Tue, 02 Jan 2024 00:00:00 GMT");
    let Some((first, last)) = range else {
        return answer.body(Bytes::copy_from_slice(content).into()).unwrap();
    };
    let first = first as usize;
    let end = last.map_or(total, |last| total.min(last as usize + 1));
    answer
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{total}", end - 1),
        )
        .body(Bytes::copy_from_slice(&content[first..end]).into())
        .unwrap()
}

/// An answer that is only a status.
pub(crate) fn status(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .unwrap()
}

/// Everything of a source from an offset on.
pub(crate) async fn read(source: &Source, start: u64) -> Result<Vec<u8>, String> {
    let chunks: Result<Vec<Bytes>, _> = source.read_from(start).try_collect().await;
    chunks
        .map(|chunks| chunks.concat())
        .map_err(|error| error.to_string())
}

/// An image of a page, as a WAT has it.
pub(crate) fn image(url: &str, alt: &str) -> String {
    format!(r#"{{"path":"IMG@/src","url":"{url}","alt":"{alt}"}}"#)
}

/// A link of a page, as a WAT has it.
pub(crate) fn link(url: &str, text: &str) -> String {
    format!(r#"{{"path":"A@/href","url":"{url}","text":"{text}"}}"#)
}

/// A WAT file with one page.
pub(crate) fn wat(links: &[String]) -> Vec<u8> {
    let page = format!(
        r#"{{"Container":{{"Filename":"a.warc.gz","Compressed":true,"Offset":"7"}},"Envelope":{{"Payload-Metadata":{{"Actual-Content-Type":"application/http; msgtype=response","HTTP-Response-Metadata":{{"Response-Message":{{"Version":"HTTP/1.1","Status":"200","Reason":"OK"}},"Headers":{{"Content-Type":"text/html"}},"HTML-Metadata":{{"Head":{{}},"Links":[{}]}},"Entity-Length":"10"}},"Trailing-Slop-Length":"4"}},"Format":"WARC/1.0","WARC-Header-Metadata":{{"WARC-Type":"response","WARC-Target-URI":"https://example.org/"}}}}}}"#,
        links.join(",")
    );
    [
        record("warcinfo", "Software-Info: a test\r\n"),
        record("metadata", &page),
    ]
    .concat()
}

/// One gzip member, as each record of a WAT file is.
fn record(kind: &str, body: &str) -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    write!(
        member,
        "WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}\r\n\r\n",
        body.len()
    )
    .unwrap();
    member.finish().unwrap()
}

/// A pipeline with the toy model that may reach this machine and keeps whatever is an image.
pub(crate) fn pipeline(change: impl FnOnce(&mut PipelineConfig)) -> Pipeline {
    let mut config = PipelineConfig {
        images: ImageMode::Original,
        similarity_threshold: Some(-1.0),
        unsafe_images: UnsafePolicy::Tag,
        ..PipelineConfig::default()
    };
    config.limits.min_bytes = 0;
    config.fetch.allow_private_addresses = true;
    config.fetch.name_servers = NameServers::None;
    config.fetch.per_host = 1024;
    config.fetch.host_delay = Duration::ZERO;
    config.fetch.deadline = Duration::from_secs(60);
    change(&mut config);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-clip");
    let model = Model::load(ModelFiles::from_folder(folder).unwrap()).unwrap();
    Pipeline::new(config, model).unwrap()
}

/// One white pixel.
pub(crate) const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
