//! Terminates clients' connections and relays their bytes over the balancer's own connections, which are
//! marked with the real client. [`crate::lab::marker`] decides which packets are marked.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::lab::{marker::Marker, netns::Namespace, service::Service};
use toa_packets::toa_option::toa_option;

/// A full-NAT balancer with one server. It runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    _service: Service,
    open: Open,
    ends: (SocketAddr, SocketAddr),
}

/// The open connections: the client of each, and the proxy's side of its connection to the server.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<BTreeMap<SocketAddr, SocketAddr>>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Accepts connections to `service` and opens one from `source` to `server` for each.
    pub fn start(
        namespace: &Namespace,
        service: SocketAddr,
        source: IpAddr,
        server: SocketAddr,
        marker: Marker,
    ) -> Result<Self> {
        let open = Open::default();
        let known = open.clone();
        let serve = move |listener| serve(listener, source, server, marker, known);
        let service_thread = Service::start(namespace, service, serve)?;
        Ok(Self { _service: service_thread, open, ends: (service, server) })
    }

    /// Returns the open connections as DPVS's `ipvsadm -lnc` prints them.
    pub fn table(&self) -> String {
        let (service, server) = self.ends;
        let line = |(client, local): (&SocketAddr, &SocketAddr)| {
            let [client, service, local, server] =
                [*client, service, *local, server].map(|it| it.to_string());
            format!("[1]tcp {:<6} {:<11} {client:<18} {service:<18} {local:<18} {server}\n", "90s", "TCP_EST")
        };
        self.open.lock().iter().map(line).collect()
    }
}

async fn serve(
    listener: TcpListener,
    source: IpAddr,
    server: SocketAddr,
    mut marker: Marker,
    open: Open,
) -> Result<()> {
    loop {
        let (client, address) = listener.accept().await.context("accepting")?;
        let socket = marked(source, address, &mut marker)?;
        open.lock().insert(address, socket.local_addr()?);
        let open = open.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(client, socket, server).await {
                eprintln!("the balancer: {address}: {error:#}");
            }
            open.lock().remove(&address);
        });
    }
}

/// Returns a socket whose connection will be marked as `client`'s. It is bound already, because the marker
/// identifies it by its port, which no other socket shares.
fn marked(source: IpAddr, client: SocketAddr, marker: &mut Marker) -> Result<TcpSocket> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0)).context("taking a port")?;
    marker.assign(socket.local_addr()?, &toa_option(client))?;
    Ok(socket)
}

/// Copies bytes in both directions until both have ended. One direction may end before the other.
async fn carry(mut client: TcpStream, socket: TcpSocket, server: SocketAddr) -> Result<()> {
    let mut server = socket.connect(server).await.context("connecting to the server")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // An error means that one side has reset the connection, which ends both.
    let _ = copy_bidirectional(&mut client, &mut server).await;
    Ok(())
}
