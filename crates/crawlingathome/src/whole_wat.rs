//! Workers that take whole WAT files, both shards at once and without a lease.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cah_protocol::{JobResponse, Shard, WorkerType, check_result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ClientConfig, ClientError, CpuClient, DownloadError, DownloadOptions, Dump, api::Api,
    retry::jittered,
};

/// A WAT file with both of its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholeWat {
    /// Where it is.
    pub url: String,
    /// Its shards, as the tracker told them.
    pub shards: Vec<Shard>,
}

/// A worker that takes whole WAT files from WAT to images, the reference's `FullWATClient`. Clones
/// are the same worker.
///
/// Nobody holds such a file: another worker may hand its shards in first.
///
/// ```no_run
/// # async fn work(_: &crawlingathome::Shard) -> String { String::new() }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::collections::BTreeMap;
/// use crawlingathome::{ClientConfig, DownloadOptions, WholeWatClient};
///
/// let config = ClientConfig::new("http://127.0.0.1:8080", "anna");
/// let client = WholeWatClient::connect(config).await?;
/// let wat = client.next_wat().await?;
/// client.download(&wat, ".".as_ref(), &DownloadOptions::default()).await?;
/// let mut urls = BTreeMap::new();
/// for shard in &wat.shards {
///     urls.insert(shard.number, work(shard).await);
/// }
/// client.complete(&wat, &urls).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WholeWatClient {
    worker: CpuClient,
}

/// A shard as these calls and dumps have it, its number before it.
#[derive(Deserialize, Serialize)]
struct Numbered(u64, Job);

#[derive(Deserialize, Serialize)]
struct Job {
    url: String,
    start_id: String,
    end_id: String,
    shard: u8,
}

#[derive(Deserialize)]
struct Lookup {
    status: String,
    #[serde(default)]
    shards: Vec<Numbered>,
}

#[derive(Serialize)]
struct HandIn<'a> {
    shards: Vec<u64>,
    urls: &'a BTreeMap<u64, String>,
    nickname: &'a str,
    token: &'a str,
    #[serde(rename = "type")]
    worker_type: WorkerType,
}

#[derive(Deserialize)]
struct HandedIn {
    completed: u64,
}

impl WholeWatClient {
    /// The type in the dump of such a worker.
    pub const DUMP_TYPE: &str = "FULLWAT";

