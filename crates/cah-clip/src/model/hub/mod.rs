//! Models from the Hugging Face hub, kept in the cache that its own tools use.
//!
//! The layout is `models--org--name/{refs/REVISION, snapshots/COMMIT/FILE, .no_exist/COMMIT/FILE}`: what
//! `huggingface_hub` has downloaded, or knows not to be there, is found here, and the other way round. A file is
//! downloaded beside its place and renamed when its size, and its SHA-256 where the hub names it, are right.

mod options;
mod transfer;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) use options::is_name;
pub use options::{HubOptions, HubRepo};
use transfer::Transfer;

use super::{
    files::{CONFIG, ModelFiles, ModelSource, NO_WEIGHTS, SMALL_FILES},
    weights,
};
use crate::error::ClipError;

/// The hub, or a mirror of it, and the cache on this machine.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    transfer: Transfer,
}

impl ModelFiles {
    /// Opens what a user named: a folder as it is, a repository of the hub after downloading it.
    ///
    /// # Errors
    /// Those of [`ModelFiles::from_folder`] and [`Hub::files`].
    pub async fn open(source: &ModelSource, options: HubOptions) -> Result<Self, ClipError> {
        match source {
            ModelSource::Folder(folder) => Self::from_folder(folder),
            ModelSource::Hub(repo) => Hub::new(options)?.files(repo).await,
        }
    }
}

impl Hub {
    /// A client for the hub.
    ///
    /// # Errors
    /// [`ClipError::Download`] where the endpoint is no address.
    pub fn new(options: HubOptions) -> Result<Self, ClipError> {
        let transfer = Transfer::new(&options)?;
        Ok(Self { options, transfer })
    }

    /// The files of a model: from the cache where it is complete and up to date, else downloaded.
    ///
    /// Where the hub can't be reached and the cache has the model, the cache is taken.
    ///
    /// # Errors
    /// [`ClipError::HubRefused`], [`ClipError::Download`], [`ClipError::Offline`],
    /// [`ClipError::CacheWrite`], [`ClipError::MissingFile`].
    pub async fn files(&self, repo: &HubRepo) -> Result<ModelFiles, ClipError> {
        let cached = self.cached(repo);
        let files = if self.options.offline {
            cached.ok_or_else(|| ClipError::Offline {
                model: repo.to_string(),
                cache: self.options.cache.clone(),
            })?
        } else {
            match (self.download(repo, cached.is_some()).await, cached) {
                (Err(error @ ClipError::Download { .. }), Some(cached)) => {
                    tracing::warn!(%error, "the hub can't be reached; taking {repo} from the cache");
                    cached
                }
                (folder, _) => ModelFiles::from_folder(folder?)?,
            }
        };
        Ok(files.named(repo.to_string()))
    }

    /// Downloads what the snapshot lacks; with a model in the cache no time is lost on a hub that does not answer.
    async fn download(&self, repo: &HubRepo, cached: bool) -> Result<PathBuf, ClipError> {
        let snapshot = Snapshot {
            hub: self,
            repo,
            commit: self.commit(repo, cached).await?,
        };
        let folder = snapshot.folder();
        create_folder(&folder)?;
        transfer::remove_abandoned(&folder);
        for file in SMALL_FILES {
            // Which of them must be there is for ModelFiles to say.
            snapshot.fetch(file).await?;
        }
        snapshot.fetch_weights().await?;
        let reference = self.home(repo).join("refs").join(repo.revision());
        write_reference(&reference, &snapshot.commit)?;
        Ok(folder)
    }

    /// The commit that the revision stands for; its own name where the server doesn't say.
    async fn commit(&self, repo: &HubRepo, cached: bool) -> Result<String, ClipError> {
        let url = self.url(repo, CONFIG);
        let answer = match cached {
            true => self.transfer.head_once(&url).await?,
            false => self.transfer.head(&url).await?,
        };
        if answer.status == 404 {
            return Err(ClipError::HubRefused { url, status: 404 });
        }
        let commit = answer.commit.filter(|commit| is_name(commit));
        Ok(commit.unwrap_or_else(|| repo.revision().replace('/', "--")))
    }

