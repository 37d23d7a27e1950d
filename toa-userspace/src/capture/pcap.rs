//! pcap files: a file header and packets, in either byte order, with microseconds or nanoseconds, and the variant of
//! Alexey Kuznetzov that old systems wrote.

use super::{
    block::{Content, Found, range, word},
    error::CaptureError,
    link::LinkType,
    names::UNNAMED,
};

/// Bytes of the file header: magic number 4, version 4, zone 4, accuracy 4, snapshot length 4, link type 4.
pub(super) const FILE_HEADER_LEN: usize = 24;

/// The first word of a file with microseconds.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
/// The first word of a file with nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The first word of a file of Kuznetzov's variant, with microseconds.
const MODIFIED: u32 = 0xa1b2_cd34;

/// Bytes of a packet's header: seconds 4, fraction 4, captured length 4, length 4. Kuznetzov's variant has eight more:
/// interface 4, protocol 2, type 1, padding 1.
const PACKET_HEADER_LEN: usize = 16;
const MODIFIED_HEADER_LEN: usize = 24;

/// A file, as its header describes it.
#[derive(Debug)]
pub(super) struct Pcap {
    big_endian: bool,
    /// Nanoseconds per unit of the fraction of a timestamp.
    unit_ns: u64,
    /// Bytes of a packet's header.
    header_len: usize,
    link: LinkType,
}

impl Pcap {
    /// Returns whether a file that begins with `rest` is a pcap file.
    pub(super) fn is_begun_by(rest: &[u8]) -> bool {
        magic(rest).is_some()
    }

    /// Reads the file header.
    pub(super) fn read(header: &[u8]) -> Result<Self, CaptureError> {
        let (magic, big_endian) = magic(header).ok_or(CaptureError::NoCapture)?;
        let network = word(header, 20, big_endian).ok_or(CaptureError::NoCapture)?;
        // The upper half describes checksums at the end of frames, which are not used here.
        let number = network as u16;
        Ok(Self {
            big_endian,
            unit_ns: if magic == NANOSECONDS { 1 } else { 1000 },
            header_len: if magic == MODIFIED { MODIFIED_HEADER_LEN } else { PACKET_HEADER_LEN },
            link: LinkType::from_number(number).ok_or(CaptureError::LinkType { number })?,
        })
    }

    /// Returns the captured length of the packet at the beginning of `rest` and its length with its header, or the
    /// number of bytes that are needed to know it.
    pub(super) fn measure(&self, rest: &[u8]) -> Result<(u32, usize), usize> {
        let captured = word(rest, 8, self.big_endian).ok_or(self.header_len)?;
        Ok((captured, usize::try_from(captured).unwrap_or(usize::MAX).saturating_add(self.header_len)))
    }

    /// Reads a packet. Returns `None` if it is not complete.
    pub(super) fn packet(&self, bytes: &[u8]) -> Option<Content> {
        let header = bytes.get(..PACKET_HEADER_LEN)?;
        let word = |at| word(header, at, self.big_endian);
        let (seconds, fraction, captured, wire_len) = (word(0)?, word(4)?, word(8)?, word(12)?);
        Some(Content::Packet(Found {
            time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit_ns,
            interface: UNNAMED,
            link: self.link,
            bytes: range(self.header_len, captured, bytes.len())?,
            wire_len: wire_len.max(captured),
            comment: None,
        }))
    }
}

/// Returns whether `rest`, which is shorter than a word, may be the beginning of a pcap file.
pub(super) fn may_begin(rest: &[u8]) -> bool {
    let words = [MICROSECONDS, NANOSECONDS, MODIFIED];
    words.iter().any(|word| word.to_be_bytes().starts_with(rest) || word.to_le_bytes().starts_with(rest))
}

/// Returns the first word of a pcap file, and whether its byte order is big-endian.
fn magic(rest: &[u8]) -> Option<(u32, bool)> {
    [false, true].into_iter().find_map(|big_endian| {
        let word = word(rest, 0, big_endian)?;
        matches!(word, MICROSECONDS | NANOSECONDS | MODIFIED).then_some((word, big_endian))
    })
}
