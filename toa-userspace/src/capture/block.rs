//! The parts of a capture: file headers, packets of pcap files, and blocks of pcapng files.

use std::ops::Range;

use super::link::LinkType;

/// A part of a file, measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// The type of a pcapng block; of pcap, [`FILE_HEADER`] or [`PACKET`].
    pub(super) kind: u32,
    /// Its length in bytes.
    pub(super) len: usize,
}

/// Pseudo block type of the header of a pcap file, a number that pcapng does not assign.
pub(super) const FILE_HEADER: u32 = 0;
/// Pseudo block type of a packet of a pcap file, a number that pcapng does not assign.
pub(super) const PACKET: u32 = u32::MAX;

/// What a part contains.
#[derive(Debug)]
pub(super) enum Content {
    /// A packet.
    Packet(Found),
    /// A packet of this unsupported link type.
    Unsupported(u16),
    /// The description of an interface, and whether its link type is supported.
    Interface(bool),
    /// Anything else.
    Other,
}

/// A packet, as found in its part of the file.
#[derive(Debug)]
pub(super) struct Found {
    /// As in [`super::Packet`].
    pub(super) time_ns: u64,
    /// As in [`super::Packet`].
    pub(super) interface: u32,
    /// As in [`super::Packet`].
    pub(super) link: LinkType,
    /// The range of the captured bytes.
    pub(super) bytes: Range<usize>,
    /// As in [`super::Packet`].
    pub(super) wire_len: u32,
    /// The range of the comment, if there is one.
    pub(super) comment: Option<Range<usize>>,
}

/// Reads the four bytes at `at` in the given byte order.
pub(super) fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
}

/// Reads the two bytes at `at` in the given byte order.
pub(super) fn half(bytes: &[u8], at: usize, big_endian: bool) -> Option<u16> {
    let half = bytes.get(at..)?.first_chunk()?;
    Some(if big_endian { u16::from_be_bytes(*half) } else { u16::from_le_bytes(*half) })
}

/// Returns the range of `len` bytes at `at`, or `None` if it reaches past `end`.
pub(super) fn range(at: usize, len: u32, end: usize) -> Option<Range<usize>> {
    let range = at..at.checked_add(usize::try_from(len).ok()?)?;
    (range.end <= end).then_some(range)
}
