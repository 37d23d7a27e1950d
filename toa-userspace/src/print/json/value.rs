//! The parts that several JSON objects share: hosts, endpoints, times.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use toa_common::attribution::{Attribution, LearnedFrom};

use crate::print::escape::printable_json;

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

/// The `network` object of a command, which has no packet and so knows only the peer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerNetwork {
    /// The balancer's side.
    pub peer: Endpoint,
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
    /// Returns how the client was learned, or `None` if nothing names it.
    pub fn new(attribution: &Attribution) -> Option<Self> {
        attribution.is_named().then(|| attribution.into())
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

/// Returns the JSON of a value whose maps have no other keys than strings, so that it cannot fail.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    printable_json(serde_json::to_string(value).unwrap_or_default()).into_bytes()
}
