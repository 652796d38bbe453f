//! Models from the Hugging Face hub, kept in the cache that its own tools use.
//!
//! The layout is `models--org--name/{refs/REVISION, snapshots/COMMIT/FILE}`: what `huggingface_hub` has
//! downloaded is found here, and the other way round. A file is downloaded beside its place and renamed when its
//! size, and its SHA-256 where the hub names it, are right.

mod options;
mod transfer;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use options::{HubOptions, HubRepo};
use transfer::Transfer;

use super::files::{
    CAH, CONFIG, MERGES, ModelFiles, ModelSource, NO_WEIGHTS, PREPROCESSOR, TOKENIZER, VOCAB,
    WEIGHTS,
};
use crate::error::ClipError;

/// What is asked for in this order; the weights last, since they make a snapshot complete.
const FILES: [&str; 7] = [CONFIG, PREPROCESSOR, VOCAB, MERGES, TOKENIZER, CAH, WEIGHTS];

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
        let cached = self.cached_snapshot(repo);
        let folder = if self.options.offline {
            cached.ok_or_else(|| ClipError::Offline {
                model: repo.to_string(),
                cache: self.options.cache.clone(),
            })?
        } else {
            match (self.download(repo).await, cached) {
                (Err(error @ ClipError::Download { .. }), Some(folder)) => {
                    tracing::warn!(%error, "the hub can't be reached; taking {repo} from the cache");
                    folder
                }
                (result, _) => result?,
            }
        };
        Ok(ModelFiles::from_folder(folder)?.named(repo.to_string()))
    }

    async fn download(&self, repo: &HubRepo) -> Result<PathBuf, ClipError> {
        let commit = self.commit(repo).await?;
        let home = self.home(repo);
        let snapshot = home.join("snapshots").join(&commit);
        create_folder(&snapshot)?;
        if !is_complete(&snapshot) {
            for file in FILES {
                self.download_file(repo, file, &snapshot).await?;
            }
        }
        write_reference(&home.join("refs").join(repo.revision()), &commit)?;
        Ok(snapshot)
    }

    /// The commit that the revision stands for; its own name where the server doesn't say.
    async fn commit(&self, repo: &HubRepo) -> Result<String, ClipError> {
        let url = self.url(repo, CONFIG);
        let answer = self.transfer.head(&url).await?;
        if answer.status == 404 {
            return Err(ClipError::HubRefused { url, status: 404 });
        }
        let commit = answer.commit.filter(|commit| options::is_name(commit));
        Ok(commit.unwrap_or_else(|| repo.revision().replace('/', "--")))
    }

    async fn download_file(
        &self,
        repo: &HubRepo,
        file: &str,
        snapshot: &Path,
    ) -> Result<(), ClipError> {
        let target = snapshot.join(file);
        if target.is_file() {
            return Ok(());
        }
        let found = self
            .transfer
            .download(&self.url(repo, file), &target)
            .await?;
        match file {
            WEIGHTS if !found => Err(ClipError::MissingFile {
                model: repo.to_string(),
                file: file.to_owned(),
                mend: NO_WEIGHTS,
            }),
            // Which of the others must be there is for ModelFiles to say.
            _ => Ok(()),
        }
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

    /// The complete snapshot that the cache holds for the revision.
    fn cached_snapshot(&self, repo: &HubRepo) -> Option<PathBuf> {
        let home = self.home(repo);
        let commit = fs::read_to_string(home.join("refs").join(repo.revision())).ok();
        let commit = commit.as_deref().map_or(repo.revision(), str::trim);
        options::is_name(commit)
            .then(|| home.join("snapshots").join(commit))
            .filter(|snapshot| is_complete(snapshot))
    }
}

fn is_complete(snapshot: &Path) -> bool {
    let has = |file: &str| snapshot.join(file).is_file();
    has(CONFIG) && has(WEIGHTS) && (has(TOKENIZER) || (has(VOCAB) && has(MERGES)))
}

fn create_folder(path: &Path) -> Result<(), ClipError> {
    fs::create_dir_all(path).map_err(|source| cache_error(path, source))
}

fn write_reference(path: &Path, commit: &str) -> Result<(), ClipError> {
    path.parent().map_or(Ok(()), create_folder)?;
    fs::write(path, commit).map_err(|source| cache_error(path, source))
}

fn cache_error(path: &Path, source: std::io::Error) -> ClipError {
    ClipError::CacheWrite {
        path: path.to_owned(),
        source,
    }
}
