//! Responsible for reading captures, pcap and pcapng, from anything that gives bytes piece by piece. Not responsible
//! for what their packets mean.
//!
//! Blocks are measured here and read by `pcap-parser` once they are whole: so no more is kept than one block, and a
//! block that says one length and has another is an error and no wait.

mod link;
mod ng;
mod reader;

use thiserror::Error;

pub use link::LinkType;
pub use ng::Names;
pub use reader::{Next, Reader};

/// Longest block, or packet with its header, in bytes: what libpcap accepts (its `MAX_BLOCKSIZE`).
pub const MAX_BLOCK_BYTES: usize = 16 << 20;

/// Most interfaces of a file, over all its sections.
pub const MAX_INTERFACES: usize = 4096;

/// Longest name of an interface that is kept, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// Why a capture cannot be read, or not any further.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PcapError {
    /// The first bytes are no capture's.
    #[error("neither pcap nor pcapng")]
    NoCapture,
    /// Nothing at all.
    #[error("empty: not even the header of a capture")]
    Empty,
    /// It ends within a header or a packet.
    #[error("the capture ends in the middle of a packet: {bytes} bytes are left over")]
    Truncated {
        /// Bytes of what is incomplete.
        bytes: usize,
    },
    /// A length makes no sense.
    #[error("at byte {offset}: a length of {length} bytes makes no sense")]
    Length {
        /// Where the block begins, in bytes from the file's beginning.
        offset: u64,
        /// The length.
        length: u64,
    },
    /// A block contradicts itself.
    #[error("at byte {offset}: a malformed block of type {kind:#x}")]
    Malformed {
        /// Where the block begins, in bytes from the file's beginning.
        offset: u64,
        /// Its type.
        kind: u32,
    },
    /// A packet names an interface that its section has not described.
    #[error("at byte {offset}: a packet of interface {interface}, which was not described")]
    NoInterface {
        /// Where the block begins, in bytes from the file's beginning.
        offset: u64,
        /// The interface's number within the section.
        interface: u32,
    },
    /// More interfaces than are kept.
    #[error("more than {MAX_INTERFACES} interfaces")]
    TooManyInterfaces,
    /// A link type whose packets cannot be read.
    #[error(
        "link type {number} is not known: Ethernet (1), Linux cooked (113, 276), raw IP (101, 228, 229) and loopback \
         (0, 108) are"
    )]
    LinkType {
        /// Its number.
        number: u16,
    },
}

/// A packet of a capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since the Unix epoch; 0 if the capture does not say.
    pub time_ns: u64,
    /// Number of its interface within the file, over all sections, from 0 on.
    pub interface: u32,
    /// What its first byte belongs to.
    pub link: LinkType,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub wire_len: u32,
}

#[cfg(test)]
pub(crate) mod tests;
