//! Responsible for the record that stands before each streamed frame. Not responsible for the ring that carries records.

use crate::{address::Address, limits::MAX_SAMPLE_BYTES};

/// What the kernel says of one packet of a followed flow; its frame comes right behind. 64 bytes:
///
/// ```text
///  0 time, monotonic, ns        8 generation         16 client address
/// 32 frame length              36 captured length    40 payload length   44 interface index
/// 48 payload offset            50 transport offset   52 client port      54 VLAN tag
/// 56 GSO segments              58 TOA kind           59 TOA length       60 learned from
/// 61 flags                     62 network offset     63 unused
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct SegmentRecord {
    /// When the packet was at the hook, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Tells this connection from earlier and later ones with the same 4-tuple: when it was learned, in
    /// nanoseconds of `CLOCK_MONOTONIC`.
    pub generation: u64,
    /// The real client's address.
    pub client_address: Address,
    /// Bytes of the frame.
    pub frame_len: u32,
    /// Bytes of the frame that follow this record.
    pub captured_len: u32,
    /// Bytes of TCP payload in the whole frame.
    pub payload_len: u32,
    /// The interface's index.
    pub interface_index: u32,
    /// Where in the frame the payload begins, in bytes.
    pub payload_offset: u16,
    /// Where in the frame the TCP header begins, in bytes.
    pub transport_offset: u16,
    /// The real client's port, in network order.
    pub client_port_be: u16,
    /// The VLAN tag from the packet's metadata, or 0.
    pub vlan_tci: u16,
    /// How many segments were merged into the packet; 0 if it is a single one.
    pub gso_segments: u16,
    /// Kind of the TOA option that named the client.
    pub toa_kind: u8,
    /// Length of that option, in bytes.
    pub toa_length: u8,
    /// A [`crate::follow::LearnedFrom`].
    pub learned_from: u8,
    /// A set of [`flags`].
    pub flags: u8,
    /// Where in the frame the IP header begins, in bytes.
    pub network_offset: u8,
    #[doc(hidden)]
    pub _unused: u8,
}

/// Bits of [`SegmentRecord::flags`] and [`crate::flow::Flow::flags`].
pub mod flags {
    /// Only a SYN has named the client yet.
    pub const PROVISIONAL: u8 = 1;
    /// The TOA could be another protocol's option.
    pub const AMBIGUOUS: u8 = 1 << 1;
    /// The packet that taught the client carried more than one TOA.
    pub const MULTIPLE: u8 = 1 << 2;
    /// A later TOA named another client.
    pub const CONFLICT: u8 = 1 << 3;
}

const _: () = assert!(size_of::<SegmentRecord>() == SegmentRecord::LEN);
const _: () = assert!(core::mem::offset_of!(SegmentRecord, client_address) == 16);
const _: () = assert!(core::mem::offset_of!(SegmentRecord, payload_offset) == 48);
const _: () = assert!(core::mem::offset_of!(SegmentRecord, network_offset) == 62);

impl SegmentRecord {
    /// Bytes of a record.
    pub const LEN: usize = 64;

    /// Reads the record at the beginning of `sample`, and what follows it. `None` if the sample is shorter
    /// than a record.
    #[must_use]
    pub fn decode(sample: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, rest) = sample.split_first_chunk::<{ Self::LEN }>()?;
        let mut fields = Fields(bytes);
        Some((
            Self {
                time_ns: u64::from_ne_bytes(fields.take()?),
                generation: u64::from_ne_bytes(fields.take()?),
                client_address: Address::from_ipv6(&fields.take()?),
                frame_len: u32::from_ne_bytes(fields.take()?),
                captured_len: u32::from_ne_bytes(fields.take()?),
                payload_len: u32::from_ne_bytes(fields.take()?),
                interface_index: u32::from_ne_bytes(fields.take()?),
                payload_offset: u16::from_ne_bytes(fields.take()?),
                transport_offset: u16::from_ne_bytes(fields.take()?),
                client_port_be: u16::from_ne_bytes(fields.take()?),
                vlan_tci: u16::from_ne_bytes(fields.take()?),
                gso_segments: u16::from_ne_bytes(fields.take()?),
                toa_kind: fields.byte()?,
                toa_length: fields.byte()?,
                learned_from: fields.byte()?,
                flags: fields.byte()?,
                network_offset: fields.byte()?,
                _unused: fields.byte()?,
            },
            rest,
        ))
    }
}

/// Takes fields off the front, in their order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }
}

/// Longest part of a frame that one record carries, in bytes.
pub const MAX_CAPTURED_BYTES: usize = MAX_SAMPLE_BYTES - size_of::<SegmentRecord>();

const _: () = assert!(MAX_CAPTURED_BYTES == 65_452);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_from_its_place() {
        let sample: Vec<u8> = (0..70).collect();
        let (record, rest) = SegmentRecord::decode(&sample).unwrap();
        let half = |at: u8| u16::from_ne_bytes([at, at + 1]);
        let word = |at: u8| u32::from_ne_bytes([at, at + 1, at + 2, at + 3]);
        assert_eq!(record.time_ns, u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(record.client_address.0, [word(16), word(20), word(24), word(28)]);
        assert_eq!(
            (record.frame_len, record.captured_len, record.payload_len),
            (word(32), word(36), word(40))
        );
        assert_eq!((record.payload_offset, record.client_port_be), (half(48), half(52)));
        assert_eq!((record.toa_kind, record.learned_from, record.network_offset), (58, 60, 62));
        assert_eq!(rest, [64, 65, 66, 67, 68, 69]);
        assert_eq!(SegmentRecord::decode(&sample[..63]), None);
    }
}
