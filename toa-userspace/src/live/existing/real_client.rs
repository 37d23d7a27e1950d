//! The client of a connection, as its server's socket names it.

use std::net::SocketAddr;

use toa_common::address::Client;

use crate::address::to_address;

/// By which question a server's socket named its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamedBy {
    /// `getpeername`.
    PeerName,
    /// The option for IPv6 clients of connections over IPv4 (NAT64).
    Nat64,
}

/// The client of a connection, as its server's socket names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RealClient {
    /// Address and port.
    pub address: SocketAddr,
    /// How it was asked for.
    pub named_by: NamedBy,
}

impl RealClient {
    /// As rules and records have it.
    pub fn client(&self) -> Client {
        Client { address: to_address(self.address.ip()), port_be: self.address.port().to_be() }
    }
}
