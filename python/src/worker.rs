//! `Worker`: one worker of a tracker, of any kind.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cah_protocol::WorkerType;
use crawlingathome::{
    Client, ClientConfig, ClientError, Cpu, DownloadOptions, Dump, Gpu, Hybrid, Kind, RetryPolicy,
    UploadError, UploadOptions, WholeWat, WholeWatClient, distcompute,
};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{
    call::{Answer, EventLoop, Outcome, call},
    errors::Failure,
    of::{Of, Wanted},
    protocol::{Job, Protocol, Stage, Work},
    runtime::runtime,
};

/// One worker of a tracker, and the job that it holds.
#[pyclass(frozen, module = "crawlingathome._native")]
pub(crate) struct Worker {
    /// Locked only while the interpreter is held, and so never found locked by a process that was
    /// forked.
    here: Mutex<Here>,
}

/// A worker with the connections and heartbeats of a process.
struct Here {
    process: u32,
    worker: AnyKind,
}

#[derive(Clone)]
enum AnyKind {
    Hybrid(Of<Hybrid>),
    Cpu(Of<Cpu>),
    Gpu(Of<Gpu>),
    Stage(Of<Stage>),
}

/// The same for each kind.
macro_rules! each {
    ($worker:expr, $of:ident => $what:expr) => {
        match $worker {
            AnyKind::Hybrid($of) => $what,
            AnyKind::Cpu($of) => $what,
            AnyKind::Gpu($of) => $what,
            AnyKind::Stage($of) => $what,
        }
    };
}

/// The same for each kind of Crawling@Home's; DistCompute has nothing of the like.
macro_rules! each_crawler {
    ($worker:expr, $of:ident => $what:expr) => {
        match $worker {
            AnyKind::Hybrid($of) => Some($what),
            AnyKind::Cpu($of) => Some($what),
            AnyKind::Gpu($of) => Some($what),
            AnyKind::Stage(_) => None,
        }
    };
}

/// How patient a client is, in seconds: with the first call, with each further one (nothing: for
/// ever), and between two signs of life.
type Patience = (Option<f64>, Option<f64>, f64);

#[pymethods]
impl Worker {
    /// Introduces a new worker of Crawling@Home: HYBRID, CPU or GPU.
    #[staticmethod]
    #[pyo3(signature = (url, nickname, worker_type, patience, r#loop=None))]
    fn connect<'py>(
        py: Python<'py>,
        url: &str,
        nickname: &str,
        worker_type: &str,
        patience: Patience,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let config = config(url, nickname, patience)?;
        let worker_type: WorkerType =
            worker_type
                .parse()
                .map_err(|unknown: cah_protocol::UnknownWorkerType| {
                    PyValueError::new_err(unknown.to_string())
                })?;
        let connecting = async move {
            Ok(match worker_type {
                WorkerType::Hybrid => AnyKind::Hybrid(introduce(config).await?),
                WorkerType::Cpu => AnyKind::Cpu(introduce(config).await?),
                WorkerType::Gpu => AnyKind::Gpu(introduce(config).await?),
            })
        };
        call(py, r#loop, connecting, |worker| Ok(Self::of(worker?)))
    }

    /// Introduces a new worker of one of DistCompute's stages, by its letter or name.
    #[staticmethod]
    #[pyo3(signature = (url, nickname, stage, patience, r#loop=None))]
    fn connect_stage<'py>(
        py: Python<'py>,
        url: &str,
        nickname: &str,
        stage: String,
        patience: Patience,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let config = config(url, nickname, patience)?;
        let connecting = async move {
            let client = distcompute::Client::connect(config, &stage).await?;
            Ok(AnyKind::Stage(Of::new(client, None)))
        };
        call(py, r#loop, connecting, |worker| Ok(Self::of(worker?)))
    }

    /// The worker of a dump, which is JSON, and its job; the tracker is not asked.
    #[staticmethod]
    fn load(py: Python<'_>, dump: &str, patience: Patience) -> PyResult<Self> {
        let dump: Dump = serde_json::from_str(dump)
            .map_err(|error| Failure::from(ClientError::Dump(error.to_string())))?;
        let worker_type = dump.worker_type().map_err(Failure::from)?;
        let config = config(&dump.url, &dump.nickname, patience)?;
        let _context = runtime(py)?.enter();
        let loaded = match worker_type {
            WorkerType::Hybrid => loaded(&dump, config).map(AnyKind::Hybrid),
            WorkerType::Cpu => loaded(&dump, config).map(AnyKind::Cpu),
            WorkerType::Gpu => loaded(&dump, config).map(AnyKind::Gpu),
        };
        Ok(Self::of(loaded.map_err(Failure::from)?))
    }

