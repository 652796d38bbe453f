//! One served web for all tests of the binary, and a client that knows its names.

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use cah_demo::{Config, MiniWeb, ServedWeb};
use reqwest::{Client, Response, redirect::Policy};
use tokio::runtime::Runtime;

/// A small web of every case, twice, that is slower than any test waits.
pub(crate) fn config() -> Config {
    Config {
        seed: 7,
        pages: 36,
        wats: 2,
        slow: Duration::from_secs(600),
        heavy_bytes: 4 << 20,
    }
}

pub(crate) struct Served {
    pub(crate) runtime: Runtime,
    pub(crate) web: ServedWeb,
    pub(crate) client: Client,
}

/// The web that all tests share.
pub(crate) fn served() -> &'static Served {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let web = runtime.block_on(serve(config()));
        let client = client(&web);
        Served {
            runtime,
            web,
            client,
        }
    })
}

pub(crate) async fn serve(config: Config) -> ServedWeb {
    MiniWeb::build(config).unwrap().serve().await.unwrap()
}

/// A client that resolves the web's names and follows nothing.
pub(crate) fn client(web: &ServedWeb) -> Client {
    web.hosts()
        .into_iter()
        .fold(Client::builder(), |builder, (name, address)| {
            builder.resolve(&name, SocketAddr::new(address, 0))
        })
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

impl Served {
    pub(crate) fn get(&self, url: &str) -> Response {
        self.runtime.block_on(self.client.get(url).send()).unwrap()
    }

    pub(crate) fn bytes(&self, url: &str) -> Vec<u8> {
        let response = self.get(url);
        assert!(response.status().is_success(), "{url}");
        self.runtime.block_on(response.bytes()).unwrap().to_vec()
    }

    /// The absolute URL of a path below the base URL.
    pub(crate) fn data_url(&self, path: &str) -> String {
        format!("{}{path}", self.web.base_url())
    }
}
