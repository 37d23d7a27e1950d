//! Responsible for the whole path: clients with addresses of their own, a balancer that ends their connections
//! and opens its own to the server, and the server, each in a namespace. Not responsible for tests that choose
//! every byte of an option themselves: those take [`crate::lab::Lab`], which this one is built on.
//!
//! The server knows no way to the clients: all that it sees of them is what the balancer tells.

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
        nginx::{self, Nginx},
    },
};

/// Where clients find the service: the balancer's address on their side.
pub const SERVICE: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), nginx::PORT));

/// Clients, balancer and server, without nginx.
#[derive(Debug)]
pub struct Balancer {
    /// Holds every client's address.
    pub clients: Device,
    /// The server's end of its cable: here the tool listens.
    pub server: Device,
    _proxy: Proxy,
}

impl Balancer {
    /// Builds it, with a balancer of this habit. A client that doesn't say who it is, is the first of `clients`.
    pub fn new(habit: Habit, clients: &[IpAddr]) -> Result<Self> {
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
        let proxy = Proxy::start(&balancer.namespace, SERVICE, BALANCER.into(), nginx_address(), marker)?;
        Ok(Self { clients: outside, server, _proxy: proxy })
    }

    /// Starts nginx on the server.
    pub fn nginx(&self) -> Result<Nginx> {
        Nginx::start(&self.server.namespace)
    }

    /// Opens a connection from a client's address, through the balancer.
    pub fn connect(&self, client: IpAddr) -> Result<Connection> {
        Bound::new(&self.clients.namespace, SocketAddr::new(client, 0))?.connect(SERVICE)
    }
}
