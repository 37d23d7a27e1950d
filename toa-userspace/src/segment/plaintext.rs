//! Plaintext of followed connections, read from samples of the perf ring and checked.

use toa_common::{
    plaintext::{PlaintextRecord, flags},
    seq::Seq,
    wire::tcp::ACK,
};

use super::{Segment, SegmentError, Start, details::Details};

/// One read of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plaintext<'a> {
    /// What was read, as a segment of a stream that begins at sequence number 0.
    pub segment: Segment<'a>,
    /// Whether nothing was read, and nothing follows.
    pub is_end: bool,
}

impl<'a> Plaintext<'a> {
    /// Reads and checks `sample`. `clock_offset_ns` is added to `CLOCK_MONOTONIC` nanoseconds to get nanoseconds since
    /// the Unix epoch.
    pub fn decode(sample: &'a [u8], clock_offset_ns: u64) -> Result<Self, SegmentError> {
        let (record, rest) =
            PlaintextRecord::decode(sample).ok_or(SegmentError::NoRecord { len: sample.len() })?;
        let PlaintextRecord { captured_len, len, .. } = record;
        if captured_len > len {
            return Err(SegmentError::FrameTooShort { captured_len, frame_len: len });
        }
        let payload = usize::try_from(captured_len)
            .ok()
            .and_then(|len| rest.get(..len))
            .ok_or(SegmentError::FrameMissing { captured_len, found: rest.len() })?;
        if record.attribution.learned_from().is_none() {
            return Err(SegmentError::LearnedFrom { byte: record.attribution.learned_from });
        }
        let seq = PlaintextRecord::seq(record.offset);
        // Of two reads, the later one has another number: the server may have answered in between. So it is looked at
        // whether a body that may be left out is one.
        let details = Details { ack: seq, ..Details::default() };
        let start = if record.has(flags::START_KNOWN) { Start::Known(Seq(0)) } else { Start::Unknown };
        Ok(Self {
            segment: Segment {
                key: record.key,
                generation: record.generation,
                time_ns: record.time_ns.saturating_add(clock_offset_ns),
                interface_index: record.interface_index,
                attribution: record.attribution,
                seq,
                flags: ACK,
                details,
                start,
                is_stray: false,
                is_doubtful: false,
                payload,
                payload_len: len,
                left_out: None,
            },
            is_end: record.has(flags::END),
        })
    }
}
