//! TCP segments, read from samples of the perf ring and checked.
//!
//! A sample is a [`SegmentRecord`], `captured_len` bytes of frame, and up to seven bytes of the ring's padding. The
//! frame is parsed again, by the parser that the kernel used. What the record says about the frame is compared with it,
//! not trusted.

pub mod checksum;
pub mod details;
pub mod plaintext;

use thiserror::Error;
use toa_common::{
    attribution::Attribution,
    body::Position,
    bypass::Bypass,
    config::Config,
    flow::flags as flow_flags,
    flow_key::FlowKey,
    inspect,
    record::SegmentRecord,
    seq::Seq,
    skip_reason::SkipReason,
    tcp_packet::TcpPacket,
    wire::view::{Captured, Link},
};

use details::Details;

/// A checked TCP segment of a followed connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment<'a> {
    /// The 4-tuple: the balancer's side is the source, this host's the destination.
    pub key: FlowKey,
    /// Distinguishes the connection from others with the same 4-tuple.
    pub generation: u64,
    /// When the segment was at the hook, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Index of the interface that received the segment.
    pub interface_index: u32,
    /// The client, as far as the kernel knew it when the segment arrived.
    pub attribution: Attribution,
    /// The sequence number: that of the SYN if there is one, else that of the first byte.
    pub seq: Seq,
    /// The TCP flags, see [`toa_common::wire::tcp`].
    pub flags: u8,
    /// What the TCP header says besides.
    pub details: Details,
    /// Where the connection's stream starts.
    pub start: Start,
    /// Whether the kernel takes it for a stray: a reset at another place than the next byte.
    pub is_stray: bool,
    /// Whether the server may have discarded it, according to its socket.
    pub is_doubtful: bool,
    /// The captured part of the payload.
    pub payload: &'a [u8],
    /// Bytes of the payload without those that the kernel left out on purpose. The last `payload_len - payload.len()` of
    /// them were cut off.
    pub payload_len: u32,
    /// The part of a body after the payload that the kernel has read and left out.
    pub left_out: Option<LeftOut>,
}

/// A part of a body that the kernel has read instead of copying it: see [`toa_common::body`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeftOut {
    /// Where the packet ends.
    pub packet_end: Seq,
    /// Where the part ends: there, or in a later packet.
    pub end: Seq,
    /// The position in the body at its end.
    pub position: Position,
}

impl LeftOut {
    /// Returns the window that the kernel opened for it, of which only the end is known.
    pub fn window(&self, generation: u64) -> Bypass {
        Bypass { position: self.position, ..Bypass::new(generation, self.end, 0) }
    }
}

/// Where the stream of a connection starts, as far as the packet that named its client shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// Unknown: the connection was open before.
    Unknown,
    /// At this number, or earlier if an earlier segment named the client as well.
    Data(Seq),
    /// At this number.
    Known(Seq),
}

impl Start {
    /// Reads the start of a flow.
    pub fn of_flow(flags: u16, start_seq: u32) -> Self {
        if flags & flow_flags::START_KNOWN != 0 {
            Self::Known(Seq(start_seq))
        } else if flags & flow_flags::START_DATA != 0 {
            Self::Data(Seq(start_seq))
        } else {
            Self::Unknown
        }
    }

    /// Reads the start of the flow of a record. Data that named nobody shows none: it may be in the middle of a body.
    pub fn of_record(record: &SegmentRecord) -> Self {
        match Self::of_flow(record.flags, record.start_seq) {
            Self::Data(_) if !record.attribution.is_named() => Self::Unknown,
            start => start,
        }
    }
}

