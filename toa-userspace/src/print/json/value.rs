//! Responsible for what several objects of the output have in common: hosts, endpoints, times, names. Not responsible
//! for the objects.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use toa_common::attribution::{Attribution, LearnedFrom};

use crate::{pipeline::connection::Connection, print::escape::Escaped};

#[derive(Serialize)]
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
}

/// One side of a connection.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    /// Both as one.
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: address.port() }
    }
}

#[derive(Serialize)]
pub(super) struct Network<'a> {
    pub(super) peer: Endpoint,
    pub(super) interface: Interface<'a>,
    pub(super) protocol: Option<Protocol>,
}

/// What a command, which has no packet, knows of the network.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerNetwork {
    /// The balancer's side.
    pub peer: Endpoint,
}

#[derive(Serialize)]
pub(super) struct Interface<'a> {
    pub(super) name: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// How a client is known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Toa {
    /// The kind of the option that named it, if one did.
    pub kind: Option<u8>,
    /// The option's length.
    pub length: Option<u8>,
    /// Where it was learned from.
    pub learned_from: &'static str,
    /// Whether the option could be another protocol's.
    pub ambiguous: bool,
}

impl From<&Attribution> for Toa {
    fn from(attribution: &Attribution) -> Self {
        let (kind, length) = attribution.toa().unzip();
        let learned_from = attribution.learned_from().map_or("unknown", LearnedFrom::name);
        Self { kind, length, learned_from, ambiguous: attribution.is_ambiguous() }
    }
}

impl Toa {
    /// How the client is known; `None` if it is only assumed to be the sender.
    pub(super) fn new(attribution: &Attribution) -> Option<Self> {
        let is_known = attribution.toa().is_some() || attribution.learned_from() == Some(LearnedFrom::Socket);
        is_known.then(|| attribution.into())
    }
}

/// Bytes that a client chose.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Escaped(self.0))
    }
}

/// Nanoseconds since the Unix epoch, as RFC 3339 writes them.
pub(super) struct Time(pub(super) u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^64 ns are 585 years, which is within what a timestamp can be.
        let time = Timestamp::from_nanosecond(self.0.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        serializer.collect_str(&format_args!("{time:.9}"))
    }
}

/// What tells a connection from all others that this host sees until it is booted again, or of the capture that is read:
/// when it was learned, and its number within the run.
pub(super) struct Id<'a>(pub(super) &'a Connection);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:x}-{}", self.0.generation, self.0.id))
    }
}