    /// A Crawling@Home worker and its job, as JSON.
    fn dump(&self, py: Python<'_>) -> PyResult<String> {
        let dump = each_crawler!(self.worker(py)?, of => {
            let dump = of.client.dump();
            match of.held() {
                Some(lease) => Dump { upload_address: dump.upload_address, ..lease.dump() },
                None => dump,
            }
        });
        let dump = dump.ok_or_else(|| ClientError::Dump("it is no Crawling@Home worker".into()));
        let dump = dump.map_err(Failure::from)?;
        Ok(serde_json::to_string(&dump).expect("a dump is texts and numbers"))
    }

    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        Ok(each!(self.worker(py)?, of => url(&of).to_owned()))
    }

    #[getter]
    fn token(&self, py: Python<'_>) -> PyResult<String> {
        Ok(each!(self.worker(py)?, of => token(&of).to_owned()))
    }

    #[getter]
    fn nickname(&self, py: Python<'_>) -> PyResult<String> {
        Ok(each!(self.worker(py)?, of => nickname(&of).to_owned()))
    }

    #[getter]
    fn display_name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(each!(self.worker(py)?, of => display_name(&of).to_owned()))
    }

    /// Where results are brought; nothing for a stage of DistCompute.
    #[getter]
    fn upload_address(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(each_crawler!(self.worker(py)?, of => of.client.upload_address()))
    }

    /// The project and the name of the stage; nothing for Crawling@Home.
    #[getter]
    fn stage(&self, py: Python<'_>) -> PyResult<Option<(String, String)>> {
        Ok(match self.worker(py)? {
            AnyKind::Stage(of) => {
                let (project, stage) = (of.client.project(), of.client.stage_name());
                Some((project.to_owned(), stage.to_owned()))
            }
            _ => None,
        })
    }

    /// The job that is held.
    #[getter]
    fn job(&self, py: Python<'_>) -> PyResult<Option<Job>> {
        Ok(each!(self.worker(py)?, of => job(&of)))
    }

    /// The number of open jobs.
    #[pyo3(signature = (r#loop=None))]
    fn job_count<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.job_count(py, r#loop))
    }

    /// Leases a job and answers what `job` is then; one that is held still counts as failed.
    #[pyo3(signature = (r#loop=None))]
    fn new_job<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.new_job(py, r#loop))
    }

    /// Completes the job with its number of pairs.
    #[pyo3(signature = (pairs, r#loop=None))]
    fn complete_pairs<'py>(
        &self,
        py: Python<'py>,
        pairs: u64,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        each!(self.worker(py)?, of => of.complete(py, Work::Pairs(pairs), r#loop))
    }

    /// Completes the job with what it hands over.
    #[pyo3(signature = (text, r#loop=None))]
    fn complete_text<'py>(
        &self,
        py: Python<'py>,
        text: String,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        each!(self.worker(py)?, of => of.complete(py, Work::Text(text), r#loop))
    }

    /// Says that what another worker handed over cannot be used.
    #[pyo3(signature = (r#loop=None))]
    fn flag_invalid<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.flag_invalid(py, r#loop))
    }

    /// Gives the job back because it cannot be done.
    #[pyo3(signature = (reason, r#loop=None))]
    fn fail<'py>(&self, py: Python<'py>, reason: String, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.fail(py, reason, r#loop))
    }

    /// Gives the job back without a word; does nothing where none is held.
    #[pyo3(signature = (r#loop=None))]
    fn give_back<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.give_back(py, r#loop))
    }

    /// Tells what the worker is doing.
    #[pyo3(signature = (text, r#loop=None))]
    fn log<'py>(&self, py: Python<'py>, text: String, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.log(py, text, r#loop))
    }

    /// Whether the tracker still knows this worker.
    #[pyo3(signature = (r#loop=None))]
    fn is_alive<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.is_alive(py, r#loop))
    }

    /// Asks where to bring results from now on; nothing for a stage of DistCompute.
    #[pyo3(signature = (r#loop=None))]
    fn update_upload_address<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        let worker = self.worker(py)?;
        let asking = async move {
            each_crawler!(worker, of => of.client.update_upload_address().await)
                .transpose()
                .map_err(Failure::from)
        };
        call(py, r#loop, asking, |address| Ok(address?))
    }

    /// Downloads the job's files into a folder and answers where they are: the WAT file, or for a
    /// GPU worker the folder into which the archive was extracted.
    #[pyo3(signature = (folder, piece_only, allow_private_addresses, r#loop=None))]
    fn download_shard<'py>(
        &self,
        py: Python<'py>,
        folder: PathBuf,
        piece_only: bool,
        allow_private_addresses: Option<bool>,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let worker = self.worker(py)?;
        let wanted = Wanted {
            folder,
            piece_only,
            allow_private_addresses,
        };
        each_crawler!(worker, of => of.download_shard(py, wanted, r#loop))
            .unwrap_or_else(|| Err(Failure::NoJob.into()))
    }

    /// Brings a file to a CPU worker's upload address and answers what to complete the job with.
    #[pyo3(signature = (file, allow_private_addresses, r#loop=None))]
    fn upload<'py>(
        &self,
        py: Python<'py>,
        file: PathBuf,
        allow_private_addresses: Option<bool>,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let mut options = UploadOptions::default();
        options.allow_private_addresses = allow_private_addresses;
        let worker = self.worker(py)?;
        let uploading = async move {
            match worker {
                AnyKind::Cpu(of) => {
                    let url = of.client.upload_with(&file, &options).await;
                    url.map_err(Failure::Upload)
                }
                _ => Err(Failure::Upload(UploadError::NoAddress)),
            }
        };
        call(py, r#loop, uploading, |url| Ok(url?))
    }

    /// Asks for a whole WAT file: the `wat` and the `shards` of a dump, the second as JSON.
    #[pyo3(signature = (r#loop=None))]
    fn next_wat<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        let client = self.of_whole_wats(py)?;
        let asking = async move {
            let wat = client.next_wat().await?;
            Ok(client.dump(Some(&wat)))
        };
        call(py, r#loop, asking, |dump| {
            let dump = dump?;
            Ok((dump.wat, dump.shards.unwrap_or_default().to_string()))
        })
    }

    /// Downloads a whole WAT file into a folder and answers where it is.
    #[pyo3(signature = (wat, folder, allow_private_addresses, r#loop=None))]
    fn download_wat<'py>(
        &self,
        py: Python<'py>,
        wat: (String, String),
        folder: PathBuf,
        allow_private_addresses: Option<bool>,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let (client, wat) = (self.of_whole_wats(py)?, whole_wat(wat)?);
        let mut options = DownloadOptions::default();
        options.allow_private_addresses = allow_private_addresses;
        let downloading = async move {
            let path = client.download(&wat, &folder, &options).await;
            path.map_err(Failure::Download)
        };
        call(py, r#loop, downloading, |path| Ok(path?))
    }

    /// Hands over what was made of shards of a whole WAT file, by their numbers, and answers how
    /// many of them the tracker took.
    #[pyo3(signature = (wat, urls, r#loop=None))]
    fn complete_wat<'py>(
        &self,
        py: Python<'py>,
        wat: (String, String),
        urls: BTreeMap<u64, String>,
        r#loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let (client, wat) = (self.of_whole_wats(py)?, whole_wat(wat)?);
        let handing_over = async move { Ok(client.complete(&wat, &urls).await?) };
        call(py, r#loop, handing_over, |completed| Ok(completed?))
    }

    /// Leaves the tracker, which re-opens the job.
    #[pyo3(signature = (r#loop=None))]
    fn bye<'py>(&self, py: Python<'py>, r#loop: EventLoop<'py>) -> Answer<'py> {
        each!(self.worker(py)?, of => of.bye(py, r#loop))
    }
}

impl Worker {
    fn of(worker: AnyKind) -> Self {
        Self {
            here: Mutex::new(Here::new(worker)),
        }
    }

    fn of_whole_wats(&self, py: Python<'_>) -> PyResult<WholeWatClient> {
        match self.worker(py)? {
            AnyKind::Cpu(of) => Ok(of.client.into()),
            _ => Err(PyValueError::new_err(
                "only a CPU worker takes whole WAT files",
            )),
        }
    }

    /// The worker, in this process.
    fn worker(&self, py: Python<'_>) -> PyResult<AnyKind> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.is_elsewhere() {
            let _context = runtime(py)?.enter();
            let worker = each!(&here.worker, of => of.afresh().map(AnyKind::from));
            let worker = worker.map_err(Failure::from)?;
            // What came along from the other process belongs to threads that are not here.
            std::mem::forget(std::mem::replace(&mut *here, Here::new(worker)));
        }
        Ok(here.worker.clone())
    }
}

