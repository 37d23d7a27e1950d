//! What is known of bytes besides themselves.

use toa_common::seq::Seq;

/// The segment in which bytes arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// When it arrived, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Its acknowledgment number: the next byte that its sender expects from the server.
    pub ack: Seq,
}
