//! The client of a connection that was open before, and the source that named it.

use std::net::SocketAddr;

use toa_common::{
    address::Client,
    attribution::{Attribution, LearnedFrom},
};

use crate::address::{to_address, to_ip};

/// The source that named a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamedBy {
    /// The memory of the TOA module.
    Module,
    /// `getpeername` on the server's socket.
    PeerName,
    /// The option of the server's socket for IPv6 clients of connections over IPv4 (NAT64).
    Nat64,
    /// The TOA that `toa-tc remember` has noted.
    Remembered(Attribution),
}

impl NamedBy {
    /// Returns the name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::PeerName => "getpeername",
            Self::Nat64 => "nat64",
            Self::Remembered(_) => "remembered",
        }
    }
}

/// The client of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RealClient {
    /// Address and port. The port is 0 if it is not known.
    pub address: SocketAddr,
    /// The source that named it.
    pub named_by: NamedBy,
}

impl RealClient {
    /// Returns the client that a module's memory names.
    pub(super) fn of_module(client: &Client) -> Self {
        Self { address: SocketAddr::new(to_ip(client.address), client.port()), named_by: NamedBy::Module }
    }

    /// Returns the client that was remembered.
    pub(super) fn remembered(attribution: &Attribution) -> Self {
        let client = attribution.client();
        let address = SocketAddr::new(to_ip(client.address), client.port());
        Self { address, named_by: NamedBy::Remembered(*attribution) }
    }

    /// Returns the attribution of the connection to this client.
    pub fn attribution(&self) -> Attribution {
        match self.named_by {
            NamedBy::Module | NamedBy::PeerName | NamedBy::Nat64 => {
                Attribution::from_outside(&self.client(), LearnedFrom::Socket)
            }
            NamedBy::Remembered(noted) => {
                Attribution { learned_from: LearnedFrom::Remembered as u8, ..noted }
            }
        }
    }

    /// Returns whether the client's port is known.
    pub fn has_port(&self) -> bool {
        self.attribution().has_port()
    }

    /// Returns the client in the form of rules and records.
    pub fn client(&self) -> Client {
        Client { address: to_address(self.address.ip()), port_be: self.address.port().to_be() }
    }
}
