//! Names, asked from a real name server over UDP.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use cah_fetch::{Config, ErrorKind, Fetcher, NameServers};
use futures::future::join_all;
use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use tokio::net::UdpSocket;

use crate::support::{IMAGE, Site, config, image, kind};

/// A name server that knows some names and counts the questions.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    async fn new(zone: &'static [(&'static str, Ipv4Addr)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let answer = reply(&question, zone, &log);
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        Self { address, asked }
    }

    /// How often somebody asked for the IPv4 addresses of a name.
    fn questions(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == name).count()
    }
}

fn reply(question: &Message, zone: &[(&str, Ipv4Addr)], log: &Mutex<Vec<String>>) -> Message {
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
    let mut answer = question.clone();
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_available = true;
    let mut known = zone.iter().filter(|(known, _)| *known == name).peekable();
    if known.peek().is_none() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    if query.query_type() == RecordType::A {
        log.lock().unwrap().push(name.clone());
        for (_, address) in known {
            let record = Record::from_rdata(query.name().clone(), 300, RData::A(A(*address)));
            answer.add_answer(record);
        }
    }
    answer
}

fn asking(server: &NameServer) -> Fetcher {
    Fetcher::new(Config {
        name_servers: NameServers::List(vec![server.address]),
        ..config()
    })
    .unwrap()
}

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

#[tokio::test]
async fn a_name_is_asked_for_once() {
    let server = NameServer::new(&[("cats.example.com", LOOPBACK)]).await;
    let site = Site::saying(image()).await;
    let fetcher = asking(&server);
    let url = format!("http://cats.example.com:{}/", site.address.port());
    for result in join_all((0..30).map(|_| fetcher.fetch(&url))).await {
        assert_eq!(result.unwrap().bytes, IMAGE);
    }
    let upper = url.replace("cats.example.com", "CATS.example.com.");
    assert_eq!(fetcher.fetch(&upper).await.unwrap().bytes, IMAGE);
    assert_eq!(server.questions("cats.example.com"), 1);
}

#[tokio::test]
async fn a_failure_is_remembered_as_well() {
    let server = NameServer::new(&[]).await;
    let fetcher = asking(&server);
    for _ in 0..5 {
        let error = fetcher.fetch("http://gone.example.com/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Dns);
        assert!(error.to_string().contains("no such name"), "{error}");
    }
    assert_eq!(server.questions("gone.example.com"), 1);
}

#[tokio::test]
async fn names_of_private_addresses() {
    let zone = &[
        ("inside.example.com", INSIDE),
        ("both.example.com", INSIDE),
        ("both.example.com", LOOPBACK),
    ];
    let server = NameServer::new(zone).await;
    let site = Site::saying(image()).await;
    let fetcher = asking(&server);
    let port = site.address.port();
    let inside = fetcher
        .fetch(&format!("http://inside.example.com:{port}/"))
        .await;
    assert_eq!(kind(inside), ErrorKind::PrivateAddress);
    // Of several addresses only those are asked that may be.
    let both = fetcher
        .fetch(&format!("http://both.example.com:{port}/"))
        .await;
    assert_eq!(both.unwrap().bytes, IMAGE);
}

#[tokio::test]
async fn names_that_cannot_be_in_the_dns_are_asked_for_nowhere() {
    let server = NameServer::new(&[]).await;
    let fetcher = asking(&server);
    let long = format!("http://{}.example.com/", "a".repeat(64));
    for url in [
        "http://dead.invalid/",
        "http://cats.test/",
        "http://printer/",
        &long,
    ] {
        assert_eq!(kind(fetcher.fetch(url).await), ErrorKind::Dns, "{url}");
    }
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_server_that_is_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let fetcher = Fetcher::new(Config {
        name_servers: NameServers::List(vec![silent.local_addr().unwrap()]),
        ..config()
    })
    .unwrap();
    // A name's server is given up before the fetch is, with the times that are the default.
    let url = "http://lost.example.com/";
    assert_eq!(kind(fetcher.fetch(url).await), ErrorKind::Dns);
    // It is remembered: the second time nobody is asked, so nobody has to be waited for.
    drop(silent);
    assert_eq!(kind(fetcher.fetch(url).await), ErrorKind::Dns);
}
