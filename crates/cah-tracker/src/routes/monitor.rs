//! For machines that watch: whether the tracker lives, whether it can serve, and its figures for
//! Prometheus.

use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::{App, error::ApiError};
use crate::store::Counts;
use cah_protocol::{Outcome, OutcomeCounts};

/// Of OpenMetrics, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a call is counted as that no route is there for.
const NO_ROUTE: &str = "none";

/// Seconds; from a lookup in memory to the deadline of a call.
const DURATIONS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(async || openapi()))
}

/// The description of every call.
const OPENAPI: &str = include_str!("../../web/openapi.json");

fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Whether calls can be served: the store takes changes.
async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.service.ping().await?;
    Ok("ready")
}

async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let (counts, outcomes) =
        tokio::try_join!(app.service.counts(), app.service.store().outcomes())?;
    let text = app.metrics.text(&counts, &outcomes).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        ApiError::Internal
    })?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStage {
    stage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

type Durations = Family<OfRoute, Histogram, fn() -> Histogram>;

/// The calls that were answered, and how the project stands.
pub(super) struct Metrics {
    registry: Registry,
    jobs: Family<OfState, Gauge>,
    open: Family<OfStage, Gauge>,
    leased: Family<OfStage, Gauge>,
    pairs: Gauge,
    workers: Gauge,
    candidates: Family<OfOutcome, Gauge>,
    calls: Family<OfCall, Counter>,
    durations: Durations,
}

impl Default for Metrics {
    fn default() -> Self {
        let durations = || Histogram::new(DURATIONS);
        let metrics = Self {
            registry: Registry::with_prefix("cah"),
            jobs: Family::default(),
            open: Family::default(),
            leased: Family::default(),
            pairs: Gauge::default(),
            workers: Gauge::default(),
            candidates: Family::default(),
            calls: Family::default(),
            durations: Family::new_with_constructor(durations),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("jobs", "Jobs by state", self.jobs.clone());
        registry.register("jobs_open", "Jobs that wait at a stage", self.open.clone());
        registry.register(
            "jobs_leased",
            "Jobs that are worked on at a stage",
            self.leased.clone(),
        );
        registry.register("pairs", "Pairs of the closed jobs", self.pairs.clone());
        registry.register("workers", "Connected workers", self.workers.clone());
        registry.register(
            "candidates",
            "Candidates of the completed jobs by where they ended",
            self.candidates.clone(),
        );
        registry.register(
            "http_requests",
            "Calls that were answered",
            self.calls.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "How long calls took",
            self.durations.clone(),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        self
    }

    fn text(&self, counts: &Counts, outcomes: &OutcomeCounts) -> Result<String, std::fmt::Error> {
        self.update(counts);
        for outcome in Outcome::ALL {
            let labels = OfOutcome {
                outcome: outcome.name(),
            };
            let candidates = gauge(outcomes.get(*outcome));
            self.candidates.get_or_create(&labels).set(candidates);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn update(&self, counts: &Counts) {
        let open: u64 = counts.stages.iter().map(|stage| stage.open).sum();
        for (state, jobs) in [
            ("open", open),
            ("leased", counts.leased()),
            ("closed", counts.closed),
            ("parked", counts.parked),
            ("banned", counts.banned),
        ] {
            self.jobs.get_or_create(&OfState { state }).set(gauge(jobs));
        }
        for stage in &counts.stages {
            let labels = OfStage {
                stage: stage.name.clone(),
            };
            self.open.get_or_create(&labels).set(gauge(stage.open));
            self.leased.get_or_create(&labels).set(gauge(stage.leased));
        }
        self.pairs.set(gauge(counts.pairs));
        self.workers.set(gauge(counts.workers));
    }

    fn answered(&self, call: OfCall, began: Instant) {
        let route = OfRoute {
            route: call.route.clone(),
        };
        let duration = began.elapsed().as_secs_f64();
        self.durations.get_or_create(&route).observe(duration);
        self.calls.get_or_create(&call).inc();
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Counts a call by its route, of which there are few, and not by its address.
pub(super) async fn count(State(app): State<App>, call: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = call.extensions().get::<MatchedPath>();
    let route = route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    // Anybody may make up methods.
    let method = match call.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    let method = method.to_owned();
    let response = next.run(call).await;
    let call = OfCall {
        method,
        route,
        status: response.status().as_u16(),
    };
    app.metrics.answered(call, began);
    response
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The paths that the sources of this module route, as they stand there.
    fn routed(folder: &Path, paths: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routed(&path, paths);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            for call in source.split(".route(").skip(1) {
                let literal = call.trim_start().strip_prefix('"');
                let literal = literal.and_then(|rest| rest.split_once('"'));
                let path = literal.map(|(path, _)| path.to_owned());
                // This very function has the word too.
                paths.extend(path.filter(|path| path.starts_with('/')));
            }
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let mut expected = BTreeSet::new();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/routes");
        routed(&sources, &mut expected);
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let described = described["paths"].as_object().unwrap();
        let described: BTreeSet<String> = described.keys().cloned().collect();
        assert_eq!(described, expected);
    }
    /// Whoever calls may be kept out, or call too often, whatever it calls.
    #[test]
    fn every_call_may_be_refused_to_its_caller() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        for (path, methods) in described["paths"].as_object().unwrap() {
            for (method, call) in methods.as_object().unwrap() {
                for status in ["403", "429"] {
                    let told = &call["responses"][status];
                    assert!(told.is_object(), "{method} {path}: {status}");
                }
            }
        }
    }
}
