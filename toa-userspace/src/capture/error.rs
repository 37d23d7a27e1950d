//! Errors of reading a capture.

use thiserror::Error;

use super::{limits::MAX_INTERFACES, link::LinkNumber};

/// Why a capture cannot be read, or not to its end.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CaptureError {
    /// The file does not begin like a capture.
    #[error("not a pcap or pcapng file")]
    NoCapture,
    /// The file is compressed in a way that is not read.
    #[error("it is compressed with {0}: decompress it first, as in {0} -dc FILE | toa-tc read -")]
    Compressed(&'static str),
    /// The file is empty.
    #[error("the capture is empty: it has no header")]
    Empty,
    /// The file ends within its header.
    #[error("the capture ends within its file header")]
    TruncatedHeader,
    /// The file ends within a packet or another block.
    #[error("the capture ends within a packet: {bytes} bytes are left over")]
    Truncated {
        /// Bytes of the incomplete part.
        bytes: usize,
    },
    /// A length is impossible.
    #[error("at byte {offset}: impossible length of {length} bytes")]
    Length {
        /// Where the block begins, in bytes from the beginning of the file.
        offset: u64,
        /// The length.
        length: u64,
    },
    /// A block contradicts itself.
    #[error("at byte {offset}: malformed block of type {kind:#x}")]
    Malformed {
        /// Where the block begins, in bytes from the beginning of the file.
        offset: u64,
        /// The type of the block.
        kind: u32,
    },
    /// A packet refers to an interface that its section does not describe.
    #[error("at byte {offset}: packet of undescribed interface {interface}")]
    NoInterface {
        /// Where the block begins, in bytes from the beginning of the file.
        offset: u64,
        /// The number of the interface within its section.
        interface: u32,
    },
    /// A section has more interfaces than are kept.
    #[error("more than {MAX_INTERFACES} interfaces in a section")]
    TooManyInterfaces,
    /// An unsupported link type.
    #[error(
        "unsupported link type {}: supported are Ethernet (1), Linux cooked (113, 276), raw IP (101, 228, 229) \
         and loopback (0, 108)",
        LinkNumber(*number)
    )]
    LinkType {
        /// The number of the link type.
        number: u16,
    },
}
