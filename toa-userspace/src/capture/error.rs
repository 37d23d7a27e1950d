//! Why a capture cannot be read.

use thiserror::Error;

use super::limits::MAX_INTERFACES;

/// Why a capture cannot be read, or not any further.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CaptureError {
    /// The first bytes are no capture's.
    #[error("not a pcap or pcapng file")]
    NoCapture,
    /// Nothing at all.
    #[error("the capture is empty: it has no header")]
    Empty,
    /// It ends within a header or a packet.
    #[error("the capture ends within a packet: {bytes} bytes are left over")]
    Truncated {
        /// Bytes of what is incomplete.
        bytes: usize,
    },
    /// A length makes no sense.
    #[error("at byte {offset}: impossible length of {length} bytes")]
    Length {
        /// Where the block begins, in bytes from the file's beginning.
        offset: u64,
        /// The length.
        length: u64,
    },
    /// A block contradicts itself.
    #[error("at byte {offset}: malformed block of type {kind:#x}")]
    Malformed {
        /// Where the block begins, in bytes from the file's beginning.
        offset: u64,
        /// Its type.
        kind: u32,
    },
    /// A packet names an interface that its section has not described.
    #[error("at byte {offset}: packet of undescribed interface {interface}")]
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
        "unsupported link type {number}: supported are Ethernet (1), Linux cooked (113, 276), raw IP (101, 228, 229) \
         and loopback (0, 108)"
    )]
    LinkType {
        /// Its number.
        number: u16,
    },
}
