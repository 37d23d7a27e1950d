//! The client of a connection, as named by its server's socket.

use std::net::SocketAddr;

use toa_common::address::Client;

use crate::address::to_address;

/// The query by which a server's socket named its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamedBy {
    /// `getpeername`.
    PeerName,
    /// The socket option for IPv6 clients of connections over IPv4 (NAT64).
    Nat64,
}

/// The client of a connection, as named by its server's socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RealClient {
    /// Address and port.
    pub address: SocketAddr,
    /// The query that returned it.
    pub named_by: NamedBy,
}

impl RealClient {
    /// Returns the client in the form of rules and records.
    pub fn client(&self) -> Client {
        Client { address: to_address(self.address.ip()), port_be: self.address.port().to_be() }
    }
}
