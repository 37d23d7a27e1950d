//! Sections of pcapng files and their blocks. All begin with a type and a length of four bytes each, and end with the
//! same length.

use std::ops::Range;

use pcap_parser::{Block, IDB_MAGIC, parse_block_be, parse_block_le};

use super::{
    block::{Content, Found, half, range, word},
    error::CaptureError,
    interface::Interface,
    limits::MAX_INTERFACES,
    names::Names,
};

/// The option with a comment (pcapng section 3.5.1).
const COMMENT: u16 = 1;

/// Type of the block that begins a section, the same in both byte orders (pcapng section 4.1).
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// The word after the length of that block.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Shortest length of that block: type 4, length 4, byte order 4, version 4, length of the section 8, length 4.
const SECTION_HEADER_LEN: usize = 28;

/// Type of a packet block with interface 4, time 8, captured length 4 and length 4 (pcapng section 4.3).
const ENHANCED_PACKET: u32 = 6;
/// Type of a packet block with the length alone, of the section's first interface (pcapng section 4.4).
const SIMPLE_PACKET: u32 = 3;
/// Type of the packet block that [`ENHANCED_PACKET`] has replaced. It differs in its interface of 2 bytes, which a count
/// of drops of 2 bytes follows (pcapng appendix A).
const OBSOLETE_PACKET: u32 = 2;
/// Shortest length of these two: type 4, length 4, interface 4, time 8, captured length 4, length 4, length 4.
const PACKET_LEN: usize = 32;

/// A section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) big_endian: bool,
    interfaces: Vec<Interface>,
}

impl Section {
    /// Reads the byte order of a section from the beginning of its first block. Returns `Err` if it is invalid, and
    /// `Ok(None)` if `rest` is too short.
    pub(super) fn order(rest: &[u8]) -> Result<Option<bool>, ()> {
        match word(rest, 8, false) {
            None => Ok(None),
            Some(BYTE_ORDER) => Ok(Some(false)),
            Some(word) if word.swap_bytes() == BYTE_ORDER => Ok(Some(true)),
            Some(_) => Err(()),
        }
    }

    /// Reads the first block of a section. Returns `None` if it is malformed.
    pub(super) fn read(block: &[u8]) -> Option<Self> {
        let big_endian = Self::order(block).ok()??;
        let is_known = half(block, 12, big_endian)? == 1;
        let is_whole = block.len() >= SECTION_HEADER_LEN && has_length_at_end(block, big_endian);
        (is_known && is_whole).then_some(Self { big_endian, interfaces: Vec::new() })
    }

    /// Reads another block of the section, which is at `offset` of the file.
    pub(super) fn take(
        &mut self,
        kind: u32,
        block: &[u8],
        offset: u64,
        names: &Names,
    ) -> Result<Content, CaptureError> {
        let malformed = || CaptureError::Malformed { offset, kind };
        let number = match kind {
            ENHANCED_PACKET if block.len() >= PACKET_LEN => word(block, 8, self.big_endian),
            OBSOLETE_PACKET if block.len() >= PACKET_LEN => half(block, 8, self.big_endian).map(u32::from),
            SIMPLE_PACKET => Some(0),
            ENHANCED_PACKET | OBSOLETE_PACKET => None,
            IDB_MAGIC => {
                return self.describe(block, names)?.map(Content::Interface).ok_or_else(malformed);
            }
            // Names, statistics, secrets and custom blocks.
            _ => return Ok(Content::Other),
        };
        let number = number.filter(|_| has_length_at_end(block, self.big_endian)).ok_or_else(malformed)?;
        let interface = usize::try_from(number).ok().and_then(|at| self.interfaces.get(at));
        let interface = interface.ok_or(CaptureError::NoInterface { offset, interface: number })?;
        let content = if kind == SIMPLE_PACKET {
            simple(interface, block, self.big_endian)
        } else {
            packet(interface, block, self.big_endian)
        };
        content.ok_or_else(malformed)
    }

    /// Adds an interface. Returns whether its link type is supported, or `None` if the block is malformed.
    fn describe(&mut self, block: &[u8], names: &Names) -> Result<Option<bool>, CaptureError> {
        let parsed = if self.big_endian { parse_block_be(block) } else { parse_block_le(block) };
        let Ok((_, Block::InterfaceDescription(description))) = parsed else {
            return Ok(None);
        };
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(CaptureError::TooManyInterfaces);
        }
        let Some(interface) = Interface::read(&description, self.big_endian, names) else {
            return Ok(None);
        };
        self.interfaces.push(interface);
        Ok(Some(interface.link.is_some()))
    }
}

/// Returns whether a block ends with its length.
fn has_length_at_end(block: &[u8], big_endian: bool) -> bool {
    let at = block.len().saturating_sub(4);
    word(block, at, big_endian).and_then(|len| usize::try_from(len).ok()) == Some(block.len())
}

/// Reads a packet block with a time. Returns `None` if it is malformed.
fn packet(interface: &Interface, block: &[u8], big_endian: bool) -> Option<Content> {
    let word = |at| word(block, at, big_endian);
    let (high, low, captured, wire_len) = (word(12)?, word(16)?, word(20)?, word(24)?);
    let bytes = range(28, captured, block.len().saturating_sub(4))?;
    let Some(link) = interface.link else {
        return Some(Content::Unsupported(interface.link_type));
    };
    let comment = options(block, bytes.end.next_multiple_of(4), big_endian)
        .find(|(code, _)| *code == COMMENT)
        .map(|(_, range)| range);
    Some(Content::Packet(Found {
        time_ns: interface.time_ns(high, low),
        interface: interface.name,
        link,
        bytes,
        wire_len: wire_len.max(captured),
        comment,
    }))
}

/// Returns the options of a block, which begin at `at`, with the ranges of their values.
fn options(block: &[u8], mut at: usize, big_endian: bool) -> impl Iterator<Item = (u16, Range<usize>)> {
    let end = block.len().saturating_sub(4);
    std::iter::from_fn(move || {
        let (code, len) = (half(block, at, big_endian)?, half(block, at.checked_add(2)?, big_endian)?);
        let value = range(at.checked_add(4)?, len.into(), end)?;
        at = value.end.next_multiple_of(4);
        (code != 0).then_some((code, value))
    })
}

/// Reads a packet block without a time. Returns `None` if it is malformed.
fn simple(interface: &Interface, block: &[u8], big_endian: bool) -> Option<Content> {
    let wire_len = word(block, 8, big_endian)?;
    let end = block.len().checked_sub(4)?;
    let bytes = range(12, interface.captured(wire_len), end).unwrap_or(12..end);
    let Some(link) = interface.link else {
        return Some(Content::Unsupported(interface.link_type));
    };
    Some(Content::Packet(Found {
        time_ns: 0,
        interface: interface.name,
        link,
        bytes,
        wire_len,
        comment: None,
    }))
}
