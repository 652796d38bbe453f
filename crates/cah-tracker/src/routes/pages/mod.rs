//! The pages for people.

mod contributor;
mod install;
mod job;
mod leaderboard;
mod overview;
mod worker;
mod workers;
mod workers_table;

use askama::Template;
use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{App, assets, error::ApiError};
use crate::{
    clock::Timestamp,
    store::{Counts, Kind},
    text::{duration, grouped},
};

pub(super) use contributor::{ContributorPath, find_contributor};
pub(super) use job::{JobPath, find_job};
pub(super) use leaderboard::MAX_LINES;
pub(super) use overview::render as render_overview;
pub(super) use worker::{NamedWorker, WorkerPath, find_worker, role_name};
pub(super) use workers::search;
use workers_table::WorkersTable;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .merge(overview::routes())
        .merge(leaderboard::routes())
        .merge(workers::routes())
        .merge(worker::routes())
        .merge(job::routes())
        .merge(contributor::routes())
        .merge(install::routes())
}

/// What every page has.
pub(super) struct Frame {
    pub(super) project: String,
    pub(super) assets: &'static str,
    /// What the operator tells everybody; empty where nothing.
    pub(super) banner: String,
}

impl Frame {
    pub(super) async fn of(app: &App) -> Result<Self, ApiError> {
        Ok(Self {
            project: app.service.config().project.clone(),
            assets: assets::VERSION.as_str(),
            banner: app.service.store().banner().await?,
        })
    }
}

/// What the project's jobs are called.
#[derive(Clone, Copy)]
pub(super) struct Noun {
    pub(super) one: &'static str,
    pub(super) one_capital: &'static str,
    pub(super) many: &'static str,
    pub(super) capital: &'static str,
    pub(super) by_day: &'static str,
}

impl Noun {
    pub(super) fn of(counts: &Counts) -> Self {
        match counts.kind {
            Some(Kind::Data) => Self {
                one: "job",
                one_capital: "Job",
                many: "jobs",
                capital: "Jobs",
                by_day: "Jobs a day",
            },
            Some(Kind::Shards) | None => Self {
                one: "shard",
                one_capital: "Shard",
                many: "shards",
                capital: "Shards",
                by_day: "Shards a day",
            },
        }
    }
}

/// The address of a contributor's page.
pub(super) fn contributor_page(nickname: &str) -> String {
    format!("/contributor/{}", encoded(nickname))
}

/// A number that is only told where it is not 0.
fn some(number: u64) -> String {
    match number {
        0 => String::new(),
        number => grouped(number),
    }
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// A time ago, in words.
fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", duration(now - then))
}

fn page(template: &impl Template) -> Result<Response, ApiError> {
    render(template).map(html)
}

fn render(template: &impl Template) -> Result<String, ApiError> {
    template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        ApiError::Internal
    })
}

fn html(page: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}
