//! Buckets of the S3 kind, by their address and the `AWS_*` environment.

use std::{env, sync::Arc, time::Duration};

use cah_protocol::is_loopback;
use object_store::{
    ClientConfigKey, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
    prefix::PrefixStore,
};
use thiserror::Error;
use url::Url;

mod one_line;
mod upload;

pub use one_line::OneLine;
pub use upload::RemoteUpload;

/// Bytes that are collected before they are sent. Object stores take no part below 5 MiB and no
/// more than 10,000 parts: an object may have 78 GiB.
pub const PART_BYTES: usize = 8 << 20;

/// Longest time for one request: a part of 8 MiB over a slow line.
const REQUEST_DEADLINE: &str = "300 seconds";

/// An address of a bucket that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot use `{place}`: {why}")]
pub struct BadBucket {
    /// The address as it was given.
    pub place: String,
    /// What is wrong with it, or with the settings.
    pub why: String,
}

type Result<T> = std::result::Result<T, BadBucket>;

/// Reads `s3://bucket/prefix`.
///
/// # Errors
/// What is wrong with it.
pub fn address(place: &str) -> Result<Url> {
    let bad = |why: &str| bad_bucket(place, why);
    let url = Url::parse(place).map_err(|cause| bad(&cause.to_string()))?;
    if !matches!(url.scheme(), "s3" | "s3a") {
        return Err(bad("it is not in a bucket, like s3://bucket/name"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("it names no bucket, like s3://bucket/prefix"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("`?` and `#` have no meaning in a bucket's address"));
    }
    Ok(url)
}

/// The object that `s3://bucket/name` stands for, to be read: its bucket, and its path there.
///
/// Credentials, region and endpoint are found as by [`below`], in the `AWS_*` environment alone. A
/// request that fails is not tried again, because who reads knows where to go on; and one may take
/// five minutes with its body, so long objects are read in parts.
///
/// # Errors
/// What is no such address, and settings that make no sense.
pub fn object(place: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let url = address(place)?;
    let path = path(&url)?;
    if path.as_ref().is_empty() {
        return Err(bad_bucket(
            place,
            "it names no object, like s3://bucket/name",
        ));
    }
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    Ok((Arc::new(client(&url, once)?), path))
}

/// The part of a bucket that lies below a prefix.
///
/// # Errors
/// Settings that make no sense.
pub fn below(url: &Url, retry: RetryConfig) -> Result<Arc<dyn ObjectStore>> {
    let (client, prefix) = signer(url, retry)?;
    Ok(Arc::new(PrefixStore::new(client, prefix)))
}

/// The client of a bucket, which can sign addresses, and the prefix that a place has in it.
///
/// # Errors
/// Settings that make no sense.
pub fn signer(url: &Url, retry: RetryConfig) -> Result<(AmazonS3, Path)> {
    Ok((client(url, retry)?, path(url)?))
}

fn client(url: &Url, retry: RetryConfig) -> Result<AmazonS3> {
    let bad = |why: String| bad_bucket(url.as_str(), &why);
    let mut builder = AmazonS3Builder::from_env()
        .with_url(format!("s3://{}", url.host_str().unwrap_or_default()))
        .with_retry(retry);
    if env::var_os("AWS_TIMEOUT").is_none() {
        let key = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        builder = builder.with_config(key, REQUEST_DEADLINE);
    }
    if let Some(endpoint) = plain_http_endpoint(&builder) {
        if !endpoint.host_str().is_some_and(is_loopback) && !allows_http(&builder) {
            return Err(bad(format!(
                "its endpoint {endpoint} is not encrypted; use https, or set AWS_ALLOW_HTTP=true"
            )));
        }
        builder = builder.with_allow_http(true);
    }
    builder.build().map_err(|e| bad(OneLine(e).to_string()))
}

fn path(url: &Url) -> Result<Path> {
    Path::from_url_path(url.path()).map_err(|e| bad_bucket(url.as_str(), &e.to_string()))
}

fn bad_bucket(place: &str, why: &str) -> BadBucket {
    BadBucket {
        place: place.to_owned(),
        why: why.to_owned(),
    }
}

fn plain_http_endpoint(builder: &AmazonS3Builder) -> Option<Url> {
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))?;
    let url = Url::parse(&endpoint).ok()?;
    (url.scheme() == "http").then_some(url)
}

fn allows_http(builder: &AmazonS3Builder) -> bool {
    let key = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    builder.get_config_value(&key).as_deref() == Some("true")
}

/// Few retries: who opens a place waits for the answer.
pub fn impatient() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
        ..RetryConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_bucket_and_a_path() {
        let (_, path) = object("s3://bucket/crawl-data/a%20b.wat.gz").unwrap();
        assert_eq!(path.as_ref(), "crawl-data/a b.wat.gz");
        for (address, part) in [
            ("s3://bucket", "names no object"),
            ("s3://bucket/", "names no object"),
            ("s3:///x", "names no bucket"),
            ("s3://bucket/x?versionId=1", "`?`"),
            ("a/b.wat.gz", "relative"),
            ("gs://bucket/x", "s3://"),
        ] {
            let error = object(address).unwrap_err().to_string();
            assert!(error.contains(address) && error.contains(part), "{error}");
        }
    }
}
