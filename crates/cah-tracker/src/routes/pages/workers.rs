//! All connected workers, a page at a time, or those with a name.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    super::{App, error::ApiError, extract::Params},
    Frame, WorkerRow, encoded, page,
};
use crate::{
    store::{WorkerList, WorkerQuery},
    text::grouped,
};

/// Workers on a page.
const LINES: u32 = 100;

/// The longest name that is looked for, in characters.
const LONGEST: usize = 128;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/workers", get(workers))
}

/// Which workers are asked for: `q`, a part of a name, and `page`, from 1.
pub(in crate::routes) struct Page {
    pub(in crate::routes) text: String,
    pub(in crate::routes) number: u64,
}

/// Finds the workers that a query asks for.
pub(in crate::routes) async fn search(
    app: &App,
    params: &Params,
) -> Result<(Page, WorkerList), ApiError> {
    let text: String = params.get("q").unwrap_or_default().trim().to_owned();
    if text.chars().count() > LONGEST {
        return Err(ApiError::BadRequest(format!(
            "`q` may have {LONGEST} characters at most."
        )));
    }
    let number = params.count("page")?.unwrap_or(1).max(1);
    let skip = (number - 1).saturating_mul(LINES.into());
    let query = WorkerQuery {
        text: text.clone(),
        skip: u32::try_from(skip).unwrap_or(u32::MAX),
        limit: LINES,
    };
    let list = app.service.store().workers(query).await?;
    Ok((Page { text, number }, list))
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    frame: Frame,
    text: String,
    found: String,
    workers: Vec<WorkerRow>,
    /// Which page of how many; empty where there is one.
    place: String,
    previous: Option<String>,
    next: Option<String>,
}

async fn workers(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let (Page { text, number }, list) = search(&app, &params).await?;
    let stages = app.service.counts().await?.stages;
    let now = app.service.now();
    let pages = list.found.div_ceil(LINES.into()).max(1);
    let address = |number: u64| format!("/workers?q={}&page={number}", encoded(&text));
    let place = match pages {
        1 => String::new(),
        pages => format!("Page {} of {}", grouped(number), grouped(pages)),
    };
    let rows = list.workers.into_iter();
    page(&WorkersPage {
        frame: Frame::of(&app).await?,
        found: grouped(list.found),
        workers: rows
            .map(|worker| WorkerRow::new(worker, &stages, now))
            .collect(),
        place,
        previous: (number > 1).then(|| address((number - 1).min(pages))),
        next: (number < pages).then(|| address(number + 1)),
        text,
    })
}