    /// Introduces a new worker to the tracker, which takes it for a CPU worker.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect).
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        CpuClient::connect(config).await.map(Self::from)
    }

    /// The worker that was dumped, and the file that it had then; see
    /// [`Client::load`](crate::Client::load).
    ///
    /// # Errors
    /// [`ClientError::Dump`] for the dump of another kind of worker, and for nonsense.
    pub fn load(
        dump: &Dump,
        config: ClientConfig,
    ) -> Result<(Self, Option<WholeWat>), ClientError> {
        if dump._type != Self::DUMP_TYPE {
            return Err(ClientError::Dump(format!(
                "it is a {} worker's, not one's that takes whole WAT files",
                dump._type
            )));
        }
        let worker = Dump {
            _type: WorkerType::Cpu.to_string(),
            shard: None,
            ..dump.clone()
        };
        let (worker, _) = CpuClient::load(&worker, config)?;
        Ok((Self { worker }, WholeWat::load(dump)?))
    }

    /// The worker as the tracker knows it, for all calls that are not about files: its name, the
    /// upload address and [`upload`](CpuClient::upload), [`log`](CpuClient::log),
    /// [`bye`](CpuClient::bye).
    pub fn worker(&self) -> &CpuClient {
        &self.worker
    }

    /// Asks for a WAT file whose shards are both open (`GET /custom/get-cpu-wat`,
    /// `POST /custom/lookup-wat`). Where the tracker names one that is not any more, it is asked
    /// again, for as long as the retry policy says.
    ///
    /// # Errors
    /// [`ClientError::ZeroJobs`] when there is none, and whatever the tracker says.
    pub async fn next_wat(&self) -> Result<WholeWat, ClientError> {
        let mut pauses = self.api().retry().start();
        loop {
            let url = self.api().get_text("custom/get-cpu-wat", &[]).await?;
            let url = url.trim();
            let body = json!({"url": url});
            let found: Lookup = self.api().post("custom/lookup-wat", &body).await?;
            if found.status == "success" {
                return WholeWat::of(url.to_owned(), found.shards);
            }
            let Some(pause) = pauses.next() else {
                return Err(ClientError::ZeroJobs(
                    "no WAT file has both of its shards open".into(),
                ));
            };
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    /// Writes the file, inflated, to `shard.wat` in a folder; see
    /// [`Client::download_shard`](crate::Client::download_shard).
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`].
    pub async fn download(
        &self,
        wat: &WholeWat,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<PathBuf, DownloadError> {
        let piece = cah_wat::Piece::Whole;
        self.worker
            .download_wat(&wat.url, piece, folder, options)
            .await
    }

    /// Hands over what was made of shards, by their numbers (`POST /custom/markasdone-cpu`). Tells
    /// how many of them the tracker took: the others were not open any more.
    ///
    /// # Errors
    /// [`ClientError::NotOfTheWat`] for another number, and whatever the tracker says.
    pub async fn complete(
        &self,
        wat: &WholeWat,
        urls: &BTreeMap<u64, String>,
    ) -> Result<u64, ClientError> {
        for (number, url) in urls {
            if !wat.shards.iter().any(|shard| shard.number == *number) {
                return Err(ClientError::NotOfTheWat(*number));
            }
            check_result(url)?;
        }
        let body = HandIn {
            shards: urls.keys().copied().collect(),
            urls,
            nickname: self.worker.nickname(),
            token: self.worker.token(),
            worker_type: WorkerType::Cpu,
        };
        let answer: HandedIn = self.api().post("custom/markasdone-cpu", &body).await?;
        Ok(answer.completed)
    }

    /// The worker with a file, or without one, to be loaded later.
    pub fn dump(&self, wat: Option<&WholeWat>) -> Dump {
        Dump {
            _type: Self::DUMP_TYPE.into(),
            wat: wat.map(|wat| wat.url.clone()),
            shards: wat.map(|wat| json!(wat.shards.iter().map(Numbered::from).collect::<Vec<_>>())),
            ..self.worker.dump()
        }
    }

    fn api(&self) -> &Api {
        &self.worker.session().api
    }
}

impl From<CpuClient> for WholeWatClient {
    fn from(worker: CpuClient) -> Self {
        Self { worker }
    }
}

impl WholeWat {
    /// The file that a worker had when it was dumped.
    ///
    /// # Errors
    /// [`ClientError::Dump`] for shards that are none.
    pub fn load(dump: &Dump) -> Result<Option<Self>, ClientError> {
        let Some(url) = &dump.wat else {
            return Ok(None);
        };
        let shards = serde_json::from_value(dump.shards.clone().unwrap_or_default());
        let shards = shards
            .map_err(|error| ClientError::Dump(format!("its shards make no sense: {error}")))?;
        Self::of(url.clone(), shards).map(Some)
    }

    fn of(url: String, shards: Vec<Numbered>) -> Result<Self, ClientError> {
        let shards = shards.into_iter().map(Shard::try_from);
        Ok(Self {
            url,
            shards: shards.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<Numbered> for Shard {
    type Error = cah_protocol::MalformedJob;

    fn try_from(Numbered(number, job): Numbered) -> Result<Self, Self::Error> {
        Self::try_from(JobResponse {
            url: job.url,
            start_id: job.start_id,
            end_id: job.end_id,
            shard: job.shard,
            number,
        })
    }
}

impl From<&Shard> for Numbered {
    fn from(shard: &Shard) -> Self {
        let job = JobResponse::from(shard.clone());
        Self(
            job.number,
            Job {
                url: job.url,
                start_id: job.start_id,
                end_id: job.end_id,
                shard: job.shard,
            },
        )
    }
}
