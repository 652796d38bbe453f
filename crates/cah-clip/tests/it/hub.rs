//! Downloads, from a server that behaves like the hub.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};
use cah_clip::{ClipError, Hub, HubOptions, HubRepo, Model, ModelFiles, ModelSource};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    golden,
    weights::{assert_same, sharded},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a file of the hub is and how its server misbehaves.
#[derive(Clone, Default)]
struct HubFile {
    bytes: Vec<u8>,
    /// Lies on another host, to which it is redirected, with its size and hash in the headers.
    large: bool,
    /// The first answer breaks off in the middle.
    breaks_once: bool,
    /// The hash in the headers is wrong.
    wrong_hash: bool,
}

#[derive(Default)]
struct Recorded {
    method: String,
    path: String,
    token: Option<String>,
    range: Option<String>,
}

struct Shared {
    files: HashMap<String, HubFile>,
    storage: SocketAddr,
    requests: Mutex<Vec<Recorded>>,
    broken: Mutex<Vec<String>>,
    /// Nothing is answered but that it can't be.
    overloaded: AtomicBool,
}

/// The hub and, on another port, the storage to which it redirects.
struct TestHub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl TestHub {
    async fn serve(files: HashMap<String, HubFile>) -> Self {
        let hub = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let storage = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            files,
            storage: storage.local_addr().unwrap(),
            requests: Mutex::default(),
            broken: Mutex::default(),
            overloaded: AtomicBool::default(),
        });
        let address = hub.local_addr().unwrap();
        let state = shared.clone();
        tokio::spawn(async move {
            axum::serve(hub, Router::new().fallback(resolve).with_state(state)).await
        });
        let state = shared.clone();
        tokio::spawn(async move {
            axum::serve(storage, Router::new().fallback(store).with_state(state)).await
        });
        Self { address, shared }
    }

    /// Serves the files of a golden model; the weights lie in the storage.
    async fn of(model: &str) -> Self {
        Self::serve(files_of(model)).await
    }

    fn options(&self, cache: &TempDir) -> HubOptions {
        HubOptions {
            endpoint: format!("http://{}", self.address),
            token: Some("hf_secret".into()),
            cache: cache.path().to_owned(),
            offline: false,
        }
    }

    async fn open(&self, cache: &TempDir, repo: &str) -> Result<ModelFiles, ClipError> {
        let source: ModelSource = format!("hf:{repo}").parse().unwrap();
        ModelFiles::open(&source, self.options(cache)).await
    }

    fn requests(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

fn files_of(model: &str) -> HashMap<String, HubFile> {
    fs::read_dir(golden::path(model))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| {
            let file = HubFile {
                bytes: golden::bytes(&format!("{model}/{name}")),
                large: name == "model.safetensors",
                ..HubFile::default()
            };
            (name, file)
        })
        .collect()
}

/// The same with other weights than in `model.safetensors`.
fn files_with(model: &str, weights: Vec<(&str, Vec<u8>)>) -> HashMap<String, HubFile> {
    let mut files = files_of(model);
    files.remove("model.safetensors");
    files.extend(weights.into_iter().map(|(name, bytes)| {
        let file = HubFile {
            bytes,
            large: true,
            ..HubFile::default()
        };
        (name.to_owned(), file)
    }));
    files
}

fn snapshot(cache: &TempDir) -> PathBuf {
    let home = cache.path().join("models--org--name");
    home.join("snapshots").join(COMMIT)
}

/// Makes a file or folder look as if it had been changed two hours ago.
fn age(path: &Path) -> SystemTime {
    let then = SystemTime::now() - Duration::from_secs(7_200);
    fs::File::open(path).unwrap().set_modified(then).unwrap();
    fs::metadata(path).unwrap().modified().unwrap()
}

fn record(shared: &Shared, request: &Request) {
    let header = |name| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    shared.requests.lock().unwrap().push(Recorded {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        token: header(header::AUTHORIZATION),
        range: header(header::RANGE),
    });
}

