//! The sockets of the mini web.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    answer::Hosting,
    site::{Door, Ports},
};

/// The ports that the mini web has taken, before anything is answered.
pub(crate) struct Doors {
    pub(crate) ports: Ports,
    names: TcpListener,
    plain: TcpListener,
    data: TcpListener,
    closed: TcpSocket,
}

/// How long the web waits after it could not take a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What runs until it is dropped.
pub(crate) struct Running {
    doors: JoinSet<()>,
    /// Bound and never listened on: nobody else can open it in the meantime.
    _closed: TcpSocket,
}

impl Doors {
    /// Takes free ports of the loopback interface.
    pub(crate) async fn open() -> io::Result<Self> {
        let loopback = (Ipv4Addr::LOCALHOST, 0);
        let names = TcpListener::bind(loopback).await?;
        let plain = TcpListener::bind(loopback).await?;
        let data = TcpListener::bind(loopback).await?;
        let closed = TcpSocket::new_v4()?;
        closed.bind(loopback.into())?;
        let ports = Ports {
            names: names.local_addr()?.port(),
            plain: plain.local_addr()?.port(),
            data: data.local_addr()?.port(),
            closed: closed.local_addr()?.port(),
        };
        Ok(Self {
            ports,
            names,
            plain,
            data,
            closed,
        })
    }

    /// Starts to answer.
    pub(crate) fn serve(self, hosting: Arc<Hosting>) -> Running {
        let mut doors = JoinSet::new();
        for (door, listener) in [
            (Door::Names, self.names),
            (Door::Plain, self.plain),
            (Door::Data, self.data),
        ] {
            doors.spawn(accept(door, listener, Arc::clone(&hosting)));
        }
        Running {
            doors,
            _closed: self.closed,
        }
    }
}

impl Running {
    /// Closes every port and breaks off every connection.
    pub(crate) async fn stop(mut self) {
        self.doors.shutdown().await;
    }
}

/// Takes connections for ever. They are tasks of this one, so that they end with it.
async fn accept(door: Door, listener: TcpListener, hosting: Arc<Hosting>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(converse(door, socket, Arc::clone(&hosting)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the mini web could not take a connection");
                    // Whatever it lacks, mostly free file descriptors, comes back with time.
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(door: Door, socket: TcpStream, hosting: Arc<Hosting>) {
    let service = service_fn(|request| hosting.answer(door, request));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        // Broken connections are part of the show.
        tracing::trace!(%error, "a connection to the mini web broke");
    }
}
