//! The kinds of workers, as far as they differ.

use std::path::{Path, PathBuf};

use crawlingathome::{
    Client, ClientError, CountsPairs, Cpu, DownloadOptions, Gpu, Hybrid, Kind, Lease, ReadsWats,
    Shard,
    distcompute::{self, Data},
};
use pyo3::IntoPyObject;

use crate::{call::Outcome, errors::Failure};

type Result<T> = std::result::Result<T, ClientError>;

/// What Python knows of a job, as a tuple.
#[derive(IntoPyObject)]
pub(crate) enum Job {
    /// Crawling@Home: number, url, start_id, end_id, piece.
    Shard((u64, String, u64, u64, u8)),
    /// DistCompute: number, and the data as it travelled.
    Data((u64, String)),
}

/// What was made of a job.
pub(crate) enum Work {
    /// So many pairs.
    Pairs(u64),
    /// What was handed over: a URL, or data as it travels.
    Text(String),
}

/// A kind of worker: what its client and its leases can do. Each method is the client library's of
/// the same name.
pub(crate) trait Protocol: 'static {
    type Client: Clone + Send + Sync + 'static;
    type Lease: Send + Sync + 'static;

    fn url(client: &Self::Client) -> &str;
    fn token(client: &Self::Client) -> &str;
    fn nickname(client: &Self::Client) -> &str;
    fn display_name(client: &Self::Client) -> &str;
    fn afresh(client: &Self::Client) -> Result<Self::Client>;
    fn adopt(client: &Self::Client, lease: &Self::Lease) -> Self::Lease;

    fn job_count(client: &Self::Client) -> impl Future<Output = Result<u64>> + Send;
    fn lease(client: &Self::Client) -> impl Future<Output = Result<Self::Lease>> + Send;
    fn is_alive(client: &Self::Client) -> impl Future<Output = Result<bool>> + Send;
    fn log(client: &Self::Client, text: &str) -> impl Future<Output = Result<()>> + Send;
    fn bye(client: &Self::Client) -> impl Future<Output = Result<()>> + Send;

    fn job(lease: &Self::Lease) -> Job;
    fn log_job(lease: &Self::Lease, text: &str) -> impl Future<Output = Result<()>> + Send;
    fn complete(lease: &Self::Lease, work: Work) -> impl Future<Output = Result<()>> + Send;
    fn flag_invalid(lease: &Self::Lease) -> impl Future<Output = Result<()>> + Send;
    fn fail(lease: &Self::Lease, reason: &str) -> impl Future<Output = Result<()>> + Send;
    fn give_back(lease: &Self::Lease) -> impl Future<Output = Result<()>> + Send;
    fn let_go(lease: &Self::Lease);
}

/// What the three kinds of Crawling@Home workers do differently.
pub(crate) trait Crawler: Kind + Sized {
    fn complete(lease: &Lease<Self>, work: Work) -> impl Future<Output = Result<()>> + Send;

    /// Downloads the files of a shard; gives where they are.
    fn download(
        client: &Client<Self>,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> impl Future<Output = Outcome<PathBuf>> + Send;

    /// Only a GPU worker gets what somebody else made.
    fn flag_invalid(_: &Lease<Self>) -> impl Future<Output = Result<()>> + Send {
        async { Err(not_for(Self::TYPE.as_str(), "flags nothing")) }
    }
}

impl Crawler for Hybrid {
    async fn download(
        client: &Client<Self>,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Outcome<PathBuf> {
        download_wat(client, shard, folder, options).await
    }

    async fn complete(lease: &Lease<Self>, work: Work) -> Result<()> {
        complete_with_pairs(lease, work).await
    }
}

impl Crawler for Cpu {
    async fn download(
        client: &Client<Self>,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Outcome<PathBuf> {
        download_wat(client, shard, folder, options).await
    }

    async fn complete(lease: &Lease<Self>, work: Work) -> Result<()> {
        match work {
            Work::Text(url) => lease.complete(&url).await,
            Work::Pairs(_) => Err(not_for("CPU", "completes with a URL, which is text")),
        }
    }
}

impl Crawler for Gpu {
    async fn download(
        client: &Client<Self>,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Outcome<PathBuf> {
        let extracted = client.download_shard(shard, folder, options).await;
        extracted.map_err(Failure::HandedOver)?;
        Ok(folder.to_owned())
    }

    async fn complete(lease: &Lease<Self>, work: Work) -> Result<()> {
        complete_with_pairs(lease, work).await
    }

    async fn flag_invalid(lease: &Lease<Self>) -> Result<()> {
        lease.flag_invalid().await
    }
}

async fn download_wat<K: ReadsWats>(
    client: &Client<K>,
    shard: &Shard,
    folder: &Path,
    options: &DownloadOptions,
) -> Outcome<PathBuf> {
    let downloaded = client.download_shard(shard, folder, options).await;
    downloaded.map_err(Failure::Download)
}

async fn complete_with_pairs<K: CountsPairs>(lease: &Lease<K>, work: Work) -> Result<()> {
    match work {
        Work::Pairs(pairs) => lease.complete(pairs).await,
        Work::Text(_) => Err(not_for(
            K::TYPE.as_str(),
            "completes with a number of pairs",
        )),
    }
}

/// A call that such a worker does not make.
fn not_for(kind: &str, what_it_does: &str) -> ClientError {
    ClientError::Refused(format!("a {kind} worker {what_it_does}"))
}

impl<K: Crawler> Protocol for K {
    type Client = Client<K>;
    type Lease = Lease<K>;