/// Why a sample is not a segment.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SegmentError {
    /// The sample ends within the record.
    #[error("a sample of {len} bytes is too short for a record")]
    NoRecord {
        /// Bytes of the sample.
        len: usize,
    },
    /// The sample ends within the captured part of the frame.
    #[error("the record announces {captured_len} bytes of frame, but has {found}")]
    FrameMissing {
        /// Bytes that the record announces.
        captured_len: u32,
        /// Bytes after the record, padding included.
        found: usize,
    },
    /// The captured part is longer than the frame.
    #[error("{captured_len} bytes captured of a frame of {frame_len}")]
    FrameTooShort {
        /// Bytes captured.
        captured_len: u32,
        /// Bytes of the frame.
        frame_len: u32,
    },
    /// The frame has no readable IP and TCP headers where the record says they are.
    #[error("no TCP header after offset {network_offset}: {reason:?}")]
    Headers {
        /// Where the IP header begins according to the record.
        network_offset: u8,
        /// The parser's reason.
        reason: SkipReason,
    },
    /// The record contradicts the frame.
    #[error("{field} is {record} in the record and {frame} in the frame")]
    Contradiction {
        /// The name of the field.
        field: &'static str,
        /// The value in the record.
        record: u32,
        /// The value in the frame.
        frame: u32,
    },
    /// The record names an unknown way to learn a client.
    #[error("{byte} is not a known way to learn a client")]
    LearnedFrom {
        /// The record's byte.
        byte: u8,
    },
}

impl<'a> Segment<'a> {
    /// Reads and checks `sample`. `clock_offset_ns` is added to `CLOCK_MONOTONIC` nanoseconds to get nanoseconds since
    /// the Unix epoch.
    pub fn decode(sample: &'a [u8], clock_offset_ns: u64) -> Result<Self, SegmentError> {
        let (record, rest) =
            SegmentRecord::decode(sample).ok_or(SegmentError::NoRecord { len: sample.len() })?;
        let SegmentRecord { captured_len, frame_len, network_offset, .. } = record;
        if captured_len > frame_len {
            return Err(SegmentError::FrameTooShort { captured_len, frame_len });
        }
        let frame = usize::try_from(captured_len)
            .ok()
            .and_then(|len| rest.get(..len))
            .ok_or(SegmentError::FrameMissing { captured_len, found: rest.len() })?;
        let headers = |reason| SegmentError::Headers { network_offset, reason };
        let truncated = || headers(SkipReason::Truncated);
        let packet = frame.get(usize::from(network_offset)..).ok_or_else(truncated)?;
        let wire_len = frame_len.checked_sub(u32::from(network_offset)).ok_or_else(truncated)?;
        let tcp = inspect::parse_headers(&Captured { bytes: packet, wire_len }, Link::Ip, &Config::DEFAULT)
            .map_err(headers)?;
        compare(&record, &tcp)?;
        if record.attribution.learned_from().is_none() {
            return Err(SegmentError::LearnedFrom { byte: record.attribution.learned_from });
        }
        let captured = usize::try_from(tcp.payload_offset()).ok().and_then(|offset| packet.get(offset..));
        let captured = captured.unwrap_or_default();
        // The link layer's padding follows the payload.
        let payload =
            usize::try_from(tcp.payload_len).ok().and_then(|len| captured.get(..len)).unwrap_or(captured);
        let left_out = record.body().map(|(end, position)| {
            let packet_end = tcp.first_byte() + tcp.payload_len;
            LeftOut { packet_end, end, position }
        });
        let payload_len = if left_out.is_some() { payload.len() as u32 } else { tcp.payload_len };
        Ok(Self {
            key: tcp.key,
            generation: record.generation,
            time_ns: record.time_ns.saturating_add(clock_offset_ns),
            interface_index: record.interface_index,
            attribution: record.attribution,
            seq: tcp.seq,
            flags: tcp.flags,
            details: Details::read(packet, &tcp, record.gso_segments > 1),
            start: Start::of_record(&record),
            is_stray: record.flags & flow_flags::STRAY != 0,
            is_doubtful: record.flags & flow_flags::DOUBTFUL != 0,
            payload,
            payload_len,
            left_out,
        })
    }

    /// Returns how many bytes of payload the kernel cut off.
    pub fn cut_bytes(&self) -> u64 {
        u64::from(self.payload_len).saturating_sub(self.payload.len() as u64)
    }
}

/// Compares the record's offsets and lengths with those of the frame.
fn compare(record: &SegmentRecord, tcp: &TcpPacket) -> Result<(), SegmentError> {
    let base = u32::from(record.network_offset);
    for (field, record, frame) in [
        ("transport offset", u32::from(record.transport_offset), base.wrapping_add(tcp.transport_offset)),
        ("payload offset", u32::from(record.payload_offset), base.wrapping_add(tcp.payload_offset())),
        ("payload length", record.payload_len, tcp.payload_len),
    ] {
        if record != frame {
            return Err(SegmentError::Contradiction { field, record, frame });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