    fn url(&self, repo: &HubRepo, file: &str) -> String {
        let revision = repo.revision().replace('/', "%2F");
        let endpoint = self.options.endpoint.trim_end_matches('/');
        format!("{endpoint}/{}/resolve/{revision}/{file}", repo.id())
    }

    fn home(&self, repo: &HubRepo) -> PathBuf {
        let folder = format!("models--{}", repo.id().replace('/', "--"));
        self.options.cache.join(folder)
    }

    /// The model as the cache holds it for the revision, if all that it needs is there.
    fn cached(&self, repo: &HubRepo) -> Option<ModelFiles> {
        let home = self.home(repo);
        let commit = fs::read_to_string(home.join("refs").join(repo.revision())).ok();
        let commit = commit.as_deref().map_or(repo.revision(), str::trim);
        let folder = home.join("snapshots").join(commit);
        is_name(commit)
            .then(|| ModelFiles::from_folder(folder).ok())
            .flatten()
    }
}

/// A commit of a repository, of which the cache may have a part.
struct Snapshot<'a> {
    hub: &'a Hub,
    repo: &'a HubRepo,
    commit: String,
}

impl Snapshot<'_> {
    fn folder(&self) -> PathBuf {
        let home = self.hub.home(self.repo);
        home.join("snapshots").join(&self.commit)
    }

    /// Makes sure that a file is there; `false` where the repository has none.
    async fn fetch(&self, file: &str) -> Result<bool, ClipError> {
        let target = self.folder().join(file);
        let home = self.hub.home(self.repo);
        let absent = home.join(".no_exist").join(&self.commit).join(file);
        if target.is_file() {
            return Ok(true);
        }
        if absent.is_file() {
            return Ok(false);
        }
        let url = self.hub.url(self.repo, file);
        let found = self.hub.transfer.download(&url, &target).await?;
        // Only saves the question next time, so a cache that can't be written is no error here.
        if !found && absent.parent().is_some_and(|to| create_folder(to).is_ok()) {
            let _ = fs::File::create(&absent);
        }
        Ok(found)
    }

    /// The weights in the first format that the repository has.
    async fn fetch_weights(&self) -> Result<(), ClipError> {
        if self.fetch(weights::WHOLE).await? {
            return Ok(());
        }
        if self.fetch(weights::INDEX).await? {
            return self.fetch_shards().await;
        }
        match self.fetch(weights::PYTORCH).await? {
            true => Ok(()),
            false => Err(self.missing(weights::WHOLE, NO_WEIGHTS)),
        }
    }

    async fn fetch_shards(&self) -> Result<(), ClipError> {
        let folder = self.folder();
        let path = folder.join(weights::INDEX);
        let index = fs::read(&path).map_err(|source| ClipError::Read { path, source })?;
        let shards =
            weights::shards(&index).map_err(|error| error.within(&folder.display().to_string()))?;
        for shard in shards {
            if !self.fetch(&shard).await? {
                let mend = "its index names it; take another revision or model";
                return Err(self.missing(&shard, mend));
            }
        }
        Ok(())
    }

    fn missing(&self, file: &str, mend: &'static str) -> ClipError {
        ClipError::MissingFile {
            model: self.repo.to_string(),
            file: file.to_owned(),
            mend,
        }
    }
}

fn create_folder(path: &Path) -> Result<(), ClipError> {
    fs::create_dir_all(path).map_err(|source| cache_error(path, source))
}

/// A complete cache may be read-only, so nothing is written that stands there already.
fn write_reference(path: &Path, commit: &str) -> Result<(), ClipError> {
    if fs::read_to_string(path).is_ok_and(|found| found.trim() == commit) {
        return Ok(());
    }
    path.parent().map_or(Ok(()), create_folder)?;
    fs::write(path, commit).map_err(|source| cache_error(path, source))
}

fn cache_error(path: &Path, source: std::io::Error) -> ClipError {
    ClipError::CacheWrite {
        path: path.to_owned(),
        source,
    }
}