    fn url(client: &Client<K>) -> &str {
        client.url()
    }

    fn token(client: &Client<K>) -> &str {
        client.token()
    }

    fn nickname(client: &Client<K>) -> &str {
        client.nickname()
    }

    fn display_name(client: &Client<K>) -> &str {
        client.display_name()
    }

    fn afresh(client: &Client<K>) -> Result<Client<K>> {
        client.afresh()
    }

    fn adopt(client: &Client<K>, lease: &Lease<K>) -> Lease<K> {
        client.adopt(lease)
    }

    async fn job_count(client: &Client<K>) -> Result<u64> {
        client.job_count().await
    }

    async fn lease(client: &Client<K>) -> Result<Lease<K>> {
        client.lease().await
    }

    async fn is_alive(client: &Client<K>) -> Result<bool> {
        client.is_alive().await
    }

    async fn log(client: &Client<K>, text: &str) -> Result<()> {
        client.log(text).await
    }

    async fn bye(client: &Client<K>) -> Result<()> {
        client.bye().await
    }

    fn job(lease: &Lease<K>) -> Job {
        let shard = lease.shard();
        let piece = shard.piece.into();
        Job::Shard((
            shard.number,
            shard.url.clone(),
            shard.start_id,
            shard.end_id,
            piece,
        ))
    }

    async fn log_job(lease: &Lease<K>, text: &str) -> Result<()> {
        lease.log(text).await
    }

    async fn complete(lease: &Lease<K>, work: Work) -> Result<()> {
        <K as Crawler>::complete(lease, work).await
    }

    async fn flag_invalid(lease: &Lease<K>) -> Result<()> {
        <K as Crawler>::flag_invalid(lease).await
    }

    async fn fail(lease: &Lease<K>, reason: &str) -> Result<()> {
        lease.fail(reason).await
    }

    async fn give_back(lease: &Lease<K>) -> Result<()> {
        lease.give_back().await
    }

    fn let_go(lease: &Lease<K>) {
        lease.let_go();
    }
}

/// A worker of one of DistCompute's stages.
pub(crate) enum Stage {}

impl Protocol for Stage {
    type Client = distcompute::Client;
    type Lease = distcompute::Lease;

    fn url(client: &distcompute::Client) -> &str {
        client.url()
    }

    fn token(client: &distcompute::Client) -> &str {
        client.token()
    }

    fn nickname(client: &distcompute::Client) -> &str {
        client.nickname()
    }

    fn display_name(client: &distcompute::Client) -> &str {
        client.display_name()
    }

    fn afresh(client: &distcompute::Client) -> Result<distcompute::Client> {
        client.afresh()
    }

    fn adopt(client: &distcompute::Client, lease: &distcompute::Lease) -> distcompute::Lease {
        client.adopt(lease)
    }

    async fn job_count(client: &distcompute::Client) -> Result<u64> {
        client.job_count().await
    }

    async fn lease(client: &distcompute::Client) -> Result<distcompute::Lease> {
        client.lease().await
    }

    async fn is_alive(client: &distcompute::Client) -> Result<bool> {
        client.is_alive().await
    }

    async fn log(client: &distcompute::Client, text: &str) -> Result<()> {
        client.log(text).await
    }

    async fn bye(client: &distcompute::Client) -> Result<()> {
        client.bye().await
    }

    fn job(lease: &distcompute::Lease) -> Job {
        Job::Data((lease.number(), lease.text().to_owned()))
    }

    async fn log_job(lease: &distcompute::Lease, text: &str) -> Result<()> {
        lease.log(text).await
    }

    async fn complete(lease: &distcompute::Lease, work: Work) -> Result<()> {
        match work {
            // As it is: Python words its JSON itself.
            Work::Text(text) => lease.complete(Data::Text(text)).await,
            Work::Pairs(_) => Err(not_for("DistCompute", "completes with data")),
        }
    }

    async fn flag_invalid(lease: &distcompute::Lease) -> Result<()> {
        lease.flag_invalid().await
    }

    async fn fail(lease: &distcompute::Lease, reason: &str) -> Result<()> {
        lease.fail(reason).await
    }

    async fn give_back(lease: &distcompute::Lease) -> Result<()> {
        lease.give_back().await
    }

    fn let_go(lease: &distcompute::Lease) {
        lease.let_go();
    }
}