impl Here {
    fn new(worker: AnyKind) -> Self {
        Self {
            process: std::process::id(),
            worker,
        }
    }

    fn is_elsewhere(&self) -> bool {
        self.process != std::process::id()
    }
}

impl Drop for Here {
    /// The job stays with the worker, which may have been dumped; the tracker re-opens it once the
    /// worker has been silent for long enough.
    fn drop(&mut self) {
        match self.is_elsewhere() {
            true => std::mem::forget(self.worker.clone()),
            false => each!(&self.worker, of => of.let_go()),
        }
    }
}

impl From<Of<Hybrid>> for AnyKind {
    fn from(of: Of<Hybrid>) -> Self {
        Self::Hybrid(of)
    }
}

impl From<Of<Cpu>> for AnyKind {
    fn from(of: Of<Cpu>) -> Self {
        Self::Cpu(of)
    }
}

impl From<Of<Gpu>> for AnyKind {
    fn from(of: Of<Gpu>) -> Self {
        Self::Gpu(of)
    }
}

impl From<Of<Stage>> for AnyKind {
    fn from(of: Of<Stage>) -> Self {
        Self::Stage(of)
    }
}

async fn introduce<K>(config: ClientConfig) -> Outcome<Of<K>>
where
    K: Kind + Protocol<Client = Client<K>>,
{
    Ok(Of::new(Client::connect(config).await?, None))
}

