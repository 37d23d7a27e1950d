//! A packet of a capture.

use super::link::LinkType;

/// A packet of a capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since the Unix epoch; 0 if the capture does not say.
    pub time_ns: u64,
    /// Number of its interface within the file, counted over all sections from 0.
    pub interface: u32,
    /// What the packet begins with.
    pub link: LinkType,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub wire_len: u32,
}
