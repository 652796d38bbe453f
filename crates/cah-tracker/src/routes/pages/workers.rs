//! All connected workers, a page at a time and in any order, or those with a name.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    super::{App, error::ApiError, extract::Params},
    Frame, WorkersTable, encoded, page,
    workers_table::SortLink,
};
use crate::{
    store::{WorkerQuery, WorkerSort, WorkerView},
    text::grouped,
};

/// Workers on a page.
const LINES: u32 = 100;

/// The longest name that is looked for, in characters.
const LONGEST: usize = 128;

/// By what workers are sorted, as addresses have it.
const SORTS: [(&str, WorkerSort); 6] = [
    ("name", WorkerSort::Name),
    ("contributor", WorkerSort::Contributor),
    ("stage", WorkerSort::Stage),
    ("jobs", WorkerSort::Jobs),
    ("pairs", WorkerSort::Pairs),
    ("last_seen", WorkerSort::LastSeen),
];

pub(super) fn routes() -> Router<App> {
    Router::new().route("/workers", get(workers))
}

/// Which workers are asked for: `q`, a part of a name, and in which order: `sort` and `order`.
struct Asked {
    text: String,
    sort: WorkerSort,
    descending: bool,
}

impl Asked {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let text = params.get("q").unwrap_or_default().trim().to_owned();
        if text.chars().count() > LONGEST {
            return Err(ApiError::BadRequest(format!(
                "`q` may have {LONGEST} characters at most."
            )));
        }
        let descending = match params.get("order") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(ApiError::BadRequest("`order` is asc or desc.".into())),
        };
        Ok(Self {
            text,
            sort: params.get("sort").map_or(Ok(WorkerSort::Joined), sort)?,
            descending,
        })
    }

    fn page(&self, number: u64) -> WorkerQuery {
        let skip = (number - 1).saturating_mul(LINES.into());
        WorkerQuery {
            text: self.text.clone(),
            nickname: None,
            sort: self.sort,
            descending: self.descending,
            skip: u32::try_from(skip).unwrap_or(u32::MAX),
            limit: LINES,
        }
    }

    fn order(&self) -> &'static str {
        match self.descending {
            true => "desc",
            false => "asc",
        }
    }

    /// The address of what is asked for, without the page.
    fn address(&self) -> String {
        let sort = match sort_name(self.sort) {
            "" => String::new(),
            name => format!("&sort={name}&order={}", self.order()),
        };
        format!("/workers?q={}{sort}", encoded(&self.text))
    }

    /// What sorts the same workers by something else, or by the same the other way round.
    fn sorted_by(&self, sort: WorkerSort) -> SortLink {
        let is_sorted = sort == self.sort;
        let descending = match is_sorted {
            true => !self.descending,
            // The largest and the latest are looked for first.
            false => matches!(
                sort,
                WorkerSort::Jobs | WorkerSort::Pairs | WorkerSort::LastSeen
            ),
        };
        let link = Self {
            text: self.text.clone(),
            sort,
            descending,
        };
        SortLink {
            address: link.address(),
            sorted: match (is_sorted, self.descending) {
                (false, _) => "",
                (true, false) => "ascending",
                (true, true) => "descending",
            },
        }
    }
}

fn sort(name: &str) -> Result<WorkerSort, ApiError> {
    let known = SORTS.iter().find(|(known, _)| *known == name);
    known.map(|(_, sort)| *sort).ok_or_else(|| {
        let names = SORTS.map(|(name, _)| name).join(", ");
        ApiError::BadRequest(format!("`sort` is one of {names}."))
    })
}

/// What addresses call it; nothing for the order in which workers joined.
fn sort_name(sort: WorkerSort) -> &'static str {
    let known = SORTS.iter().find(|(_, known)| *known == sort);
    known.map_or("", |(name, _)| name)
}

/// A page of the workers that a query asks for.
pub(in crate::routes) struct Found {
    asked: Asked,
    /// Which page, from 1, of how many.
    pub(in crate::routes) page: u64,
    pages: u64,
    /// How many there are on all pages.
    pub(in crate::routes) found: u64,
    pub(in crate::routes) workers: Vec<WorkerView>,
}

/// Finds the workers that a query asks for; on the last page where it asks for a later one.
pub(in crate::routes) async fn search(app: &App, params: &Params) -> Result<Found, ApiError> {
    let asked = Asked::read(params)?;
    let mut page = params.count("page")?.unwrap_or(1).max(1);
    let store = app.service.store();
    let mut list = store.workers(asked.page(page)).await?;
    let pages = list.found.div_ceil(LINES.into()).max(1);
    if page > pages {
        page = pages;
        list = store.workers(asked.page(page)).await?;
    }
    Ok(Found {
        asked,
        page,
        pages,
        found: list.found,
        workers: list.workers,
    })
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    frame: Frame,
    text: String,
    /// Empty where they are in the order in which they joined.
    sort: &'static str,
    order: &'static str,
    found: String,
    workers: WorkersTable,
    /// Which page of how many; empty where there is one.
    place: String,
    previous: Option<String>,
    next: Option<String>,
}

async fn workers(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let Found {
        asked,
        page: number,
        pages,
        found,
        workers,
    } = search(&app, &params).await?;
    let counts = app.service.counts().await?;
    let now = app.service.now();
    let address = |number: u64| format!("{}&page={number}", asked.address());
    let place = match pages {
        1 => String::new(),
        pages => format!("Page {} of {}", grouped(number), grouped(pages)),
    };
    page(&WorkersPage {
        frame: Frame::of(&app).await?,
        found: grouped(found),
        workers: WorkersTable::whole(workers, &counts, now, |sort| asked.sorted_by(sort)),
        place,
        previous: (number > 1).then(|| address(number - 1)),
        next: (number < pages).then(|| address(number + 1)),
        sort: sort_name(asked.sort),
        order: asked.order(),
        text: asked.text,
    })
}
