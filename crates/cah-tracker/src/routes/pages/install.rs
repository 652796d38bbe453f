//! How to take part.

use askama::Template;
use axum::{Router, extract::State, http::HeaderMap, response::Response, routing::get};

use super::{
    super::{App, crawlingathome::own_url, error::ApiError},
    Frame, page,
};
use crate::store::{Counts, Kind};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/install", get(install))
}

#[derive(Template)]
#[template(path = "install.html")]
struct Install {
    frame: Frame,
    url: String,
    /// Whether volunteers run `cah worker` here, or a script of their own.
    of_shards: bool,
    stages: Vec<(char, String)>,
}

async fn install(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Counts { kind, stages, .. } = app.service.counts().await?;
    let names = stages.into_iter().map(|stage| stage.name);
    page(&Install {
        frame: Frame::of(&app).await?,
        url: own_url(&app, &headers),
        of_shards: kind != Some(Kind::Data),
        stages: ('a'..).zip(names).collect(),
    })
}
