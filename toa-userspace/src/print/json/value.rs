//! The parts that several JSON objects share: hosts, endpoints, times, names.

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
    /// Returns the address and port together.
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
    pub(super) protocol: Option<Protocol<'a>>,
}

/// The `network` object of a command, which has no packet and so knows only the peer.
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
pub(super) struct Protocol<'a> {
    pub(super) name: &'static str,
    /// `None` if the request has none, or one that is not HTTP/1.
    pub(super) version: Option<&'a str>,
}

/// How a client was learned.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Toa {
    /// The kind of the option that named the client, if an option did.
    pub kind: Option<u8>,
    /// The option's length.
    pub length: Option<u8>,
    /// The source that the client was learned from.
    pub learned_from: &'static str,
    /// Whether the option could belong to another protocol.
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
    /// Returns how the client was learned, or `None` if it is only assumed to be the sender.
    pub(super) fn new(attribution: &Attribution) -> Option<Self> {
        let is_known = attribution.toa().is_some() || attribution.learned_from() == Some(LearnedFrom::Socket);
        is_known.then(|| attribution.into())
    }
}

/// Bytes that a client chose, written escaped.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Escaped(self.0))
    }
}

/// Nanoseconds since the Unix epoch, written as in RFC 3339.
pub(super) struct Time(pub(super) u64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^64 ns are 585 years, which is within the range of a timestamp.
        let time = Timestamp::from_nanosecond(self.0.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        serializer.collect_str(&format_args!("{time:.9}"))
    }
}

/// The identifier of a connection: when it was learned, and its number within the run. It is unique on this host until
/// the next boot, or within the capture that is read.
pub(super) struct Id<'a>(pub(super) &'a Connection);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:x}-{}", self.0.generation, self.0.id))
    }
}
