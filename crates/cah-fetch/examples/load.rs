//! Fetches N URLs from a server in the same process: `cargo run --release --example load -- 20000 256`.
//!
//! Prints requests a second; of the two cores' work the server does a part.

#![allow(clippy::print_stdout)]

use std::{collections::HashMap, time::Duration};

use axum::{Router, http::header, routing::get};
use cah_fetch::{Config, Fetcher, NameServers};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

const HOSTS: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse());
    let (urls, in_flight) = (number(20_000)?, number(256)?);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let image = || async { ([(header::CONTENT_TYPE, "image/jpeg")], vec![7; 20_000]) };
    let app = Router::new().fallback(get(image));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let hosts = (0..HOSTS).map(|i| (format!("host{i}.example"), vec![address]));
    let fetcher = Fetcher::new(Config {
        in_flight,
        per_host: in_flight,
        host_delay: Duration::ZERO,
        allow_private_addresses: true,
        name_servers: NameServers::None,
        hosts: HashMap::from_iter(hosts),
        ..Config::default()
    })?;

    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    let mut bytes = 0;
    for i in 0..urls {
        if tasks.len() >= 2 * in_flight {
            bytes += joined(&mut tasks).await?;
        }
        let (fetcher, url) = (
            fetcher.clone(),
            format!("http://host{}.example/{i}", i % HOSTS),
        );
        tasks.spawn(async move { fetcher.fetch(&url).await.map(|image| image.bytes.len()) });
    }
    while !tasks.is_empty() {
        bytes += joined(&mut tasks).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{urls} images, {bytes} bytes in {seconds:.2} s: {:.0} requests/s",
        urls as f64 / seconds
    );
    Ok(())
}

type Tasks = JoinSet<Result<usize, cah_fetch::FetchError>>;

async fn joined(tasks: &mut Tasks) -> Result<usize, Box<dyn std::error::Error>> {
    match tasks.join_next().await {
        Some(length) => Ok(length??),
        None => Ok(0),
    }
}
