//! The smallest lab: a network namespace whose connections are marked as a balancer marks them, one for
//! nginx, and a pair of devices between them. [`balancer`] adds the clients' connections to the balancer.

pub mod balancer;
pub mod cgroup;
pub mod chain_end;
pub mod injector;
pub mod marker;
pub mod mounts;
pub mod netlink;
pub mod netns;
pub mod proxy;
pub mod raw;
pub mod service;
pub mod strangers;
pub mod toa_module;
pub mod tun;
pub mod veth;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use crate::{
    lab::{
        marker::{Habit, Marker},
        netns::Namespace,
        toa_module::ToaModule,
        tun::Cable,
        veth::Device,
    },
    peers::{
        client::{Bound, Connection},
        nginx::{self, Nginx},
    },
};
use toa_packets::toa_option::toa_option;

/// The balancer's address.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The balancer's IPv6 address.
pub const BALANCER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1);
/// The server's IPv6 address.
pub const SERVER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 2);

/// Returns the address that nginx listens on.
pub fn nginx_address() -> SocketAddr {
    SocketAddr::new(SERVER.into(), nginx::PORT)
}

/// Returns the address on which nginx serves TLS.
pub fn tls_address() -> SocketAddr {
    SocketAddr::new(SERVER.into(), nginx::TLS_PORT)
}

/// Balancer and server, without nginx.
pub struct Lab {
    /// The balancer's device.
    pub balancer: Device,
    /// The server's device, which the tool attaches to.
    pub server: Device,
    /// Marks the balancer's connections.
    pub marker: Marker,
    _cable: Option<Cable>,
}

impl Lab {
    /// Builds it with an MTU of 1,500 bytes.
    pub fn new(habit: Habit) -> Result<Self> {
        Self::with_mtu(habit, 1500)
    }

    /// Builds it with an MTU of `mtu` bytes.
    pub fn with_mtu(habit: Habit, mtu: u32) -> Result<Self> {
        let ends = (Namespace::new()?, Namespace::new()?);
        let (balancer, server) = veth::pair((&ends.0, "lb0"), (&ends.1, "web0"), mtu)?;
        Self::between(balancer, server, habit, None)
    }

    /// Builds it with tun devices, which have no link header.
    pub fn over_tun(habit: Habit) -> Result<Self> {
        Self::over_tun_of_type(habit, libc::ARPHRD_NONE)
    }

    /// Like [`Self::over_tun`], but the server's device has this link type, an `ARPHRD_` number.
    pub fn over_tun_of_type(habit: Habit, link_type: u16) -> Result<Self> {
        let ends = (Namespace::new()?, Namespace::new()?);
        let (cable, balancer, server) = Cable::new((&ends.0, "lb0"), (&ends.1, "web0"), link_type)?;
        Self::between(balancer, server, habit, Some(cable))
    }

    fn between(balancer: Device, server: Device, habit: Habit, cable: Option<Cable>) -> Result<Self> {
        let addresses: [(&Device, IpAddr, u8); 4] = [
            (&balancer, BALANCER.into(), 24),
            (&balancer, BALANCER_IPV6.into(), 64),
            (&server, SERVER.into(), 24),
            (&server, SERVER_IPV6.into(), 64),
        ];
        for (device, address, prefix_length) in addresses {
            device.add_address(address, prefix_length)?;
        }
        let marker = Marker::attach(&balancer.namespace, habit)?;
        Ok(Self { balancer, server, marker, _cable: cable })
    }

    /// Starts nginx on the server.
    pub fn nginx(&self) -> Result<Nginx> {
        Nginx::start(&self.server.namespace)
    }

    /// Binds a socket to any port on the balancer.
    pub fn bind(&self) -> Result<Bound> {
        self.bind_to(BALANCER.into())
    }

    fn bind_to(&self, address: IpAddr) -> Result<Bound> {
        Bound::new(&self.balancer.namespace, SocketAddr::new(address, 0))
    }

    /// Opens a connection from the balancer to nginx, over IPv6 or IPv4, and marks it with these options.
    pub fn connect_over(&mut self, is_ipv6: bool, options: &[u8]) -> Result<Connection> {
        let (balancer, server): (IpAddr, IpAddr) = if is_ipv6 {
            (BALANCER_IPV6.into(), SERVER_IPV6.into())
        } else {
            (BALANCER.into(), SERVER.into())
        };
        let bound = self.bind_to(balancer)?;
        self.marker.assign(bound.local(), options)?;
        bound.connect(SocketAddr::new(server, nginx::PORT))
    }

    /// Opens an unmarked connection from the balancer to nginx, over the client's address family. Only the
    /// server's `module` knows its client.
    pub fn connect_unmarked(&self, module: &mut ToaModule, client: SocketAddr) -> Result<Connection> {
        let (balancer, server): (IpAddr, IpAddr) = match client.ip() {
            IpAddr::V4(_) => (BALANCER.into(), SERVER.into()),
            IpAddr::V6(_) => (BALANCER_IPV6.into(), SERVER_IPV6.into()),
        };
        let bound = self.bind_to(balancer)?;
        module.name_client(bound.local(), client)?;
        bound.connect(SocketAddr::new(server, nginx::PORT))
    }

    /// Opens a connection from the balancer to nginx and marks it as `client`'s, if there is one.
    pub fn connect(&mut self, client: Option<SocketAddr>) -> Result<Connection> {
        let bound = self.bind()?;
        if let Some(client) = client {
            self.marker.assign(bound.local(), &toa_option(client))?;
        }
        bound.connect(nginx_address())
    }
}
