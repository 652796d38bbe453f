//! A way to the server that can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::cluster;

/// Takes connections and carries them on to the server, unless it is cut.
pub(super) struct Proxy {
    port: u16,
    is_cut: watch::Sender<bool>,
    /// How many connections came while it was cut.
    turned_away: watch::Receiver<u64>,
}

impl Proxy {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_cut, way) = watch::channel(false);
        let (turning_away, turned_away) = watch::channel(0);
        tokio::spawn(take(listener, way, turning_away));
        Self {
            port,
            is_cut,
            turned_away,
        }
    }

    /// The same database, over this way.
    pub(super) fn address(&self, direct: &str) -> String {
        let port = |port: u16| format!("@127.0.0.1:{port}/");
        direct.replace(&port(cluster::port()), &port(self.port))
    }

    /// Ends all connections and takes no more, until somebody has been turned away.
    pub(super) async fn cut(&mut self) {
        let before = *self.turned_away.borrow();
        self.is_cut.send_replace(true);
        let turned_away = self.turned_away.wait_for(|now| *now > before);
        turned_away.await.unwrap();
    }

    pub(super) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn take(listener: TcpListener, way: watch::Receiver<bool>, turned_away: watch::Sender<u64>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        match *way.borrow() {
            true => turned_away.send_modify(|count| *count += 1),
            false => {
                tokio::spawn(carry(client, way.clone()));
            }
        }
    }
}

async fn carry(mut client: TcpStream, mut way: watch::Receiver<bool>) {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster::port()));
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = way.wait_for(|is_cut| *is_cut) => {}
    }
}