/// `/{org}/{name}/resolve/{revision}/{file}` as the hub answers it.
async fn resolve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    record(&shared, &request);
    let path = request.uri().path().to_owned();
    let answer = |status: StatusCode| Response::builder().status(status);
    if shared.overloaded.load(Ordering::Relaxed) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return answer(status).body(Body::empty()).unwrap();
    }
    let Some(rest) = path
        .strip_prefix("/org/name/resolve/main/")
        .or_else(|| path.strip_prefix("/org/name/resolve/refs%2Fpr%2F1/"))
        .or_else(|| path.strip_prefix("/hop/"))
    else {
        let status = if path.starts_with("/org/gated/") {
            401
        } else {
            404
        };
        return answer(StatusCode::from_u16(status).unwrap())
            .body(Body::empty())
            .unwrap();
    };
    let Some(file) = shared.files.get(rest) else {
        return answer(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    if file.large {
        let mut hash = hex(&file.bytes);
        if file.wrong_hash {
            hash = "0".repeat(64);
        }
        return answer(StatusCode::FOUND)
            .header("x-repo-commit", COMMIT)
            .header("x-linked-size", file.bytes.len())
            .header("x-linked-etag", format!("\"{hash}\""))
            .header(
                header::LOCATION,
                format!("http://{}/blob/{rest}", shared.storage),
            )
            .body(Body::empty())
            .unwrap();
    }
    // Small files are redirected once on the hub itself.
    if !path.starts_with("/hop/") {
        return answer(StatusCode::TEMPORARY_REDIRECT)
            .header("x-repo-commit", COMMIT)
            .header(header::LOCATION, format!("/hop/{rest}"))
            .body(Body::empty())
            .unwrap();
    }
    content(&shared, rest, file, &request)
}

/// The storage.
async fn store(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    record(&shared, &request);
    let name = request.uri().path().trim_start_matches("/blob/").to_owned();
    content(&shared, &name, &shared.files[&name], &request)
}

fn content(shared: &Shared, name: &str, file: &HubFile, request: &Request) -> Response {
    let from = request
        .headers()
        .get(header::RANGE)
        .and_then(|range| {
            range
                .to_str()
                .ok()?
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let part = file.bytes[from..].to_vec();
    let status = if from > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_LENGTH, part.len());
    let mut broken = shared.broken.lock().unwrap();
    if request.method() != Method::HEAD && file.breaks_once && !broken.contains(&name.to_owned()) {
        broken.push(name.to_owned());
        let half = part[..part.len() / 2].to_vec();
        // The pause lets the half arrive before the connection breaks.
        let torn = futures::stream::iter([Ok(half), Err(std::io::Error::other("torn"))]).then(
            |part| async {
                if part.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                part
            },
        );
        return response.body(Body::from_stream(torn)).unwrap();
    }
    response.body(Body::from(part)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_repository_is_downloaded_once_and_then_taken_from_the_cache() {
    let hub = TestHub::of("quick-gelu").await;
    let cache = tempfile::tempdir().unwrap();
    let files = hub.open(&cache, "org/name").await.unwrap();
    let model = Model::load(files).unwrap();
    assert_eq!(model.name(), "org/name");
    assert_eq!(
        model.digest(),
        hex(&golden::bytes("quick-gelu/model.safetensors"))
    );
    assert!(snapshot(&cache).join("model.safetensors").is_file());
    let reference = cache.path().join("models--org--name/refs/main");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);

    let first = hub.requests();
    let storage = first
        .iter()
        .filter(|request| request.path.starts_with("/blob/"));
    assert!(storage.clone().count() >= 1);
    assert!(
        storage.clone().all(|request| request.token.is_none()),
        "the token leaves the hub"
    );
    let on_the_hub = first
        .iter()
        .filter(|request| !request.path.starts_with("/blob/"));
    assert!(
        on_the_hub
            .clone()
            .all(|request| request.token.as_deref() == Some("Bearer hf_secret"))
    );

    hub.open(&cache, "org/name").await.unwrap();
    let again = hub.requests();
    assert!(
        again.iter().all(|request| request.method == "HEAD"),
        "nothing is downloaded twice"
    );
}

#[tokio::test]
async fn a_revision_is_asked_for_by_its_name() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    let files = hub.open(&cache, "org/name@refs/pr/1").await.unwrap();
    assert_eq!(files.name(), "org/name@refs/pr/1");
    assert!(
        cache
            .path()
            .join("models--org--name/refs/refs/pr/1")
            .is_file()
    );
}

#[tokio::test]
async fn a_torn_download_goes_on_where_it_broke() {
    let mut files = files_of("gelu");
    files.get_mut("model.safetensors").unwrap().breaks_once = true;
    let hub = TestHub::serve(files).await;
    let cache = tempfile::tempdir().unwrap();
    let model = Model::load(hub.open(&cache, "org/name").await.unwrap()).unwrap();
    assert_eq!(
        model.digest(),
        hex(&golden::bytes("gelu/model.safetensors"))
    );
    let requests = hub.requests();
    let ranges = requests.iter().filter(|request| request.range.is_some());
    assert!(ranges.count() >= 1, "the rest was asked for by range");
    assert!(
        !files_below(cache.path())
            .iter()
            .any(|name| name.starts_with(".incomplete"))
    );
}

#[tokio::test]
async fn a_file_of_another_hash_never_reaches_its_place() {
    let mut files = files_of("gelu");
    files.get_mut("model.safetensors").unwrap().wrong_hash = true;
    let hub = TestHub::serve(files).await;
    let cache = tempfile::tempdir().unwrap();
    let error = hub.open(&cache, "org/name").await.unwrap_err();
    assert!(matches!(error, ClipError::Download { .. }), "{error}");
    assert!(error.to_string().contains("SHA-256"), "{error}");
    let left = files_below(cache.path());
    assert!(
        !left
            .iter()
            .any(|name| name == "model.safetensors" || name.starts_with(".incomplete")),
        "{left:?}"
    );
}

#[tokio::test]
async fn what_the_hub_refuses_is_said() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    let error = hub
        .open(&cache, "org/absent")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("404") && error.contains("org/absent"),
        "{error}"
    );
    let error = hub.open(&cache, "org/gated").await.unwrap_err().to_string();
    assert!(
        error.contains("401") && error.contains("HF_TOKEN"),
        "{error}"
    );

    let mut files = files_of("gelu");
    files.remove("model.safetensors");
    let hub = TestHub::serve(files).await;
    let error = hub.open(&cache, "org/name").await.unwrap_err();
    assert!(matches!(error, ClipError::MissingFile { .. }), "{error}");
    assert!(error.to_string().contains("safetensors"), "{error}");
}

