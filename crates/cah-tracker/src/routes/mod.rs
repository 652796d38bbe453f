//! HTTP: reads what came from outside, asks the [`Service`], words the answer.

mod admin;
mod assets;
mod callers;
mod crawlingathome;
mod data;
mod distcompute;
mod error;
mod extract;
mod live;
mod monitor;
mod operator;
mod pages;
mod staging;
mod whole_wats;
mod workers;

use std::{any::Any, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{service::Service, staging::Staging, text};

pub(crate) use callers::{Callers, from_peer};
use error::ApiError;
use extract::Turns;
use live::Live;
use monitor::Metrics;
use whole_wats::WholeWats;

/// How long a call may take, its body's arrival included.
const DEADLINE: Duration = Duration::from_secs(60);

/// What pages may load: files of the tracker itself, nothing inline, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// What the routes share. Each call clones it several times.
#[derive(Clone)]
struct App(Arc<Shared>);

struct Shared {
    service: Arc<Service>,
    addr: SocketAddr,
    /// Held by reads that may walk over many jobs: one at a time, whoever asks.
    slow_reads: Arc<Semaphore>,
    whole_wats: WholeWats,
    callers: Arc<Callers>,
    staging: Option<Staging>,
    turns: Turns,
    metrics: Metrics,
    live: Live,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// All routes of a tracker that listens on `addr`, and what makes the work that keeps its pages live
/// until it has `stopped`.
pub(crate) fn site(
    service: Arc<Service>,
    addr: SocketAddr,
    callers: Arc<Callers>,
    staging: Option<Staging>,
    stopped: CancellationToken,
) -> (Router, impl Fn() -> BoxFuture<'static, ()> + Send + 'static) {
    let calls = Router::new()
        .merge(workers::routes())
        .merge(crawlingathome::routes())
        .merge(distcompute::routes())
        .merge(whole_wats::routes())
        .merge(admin::routes())
        .merge(data::routes())
        .merge(pages::routes())
        .merge(live::routes())
        .merge(monitor::routes())
        .merge(assets::routes())
        .fallback(async || ApiError::NotFound("There is no such page."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn(in_time));
    let state = App(Arc::new(Shared {
        callers,
        staging,
        service,
        addr,
        slow_reads: Arc::new(Semaphore::new(1)),
        whole_wats: WholeWats::default(),
        turns: Turns::default(),
        metrics: Metrics::default(),
        live: Live::new(stopped),
    }));
    let shown = state.clone();
    let rendering = move || live::keep_rendering(shown.clone()).boxed();
    let app = calls
        .merge(admin::long_routes())
        .merge(staging::long_routes())
        .layer(from_fn_with_state(state.clone(), callers::identify))
        .layer(from_fn_with_state(state.clone(), monitor::count))
        .with_state(state);
    let app = app
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(map_response(with_headers));
    (app, rendering)
}

/// What every answer says of itself.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // What calls are answered holds at that moment only.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// No call holds its caller's connection for longer than the deadline.
async fn in_time(request: Request, next: Next) -> Response {
    match timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Overloaded.into_response(),
    }
}

/// A bug: logged in full, told to nobody.
fn on_panic(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = text::of_panic(&*panic), "a call panicked");
    ApiError::Internal.into_response()
}