fn loaded<K>(dump: &Dump, config: ClientConfig) -> Result<Of<K>, ClientError>
where
    K: Kind + Protocol<Client = Client<K>, Lease = crawlingathome::Lease<K>>,
{
    let (client, lease) = Client::load(dump, config)?;
    Ok(Of::new(client, lease))
}

/// The WAT file of a dump's `wat` and `shards`.
fn whole_wat((url, shards): (String, String)) -> Result<WholeWat, Failure> {
    let malformed = |error: serde_json::Error| ClientError::Dump(error.to_string());
    let dump = Dump {
        wat: Some(url),
        shards: Some(serde_json::from_str(&shards).map_err(malformed)?),
        ..Dump::default()
    };
    Ok(WholeWat::load(&dump)?.expect("the dump has one"))
}

fn url<P: Protocol>(of: &Of<P>) -> &str {
    P::url(&of.client)
}

fn token<P: Protocol>(of: &Of<P>) -> &str {
    P::token(&of.client)
}

fn nickname<P: Protocol>(of: &Of<P>) -> &str {
    P::nickname(&of.client)
}

fn display_name<P: Protocol>(of: &Of<P>) -> &str {
    P::display_name(&of.client)
}

fn job<P: Protocol>(of: &Of<P>) -> Option<Job> {
    of.held().map(|lease| P::job(&lease))
}

fn config(url: &str, nickname: &str, patience: Patience) -> PyResult<ClientConfig> {
    let (introduction, further, heartbeat) = patience;
    let mut config = ClientConfig::new(url, nickname);
    config.introduction = retry(introduction)?;
    config.retry = retry(further)?;
    config.heartbeat = seconds(heartbeat)?;
    Ok(config)
}

fn retry(give_up_after: Option<f64>) -> PyResult<RetryPolicy> {
    Ok(RetryPolicy {
        give_up_after: give_up_after.map(seconds).transpose()?,
        ..RetryPolicy::default()
    })
}

fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!(
            "{seconds} is no number of seconds; give one from 0 on, or None for no limit"
        ))
    })
}
