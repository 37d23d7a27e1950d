//! A packet of a capture.

use super::link::LinkType;

/// A packet of a capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since the Unix epoch; 0 if the capture does not say.
    pub time_ns: u64,
    /// Number of its interface's name in [`super::Names`].
    pub interface: u32,
    /// What the packet begins with.
    pub link: LinkType,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub wire_len: u32,
    /// Its comment, if there is one.
    pub comment: Option<&'a str>,
}

/// A packet that outlives the buffer it was read into.
#[derive(Clone, Debug)]
pub struct PacketBuf {
    time_ns: u64,
    interface: u32,
    link: LinkType,
    bytes: Vec<u8>,
    wire_len: u32,
    comment: Option<String>,
}

impl PacketBuf {
    /// Returns the packet.
    pub fn packet(&self) -> Packet<'_> {
        let Self { time_ns, interface, link, ref bytes, wire_len, ref comment } = *self;
        Packet { time_ns, interface, link, bytes, wire_len, comment: comment.as_deref() }
    }
}

impl From<Packet<'_>> for PacketBuf {
    fn from(packet: Packet<'_>) -> Self {
        let Packet { time_ns, interface, link, bytes, wire_len, comment } = packet;
        Self {
            time_ns,
            interface,
            link,
            bytes: bytes.to_vec(),
            wire_len,
            comment: comment.map(str::to_owned),
        }
    }
}
