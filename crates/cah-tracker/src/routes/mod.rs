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
mod whole_wats;
mod workers;

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use crate::{service::Service, text};

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

/// What the routes share.
#[derive(Clone)]
struct App {
    service: Arc<Service>,
    addr: SocketAddr,
    /// Held by reads that may walk over many jobs: one at a time, whoever asks.
    slow_reads: Arc<Semaphore>,
    whole_wats: Arc<WholeWats>,
    callers: Arc<Callers>,
    turns: Arc<Turns>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
}

/// All routes of a tracker that listens on `addr`, and what makes the work that keeps its pages live
/// until it has `stopped`.
pub(crate) fn site(
    service: Arc<Service>,
    addr: SocketAddr,
    callers: Arc<Callers>,
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
    let state = App {
        callers,
        service,
        addr,
        slow_reads: Arc::new(Semaphore::new(1)),
        whole_wats: Arc::default(),
        turns: Arc::default(),
        metrics: Arc::default(),
        live: Arc::new(Live::new(stopped)),
    };
    let shown = state.clone();
    let rendering = move || live::keep_rendering(shown.clone()).boxed();
    let app = calls
        .merge(admin::long_routes())
        .layer(from_fn_with_state(state.clone(), callers::identify))
        .layer(from_fn_with_state(state.clone(), monitor::count))
        .with_state(state);
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    // What calls are answered holds at that moment only.
    let no_store = HeaderValue::from_static("no-store");
    let app = app
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            no_store,
        ))
        .layer(header(
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY,
        ))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"));
    (app, rendering)
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
