//! The first page as it changes: one rendering for everybody who looks at it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::HeaderName,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures::{StreamExt, stream};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{App, error::ApiError, pages};

/// How often the page is rendered while somebody looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Asks nginx, and proxies that do as it does, to pass each change on at once.
const UNBUFFERED: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

/// The most pages that are kept up to date; others look again by themselves.
const MAX_VIEWERS: usize = 10_000;

/// What everybody is shown, and when that ends.
pub(super) struct Live {
    shown: watch::Sender<Arc<str>>,
    stopped: CancellationToken,
}

impl Live {
    pub(super) fn new(stopped: CancellationToken) -> Self {
        Self {
            shown: watch::Sender::new(Arc::from("")),
            stopped,
        }
    }

    fn show(&self, main: &str) {
        self.shown.send_if_modified(|shown| {
            let changed = **shown != *main;
            if changed {
                *shown = main.into();
            }
            changed
        });
    }
}

/// Renders the page again and again, while somebody looks.
pub(super) async fn keep_rendering(app: App) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.live.shown.receiver_count() == 0 {
            continue;
        }
        match pages::render_overview(&app).await {
            Ok(page) => app.live.show(main_of(&page)),
            Err(error) => tracing::debug!(?error, "the live page could not be rendered"),
        }
    }
}

/// The part of a page that changes.
fn main_of(page: &str) -> &str {
    const END: &str = "</main>";
    let begin = page.find("<main").unwrap_or_default();
    let end = page.rfind(END).map_or(page.len(), |end| end + END.len());
    &page[begin..end]
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/live", get(look))
}

/// The main part of the first page whenever it has changed, until the tracker stops.
async fn look(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let Live { shown, stopped } = &app.live;
    if shown.receiver_count() >= MAX_VIEWERS {
        return Err(ApiError::Overloaded);
    }
    // What was rendered last may be old; the page that asks has just been.
    let changes = stream::unfold(shown.subscribe(), |mut shown| async move {
        shown.changed().await.ok()?;
        let main = shown.borrow_and_update().to_string();
        let change = Event::default().event("main").data(main);
        Some((Ok::<_, Infallible>(change), shown))
    });
    let changes = changes.take_until(stopped.clone().cancelled_owned());
    let changes = Sse::new(changes).keep_alive(KeepAlive::default());
    Ok((UNBUFFERED, changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_part_is_cut_out() {
        let page = "<html><body><main id=\"content\"><p>&#60;/main></p></main><footer></footer>";
        let main = "<main id=\"content\"><p>&#60;/main></p></main>";
        assert_eq!(main_of(page), main);
    }
}
