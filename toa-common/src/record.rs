//! The record that precedes each frame in a ring.

use crate::{
    attribution::Attribution,
    body::{Position, states},
    flow::flags::PLAINTEXT,
    limits::MAX_SAMPLE_BYTES,
    seq::Seq,
};

/// The kernel's description of one packet of a followed flow. The frame follows the record. Times are in nanoseconds of
/// `CLOCK_MONOTONIC`, offsets in bytes from the start of the frame. 80 bytes:
///
/// ```text
///  0 time                  8 generation         16 attribution        40 frame length
/// 44 captured length      48 payload length     52 interface index    56 payload offset
/// 58 VLAN tag             60 GSO segments       62 transport offset   63 network offset
/// 64 start                68 flags              70 body state         71 body digits
/// 72 body position        76 body size
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct SegmentRecord {
    /// When the packet was at the hook.
    pub time_ns: u64,
    /// When the flow was learned. Distinguishes it from earlier and later flows with the same 4-tuple.
    pub generation: u64,
    /// The flow's client, and where that was learned from.
    pub attribution: Attribution,
    /// Length of the frame, in bytes.
    pub frame_len: u32,
    /// Bytes of the frame that follow this record.
    pub captured_len: u32,
    /// Bytes of TCP payload in the whole frame.
    pub payload_len: u32,
    /// Index of the interface.
    pub interface_index: u32,
    /// Offset of the payload.
    pub payload_offset: u16,
    /// The VLAN tag from the packet's metadata, or 0.
    pub vlan_tci: u16,
    /// Number of segments that were merged into the packet; 0 if it is a single segment.
    pub gso_segments: u16,
    /// Offset of the TCP header, at most [`crate::limits::MAX_TRANSPORT_OFFSET`].
    pub transport_offset: u8,
    /// Offset of the IP header.
    pub network_offset: u8,
    /// Sequence number of the connection's first byte, as far as [`Self::flags`] say.
    pub start_seq: u32,
    /// The flow's [`crate::flow::flags`].
    pub flags: u16,
    /// The state of the body at [`Self::body_seq`], if the kernel read one and left out a part of the payload: see
    /// [`crate::body::Position`].
    pub body_state: u8,
    /// The digits of its chunk's size that were read.
    pub body_digits: u8,
    /// Sequence number up to which the body was read.
    pub body_seq: u32,
    /// The size of its chunk, as far as it was read.
    pub body_size: u32,
}

const _: () = assert!(size_of::<SegmentRecord>() == SegmentRecord::LEN);
const _: () = assert!(core::mem::offset_of!(SegmentRecord, frame_len) == 40);
const _: () = assert!(core::mem::offset_of!(SegmentRecord, network_offset) == 63);

/// Offset of the flags in a record of any kind.
pub const FLAGS_OFFSET: usize = core::mem::offset_of!(SegmentRecord, flags);

/// Returns whether a sample is plaintext ([`crate::plaintext::PlaintextRecord`]), not a packet.
pub fn is_plaintext(sample: &[u8]) -> bool {
    let flags = sample.get(FLAGS_OFFSET..).and_then(<[u8]>::first_chunk);
    flags.is_some_and(|flags| u16::from_ne_bytes(*flags) & PLAINTEXT != 0)
}

/// Maximum length of the part of a frame that follows a record, in bytes.
pub const MAX_CAPTURED_BYTES: usize = MAX_SAMPLE_BYTES - SegmentRecord::LEN;

const _: () = assert!(MAX_CAPTURED_BYTES == 65_436);

impl SegmentRecord {
    /// Size of a record, in bytes.
    pub const LEN: usize = 80;

    /// Returns the position in the body, if the kernel read one.
    pub fn body(&self) -> Option<(Seq, Position)> {
        let position = Position {
            size: self.body_size,
            state: self.body_state,
            digits: self.body_digits,
            ..Position::END
        };
        (self.body_state != states::UNKNOWN).then_some((Seq(self.body_seq), position))
    }

    /// Reads the record at the beginning of `sample`. Returns the record and the bytes that follow it, or `None` if the
    /// sample is shorter than a record.
    pub fn decode(sample: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, rest) = sample.split_first_chunk::<{ Self::LEN }>()?;
        let mut fields = Fields::new(bytes);
        let record = Self {
            time_ns: u64::from_ne_bytes(fields.take()?),
            generation: u64::from_ne_bytes(fields.take()?),
            attribution: Attribution::decode(&fields.take()?),
            frame_len: u32::from_ne_bytes(fields.take()?),
            captured_len: u32::from_ne_bytes(fields.take()?),
            payload_len: u32::from_ne_bytes(fields.take()?),
            interface_index: u32::from_ne_bytes(fields.take()?),
            payload_offset: u16::from_ne_bytes(fields.take()?),
            vlan_tci: u16::from_ne_bytes(fields.take()?),
            gso_segments: u16::from_ne_bytes(fields.take()?),
            transport_offset: fields.byte()?,
            network_offset: fields.byte()?,
            start_seq: u32::from_ne_bytes(fields.take()?),
            flags: u16::from_ne_bytes(fields.take()?),
            body_state: fields.byte()?,
            body_digits: fields.byte()?,
            body_seq: u32::from_ne_bytes(fields.take()?),
            body_size: u32::from_ne_bytes(fields.take()?),
        };
        Some((record, rest))
    }
}

/// The bytes of a record that were not read yet. Fields are read from the front, in their order.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_from_its_place() {
        let sample: Vec<u8> = (0..86).collect();
        let (record, rest) = SegmentRecord::decode(&sample).unwrap();
        let half = |at: u8| u16::from_ne_bytes([at, at + 1]);
        let word = |at: u8| u32::from_ne_bytes([at, at + 1, at + 2, at + 3]);
        let SegmentRecord { attribution, .. } = record;
        assert_eq!(record.time_ns, u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(attribution.address.0, [word(16), word(20), word(24), word(28)]);
        assert_eq!((attribution.port_be, attribution.toa_kind, attribution.toa_length), (half(32), 34, 35));
        assert_eq!((attribution.learned_from, attribution.flags), (36, 37));
        assert_eq!(
            (record.frame_len, record.captured_len, record.payload_len),
            (word(40), word(44), word(48))
        );
        assert_eq!((record.payload_offset, record.gso_segments), (half(56), half(60)));
        assert_eq!((record.transport_offset, record.network_offset), (62, 63));
        assert_eq!((record.start_seq, record.flags), (word(64), half(68)));
        assert_eq!((record.body_state, record.body_digits), (70, 71));
        assert_eq!((record.body_seq, record.body_size), (word(72), word(76)));
        assert_eq!(rest, [80, 81, 82, 83, 84, 85]);
        assert_eq!(SegmentRecord::decode(&sample[..79]), None);
    }
}
