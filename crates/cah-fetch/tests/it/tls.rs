//! Certificates are verified.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use cah_fetch::{Config, ErrorKind, Fetcher, OptOut};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, pki_types::PrivateKeyDer},
};

use crate::support::{IMAGE, config, hosts, image, kind};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// An https server that is the name that its certificate says.
    async fn server(&self, name: &str) -> SocketAddr {
        serve(self.acceptor(name, &[])).await
    }

    fn acceptor(&self, name: &str, protocols: &[&[u8]]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn serve(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not like the certificate hangs up: nothing to serve.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(&image()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

/// A server that speaks HTTP/2 only.
async fn serve_http2(acceptor: TlsAcceptor) -> SocketAddr {
    let endless = || async {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7; 10_000]));
        Body::from_stream(chunks)
    };
    let broken = || async {
        let chunks = [Ok(vec![7; 10_000]), Err(std::io::Error::other("broken"))];
        Body::from_stream(futures::stream::iter(chunks))
    };
    let app = Router::new()
        .route(
            "/image",
            get(|request: Request| async move { format!("{:?}", request.version()) }),
        )
        .route(
            "/noai",
            get(|| async { ([("x-robots-tag", "noai")], IMAGE) }),
        )
        .route("/endless", get(endless))
        .route("/broken", get(broken))
        .layer(axum::middleware::map_response(
            |mut response: Response| async {
                response.headers_mut().remove("content-type");
                response
            },
        ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
            let app = TowerToHyperService::new(app.clone());
            let http2 = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http2.serve_connection(stream, app));
        }
    });
    address
}

fn fetcher(address: SocketAddr, extra_roots: Vec<String>) -> Fetcher {
    Fetcher::new(Config {
        hosts: hosts(&[("good.example", address), ("other.example", address)]),
        extra_roots,
        ..config()
    })
    .unwrap()
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let address = Authority::new().server("good.example").await;
    let error = fetcher(address, vec![])
        .fetch("https://good.example/")
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_vouched_for_and_one_for_another_name() {
    let authority = Authority::new();
    let address = authority.server("good.example").await;
    let fetcher = fetcher(address, vec![authority.pem()]);
    let fetched = fetcher.fetch("https://good.example/cat.png").await;
    assert_eq!(fetched.unwrap().bytes, IMAGE);
    let other = fetcher.fetch("https://other.example/cat.png").await;
    assert_eq!(kind(other), ErrorKind::Tls);
}

#[tokio::test]
async fn http2_keeps_the_same_promises() {
    let authority = Authority::new();
    let address = serve_http2(authority.acceptor("good.example", &[b"h2"])).await;
    let fetcher = fetcher(address, vec![authority.pem()]);
    let image = fetcher.fetch("https://good.example/image").await.unwrap();
    assert_eq!(image.bytes, "HTTP/2.0");
    for (path, expected) in [
        ("noai", ErrorKind::OptedOut(OptOut::Noai)),
        ("endless", ErrorKind::TooLarge),
        ("broken", ErrorKind::Transfer),
        ("missing", ErrorKind::Status(404)),
    ] {
        let result = fetcher.fetch(&format!("https://good.example/{path}")).await;
        assert_eq!(kind(result), expected, "{path}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let talking = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let greeting = talking.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = talking.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
            let _ = stream.read(&mut [0; 4_096]).await;
        }
    });
    let result = fetcher(greeting, vec![])
        .fetch("https://good.example/")
        .await;
    assert_eq!(kind(result), ErrorKind::Tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let result = fetcher(nobody, vec![]).fetch("https://good.example/").await;
    assert_eq!(kind(result), ErrorKind::Connect, "nobody is there at all");
}