#[tokio::test]
async fn offline_takes_the_cache_and_nothing_else() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    let repo = HubRepo::parse("org/name").unwrap();
    let offline = || {
        Hub::new(HubOptions {
            offline: true,
            ..hub.options(&cache)
        })
        .unwrap()
    };
    let error = offline().files(&repo).await.unwrap_err();
    assert!(matches!(error, ClipError::Offline { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(hub.requests().is_empty());

    hub.open(&cache, "org/name").await.unwrap();
    hub.requests();
    assert_eq!(offline().files(&repo).await.unwrap().name(), "org/name");
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn a_hub_that_is_down_costs_nothing_where_the_cache_has_the_model() {
    let cache = tempfile::tempdir().unwrap();
    let hub = TestHub::of("gelu").await;
    hub.open(&cache, "org/name").await.unwrap();
    // A port on which nothing listens.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = HubOptions {
        endpoint: format!("http://{nowhere}"),
        ..hub.options(&cache)
    };
    let down = Hub::new(options).unwrap();
    let repo = HubRepo::parse("org/name").unwrap();
    assert_eq!(down.files(&repo).await.unwrap().name(), "org/name");
    let other = HubRepo::parse("org/other").unwrap();
    let error = down.files(&other).await.unwrap_err();
    assert!(matches!(error, ClipError::Download { .. }), "{error}");
    assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
}

#[tokio::test]
async fn weights_of_pytorch_are_taken_where_there_are_no_others() {
    let bytes = golden::bytes("pytorch_model.bin");
    let files = files_with("gelu", vec![("pytorch_model.bin", bytes.clone())]);
    let hub = TestHub::serve(files).await;
    let cache = tempfile::tempdir().unwrap();
    let model = Model::load(hub.open(&cache, "org/name").await.unwrap()).unwrap();
    assert_same(&model, "gelu");
    assert_eq!(model.digest(), hex(&bytes));

    hub.requests();
    hub.open(&cache, "org/name").await.unwrap();
    let again = hub.requests();
    assert!(
        again.iter().all(|request| request.method == "HEAD"),
        "that there is no model.safetensors is known"
    );
}

#[tokio::test]
async fn all_shards_are_downloaded() {
    let hub = TestHub::serve(files_with("gelu", sharded("gelu"))).await;
    let cache = tempfile::tempdir().unwrap();
    let model = Model::load(hub.open(&cache, "org/name").await.unwrap()).unwrap();
    assert_same(&model, "gelu");

    let mut weights = sharded("gelu");
    weights.pop();
    let hub = TestHub::serve(files_with("gelu", weights)).await;
    let cache = tempfile::tempdir().unwrap();
    let error = hub.open(&cache, "org/name").await.unwrap_err();
    assert!(matches!(error, ClipError::MissingFile { .. }), "{error}");
    assert!(error.to_string().contains("00002-of-00002"), "{error}");
}

#[tokio::test]
async fn what_a_snapshot_lacks_is_fetched() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    let preprocessor = snapshot(&cache).join("preprocessor_config.json");
    fs::remove_file(&preprocessor).unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    assert!(preprocessor.is_file());
}

#[tokio::test]
async fn a_complete_cache_is_not_written_to() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    // As another program leaves it, which does not know what else we ask for.
    fs::remove_dir_all(cache.path().join("models--org--name/.no_exist")).unwrap();
    let reference = cache.path().join("models--org--name/refs/main");
    let places = [snapshot(&cache), reference];
    let before = places.each_ref().map(|path| age(path));
    hub.open(&cache, "org/name").await.unwrap();
    let after = places.map(|path| fs::metadata(path).unwrap().modified().unwrap());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_hub_without_answer_is_asked_once_where_the_cache_has_the_model() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    hub.requests();
    hub.shared.overloaded.store(true, Ordering::Relaxed);
    let files = hub.open(&cache, "org/name").await.unwrap();
    assert_eq!(files.name(), "org/name");
    assert_eq!(hub.requests().len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn downloaded_files_have_the_usual_mode() {
    use std::os::unix::fs::PermissionsExt;
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    let usual = cache.path().join("usual");
    fs::write(&usual, b"").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let weights = snapshot(&cache).join("model.safetensors");
    assert_eq!(mode(&weights), mode(&usual));
}

#[tokio::test]
async fn what_a_killed_download_left_is_removed() {
    let hub = TestHub::of("gelu").await;
    let cache = tempfile::tempdir().unwrap();
    hub.open(&cache, "org/name").await.unwrap();
    let old = snapshot(&cache).join(".incomplete-old");
    let running = snapshot(&cache).join(".incomplete-running");
    fs::write(&old, b"half").unwrap();
    fs::write(&running, b"half").unwrap();
    age(&old);
    hub.open(&cache, "org/name").await.unwrap();
    assert!(!old.exists());
    assert!(running.exists(), "another process is at it");
}
