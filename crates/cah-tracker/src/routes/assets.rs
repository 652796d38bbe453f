//! The few files that pages load, built into the program.

use std::sync::LazyLock;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::App;

const STYLE: &str = include_str!("../../web/assets/tracker.css");
const SCRIPT: &str = include_str!("../../web/assets/live.js");
const ICON: &str = include_str!("../../web/assets/icon.svg");

/// Stands behind the files' addresses and changes with them, so that browsers may keep them.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let bytes = [STYLE, SCRIPT, ICON].into_iter().flat_map(str::bytes);
    // FNV-1a: the same on every machine and build.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
});

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/assets/tracker.css",
            get(async || file("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/assets/live.js",
            get(async || file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route(
            "/assets/icon.svg",
            get(async || file("image/svg+xml", ICON)),
        )
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, content).into_response()
}
