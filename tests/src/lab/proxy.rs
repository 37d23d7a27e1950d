//! Responsible for ending clients' connections and for carrying their bytes over connections of the balancer's
//! own, marked with the real client. Not responsible for which packets are marked: see [`crate::lab::marker`].

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::lab::{marker::Marker, netns::Namespace, service::Service};
use toa_packets::toa_option::toa_option;

/// A full-NAT balancer of one server. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    _service: Service,
}

impl Proxy {
    /// Takes connections to `service`, and opens one from `source` to `server` for each.
    pub fn start(
        namespace: &Namespace,
        service: SocketAddr,
        source: IpAddr,
        server: SocketAddr,
        marker: Marker,
    ) -> Result<Self> {
        let serve = move |listener| serve(listener, source, server, marker);
        Ok(Self { _service: Service::start(namespace, service, serve)? })
    }
}

async fn serve(listener: TcpListener, source: IpAddr, server: SocketAddr, mut marker: Marker) -> Result<()> {
    loop {
        let (client, address) = listener.accept().await.context("accepting")?;
        let socket = marked(source, address, &mut marker)?;
        tokio::spawn(async move {
            if let Err(error) = carry(client, socket, server).await {
                eprintln!("the balancer: {address}: {error:#}");
            }
        });
    }
}

/// A socket whose connection will be marked as `client`'s. It has its port already, by which the marker will
/// know it, and shares that with no other.
fn marked(source: IpAddr, client: SocketAddr, marker: &mut Marker) -> Result<TcpSocket> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0)).context("taking a port")?;
    marker.assign(socket.local_addr()?, &toa_option(client))?;
    Ok(socket)
}

/// Carries bytes in both directions until both have ended; one may end before the other.
async fn carry(mut client: TcpStream, socket: TcpSocket, server: SocketAddr) -> Result<()> {
    let mut server = socket.connect(server).await.context("connecting to the server")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // An error is a connection that one side has reset: both end with it.
    let _ = copy_bidirectional(&mut client, &mut server).await;
    Ok(())
}
