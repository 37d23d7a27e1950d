//! The whole path, each part in its own namespace: clients with their own addresses, a balancer that
//! terminates their connections and opens its own to the server, and the server. It is built on [`Lab`],
//! which tests use directly to choose every byte of an option.
//!
//! The server has no route to the clients. All that it learns of them comes from the balancer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::{
    lab::{
        BALANCER, Lab,
        marker::Habit,
        netns::Namespace,
        nginx_address,
        proxy::Proxy,
        veth::{self, Device},
    },
    peers::{
        client::{Bound, Connection},
        http2_client::Http2Connection,
        nginx::{self, Nginx},
        tls_client::TlsConnection,
    },
};

/// The address of the service: the balancer's address on the clients' side.
pub const SERVICE: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), nginx::PORT));

/// Clients, balancer and server, without nginx.
#[derive(Debug)]
pub struct Balancer {
    /// The device that has every client's address.
    pub clients: Device,
    /// The server's device, which the tool attaches to.
    pub server: Device,
    proxy: Proxy,
}

impl Balancer {
    /// Builds it with a balancer of this habit. A connection that does not choose its source comes from the
    /// first of `clients`.
    pub fn new(habit: Habit, clients: &[IpAddr]) -> Result<Self> {
        Self::to(nginx_address(), habit, clients)
    }

    /// Like [`Self::new`], but the balancer connects to this address of the server.
    pub fn to(server_address: SocketAddr, habit: Habit, clients: &[IpAddr]) -> Result<Self> {
        let Lab { balancer, server, marker, .. } = Lab::new(habit)?;
        let (outside, front) =
            veth::pair((&Namespace::new()?, "clients0"), (&balancer.namespace, "front0"), 1500)?;
        for client in clients {
            outside.add_address(*client, 32)?;
        }
        front.add_address(SERVICE.ip(), 32)?;
        for device in [&outside, &front] {
            device.namespace.ip(&["route", "add", "default", "dev", &device.name])?;
        }
        let proxy = Proxy::start(&balancer.namespace, SERVICE, BALANCER.into(), server_address, marker)?;
        Ok(Self { clients: outside, server, proxy })
    }

    /// Starts nginx on the server.
    pub fn nginx(&self) -> Result<Nginx> {
        Nginx::start(&self.server.namespace)
    }

    /// Returns the balancer's table of connections, as `ipvsadm -lnc` prints it.
    pub fn table(&self) -> String {
        self.proxy.table()
    }

    /// Opens a connection from a client's address through the balancer.
    pub fn connect(&self, client: IpAddr) -> Result<Connection> {
        self.bind(client)?.connect(SERVICE)
    }

    /// Opens a TLS connection from a client's address through the balancer.
    pub fn connect_tls(&self, client: IpAddr) -> Result<TlsConnection> {
        TlsConnection::open(&self.clients.namespace, self.bind(client)?, SERVICE)
    }

    /// Opens a TLS connection with HTTP/2 from a client's address through the balancer.
    pub fn connect_http2(&self, client: IpAddr) -> Result<Http2Connection> {
        Http2Connection::open(&self.clients.namespace, self.bind(client)?, SERVICE)
    }

    fn bind(&self, client: IpAddr) -> Result<Bound> {
        Bound::new(&self.clients.namespace, SocketAddr::new(client, 0))
    }
}
