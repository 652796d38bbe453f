//! From a request to what the mini web says to it.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame},
    header::{
        ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
        HeaderValue, LOCATION, RANGE, RETRY_AFTER,
    },
};

use crate::{
    picture::PictureId,
    range::{self, Wanted},
    reply::{Reply, Target},
    site::{Door, Location, Ports, Site},
};

/// The body of an answer. Its error breaks the connection.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Everything that the servers of the mini web know.
pub(crate) struct Hosting {
    pub(crate) ports: Ports,
    pub(crate) replies: HashMap<Location, Reply>,
    pub(crate) pictures: Vec<Bytes>,
    /// How late [`Reply::Late`] is.
    pub(crate) slow: Duration,
    /// How long [`Reply::Heavy`] is.
    pub(crate) heavy_bytes: u64,
    /// The recovering addresses that have refused once.
    pub(crate) refused: Mutex<HashSet<Location>>,
    /// How often each address was asked for.
    pub(crate) asked: Mutex<HashMap<String, u64>>,
}

impl Hosting {
    /// Answers a request that came in by `door`.
    pub(crate) async fn answer<B: HttpBody>(
        &self,
        door: Door,
        request: Request<B>,
    ) -> Result<Response<Body>, Infallible> {
        let authority = text(request.headers(), &HOST).unwrap_or_default();
        let Some(site) = Site::at(door, authority) else {
            return Ok(status(StatusCode::MISDIRECTED_REQUEST));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let location = Location { site, path };
        self.count(&location);
        let mut response = match self.replies.get(&location) {
            Some(reply) => self.say(reply, &location, request.headers()).await,
            None => status(StatusCode::NOT_FOUND),
        };
        if let Some((name, value)) = site.opt_out() {
            set(&mut response, HeaderName::from_static(name), value);
        }
        Ok(response)
    }

    async fn say(&self, reply: &Reply, location: &Location, headers: &HeaderMap) -> Response<Body> {
        match reply {
            Reply::Picture(id, content_type) => file(*content_type, self.picture(*id), headers),
            Reply::File(content_type, body) => file(Some(content_type), body.clone(), headers),
            Reply::Status(code) => status(code_of(*code)),
            Reply::Redirect(code, target) => self.redirect(*code, target),
            Reply::Late(id) => {
                tokio::time::sleep(self.slow).await;
                file(None, self.picture(*id), headers)
            }
            Reply::Endless => endless(),
            Reply::Heavy { announced } => heavy(self.heavy_bytes, *announced),
            Reply::CutShort(id) => cut_short(&self.picture(*id)),
            Reply::Recovering {
                status: code,
                retry_after,
                then,
            } => match self.refuses(location) {
                true => unavailable(*code, *retry_after),
                false => file(None, self.picture(*then), headers),
            },
        }
    }

    fn picture(&self, id: PictureId) -> Bytes {
        self.pictures[id.0].clone()
    }

    fn count(&self, location: &Location) {
        let url = self.ports.url(location);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked.entry(url).or_default() += 1;
    }

    /// Whether a recovering address is asked for the first time.
    fn refuses(&self, location: &Location) -> bool {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(location.clone())
    }

    fn redirect(&self, code: u16, target: &Target) -> Response<Body> {
        let mut response = status(code_of(code));
        match target {
            Target::Missing => {}
            Target::Verbatim(url) => set(&mut response, LOCATION, url),
            Target::Location(location) => set(&mut response, LOCATION, &self.ports.url(location)),
        }
        response
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("the mini web's headers are printable ASCII");
    response.headers_mut().insert(name, value);
}

fn code_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("the mini web's replies have three-digit statuses")
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A status that says itself in words.
fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(format!("{code}\n")));
    *response.status_mut() = code;
    set(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

fn unavailable(code: u16, retry_after: Option<u8>) -> Response<Body> {
    let mut response = status(code_of(code));
    if let Some(seconds) = retry_after {
        set(&mut response, RETRY_AFTER, &seconds.to_string());
    }
    response
}

/// A whole file, or the part of it that was asked for.
fn file(content_type: Option<&str>, body: Bytes, headers: &HeaderMap) -> Response<Body> {
    let length = body.len();
    let mut response = match range::parse(text(headers, &RANGE), length) {
        Wanted::Whole => Response::new(full(body)),
        Wanted::Part(part) => partial(body, part),
        Wanted::Unsatisfiable => {
            let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut response, CONTENT_RANGE, &format!("bytes */{length}"));
            return response;
        }
    };
    set(&mut response, ACCEPT_RANGES, "bytes");
    if let Some(content_type) = content_type {
        set(&mut response, CONTENT_TYPE, content_type);
    }
    response
}

fn partial(body: Bytes, part: std::ops::Range<usize>) -> Response<Body> {
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, body.len());
    let mut response = Response::new(full(body.slice(part)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(&mut response, CONTENT_RANGE, &range);
    response
}

/// A body whose parts come from `next` until it gives none.
fn streamed<S, F, N>(start: S, next: N) -> Response<Body>
where
    S: Send + 'static,
    N: FnMut(S) -> F + Send + 'static,
    F: Future<Output = Option<(io::Result<Bytes>, S)>> + Send + 'static,
{
    use futures::TryStreamExt as _;
    let frames = stream::unfold(start, next).map_ok(Frame::data);
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    set(&mut response, CONTENT_TYPE, "image/jpeg");
    response
}

/// Drips for ever, and begins like a JPEG.
fn endless() -> Response<Body> {
    const DRIP: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0];
    streamed((), async |()| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Bytes::from_static(DRIP)), ()))
    })
}

/// More bytes than anybody takes, as fast as they go.
fn heavy(bytes: u64, announced: bool) -> Response<Body> {
    const PART: &[u8] = &[0xa5; 64 << 10];
    let mut response = streamed(bytes, async |left: u64| {
        let length = left.min(PART.len() as u64);
        (length > 0).then(|| {
            let part = Bytes::from_static(&PART[..length as usize]);
            (Ok(part), left - length)
        })
    });
    if announced {
        set(&mut response, CONTENT_LENGTH, &bytes.to_string());
    }
    response
}

/// Half the file under the length of the whole; then the connection breaks.
fn cut_short(whole: &Bytes) -> Response<Body> {
    let half = whole.slice(..whole.len() / 2);
    let mut response = streamed(Some(half), async |half: Option<Bytes>| match half {
        Some(half) => Some((Ok(half), None)),
        None => {
            // The half must be on its way before the connection goes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Err(io::ErrorKind::BrokenPipe.into()), None))
        }
    });
    set(&mut response, CONTENT_LENGTH, &whole.len().to_string());
    response
}
