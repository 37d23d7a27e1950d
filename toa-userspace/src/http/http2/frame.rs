//! Frames (RFC 9113 sections 4.1 and 6).

/// What a client sends first (RFC 9113 section 3.4).
pub(in super::super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's header, in bytes.
pub(super) const HEADER_BYTES: usize = 9;

/// Where the identifier of the stream begins in it.
const STREAM_AT: usize = 5;

/// The largest payload unless the server allows more, in bytes (RFC 9113 section 6.5.2).
pub(super) const USUAL_PAYLOAD_BYTES: u32 = 1 << 14;

/// Flag of DATA and HEADERS: the last frame of its stream.
const END_STREAM: u8 = 0x1;
/// Flag of SETTINGS and PING: an answer.
const ACK: u8 = 0x1;
/// Flag of HEADERS and CONTINUATION: the last frame of a header block.
const END_HEADERS: u8 = 0x4;
/// Flag of DATA and HEADERS: padding follows.
const PADDED: u8 = 0x8;
/// Flag of HEADERS: the payload begins with a priority.
const PRIORITY: u8 = 0x20;

/// The type of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    ResetStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// RFC 9218 section 7.1.
    PriorityUpdate,
    /// To be ignored (RFC 9113 section 5.5).
    Other,
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::ResetStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            0x10 => Self::PriorityUpdate,
            _ => Self::Other,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FrameHeader {
    /// Length of the payload, in bytes.
    pub(super) length: u32,
    pub(super) kind: Kind,
    flags: u8,
    /// The identifier of its stream; 0 for the connection.
    pub(super) stream_id: u32,
    is_reserved_set: bool,
}

impl FrameHeader {
    pub(super) fn read(bytes: [u8; HEADER_BYTES]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = bytes;
        let stream = u32::from_be_bytes(stream);
        Self {
            length: u32::from_be_bytes([0, high, middle, low]),
            kind: Kind::of(kind),
            flags,
            stream_id: stream & !(1 << 31),
            is_reserved_set: stream >> 31 != 0,
        }
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    pub(super) fn is_padded(&self) -> bool {
        self.flags & PADDED != 0
    }

    pub(super) fn has_priority(&self) -> bool {
        self.flags & PRIORITY != 0
    }

    /// Returns whether it is an answer, if it is SETTINGS or PING.
    pub(super) fn is_answer(&self) -> bool {
        self.flags & ACK != 0
    }

    /// Returns whether it belongs to a stream but has neither content nor an end for it.
    pub(super) fn is_idle(&self) -> bool {
        self.length == 0
            && match self.kind {
                Kind::Data => !self.ends_stream(),
                Kind::Headers | Kind::Continuation => !self.ends_headers(),
                _ => false,
            }
    }

    /// Returns whether a client that keeps to the rules may send it, as far as its header shows.
    pub(super) fn is_plausible(&self) -> bool {
        let of_stream = self.stream_id & 1 == 1;
        let (flags, is_possible) = match self.kind {
            Kind::Data => (END_STREAM | PADDED, of_stream && self.length >= u32::from(self.is_padded())),
            Kind::Headers => {
                let least = u32::from(self.is_padded()).saturating_add(5 * u32::from(self.has_priority()));
                (END_STREAM | END_HEADERS | PADDED | PRIORITY, of_stream && self.length > least)
            }
            Kind::Priority => (0, of_stream && self.length == 5),
            Kind::ResetStream => (0, of_stream && self.length == 4),
            Kind::Settings => {
                let is_whole = self.length.is_multiple_of(6) && self.length <= 6 * 64;
                (ACK, self.stream_id == 0 && if self.is_answer() { self.length == 0 } else { is_whole })
            }
            Kind::Ping => (ACK, self.stream_id == 0 && self.length == 8),
            Kind::GoAway => (0, self.stream_id == 0 && self.length >= 8),
            Kind::WindowUpdate => (0, (of_stream || self.stream_id == 0) && self.length == 4),
            Kind::Continuation => (END_HEADERS, of_stream),
            Kind::PriorityUpdate => (0, self.stream_id == 0 && self.length >= 4),
            Kind::PushPromise | Kind::Other => (0, false),
        };
        is_possible && !self.is_reserved_set && self.flags & !flags == 0 && self.length <= USUAL_PAYLOAD_BYTES
    }
}

/// Returns whether bytes are a header of which at most the stream is missing, and a frame with a payload may begin with them, not
/// in a header block.
pub(super) fn is_likely(first: &[u8]) -> bool {
    // Of the connection, or of a stream.
    let may_end_with = |end: u8| {
        let mut header = [0; HEADER_BYTES];
        header.iter_mut().zip(first).for_each(|(place, byte)| *place = *byte);
        let [.., last] = &mut header;
        *last = end;
        FrameHeader::read(header).length > 0 && may_begin(&header)
    };
    (STREAM_AT..HEADER_BYTES).contains(&first.len()) && (may_end_with(0) || may_end_with(1))
}

/// Returns whether bytes may begin with a frame, and not in a header block.
pub(in super::super) fn may_begin(bytes: &[u8]) -> bool {
    bytes
        .first_chunk()
        .map(|header| FrameHeader::read(*header))
        .is_some_and(|header| header.is_plausible() && header.kind != Kind::Continuation)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_a_client_may_send_is_plausible() {
        for (header, is_plausible) in [
            (&b"\0\0\x05\x01\x05\0\0\0\x01"[..], true),
            (b"\0\0\x05\x01\x05\0\0\0\x02", false),
            (b"\0\0\x05\x01\x05\x80\0\0\x01", false),
            (b"\0\0\x05\x01\x45\0\0\0\x01", false),
            (b"\0\0\x05\x01\x25\0\0\0\x01", false),
            (b"\0\0\x06\x01\x25\0\0\0\x01", true),
            (b"\0\x40\0\0\0\0\0\0\x01", true),
            (b"\0\x40\x01\0\0\0\0\0\x01", false),
            (b"\0\0\0\0\0\0\0\0\0", false),
            (b"\0\0\0\x04\0\0\0\0\0", true),
            (b"\0\0\x06\x04\x01\0\0\0\0", false),
            (b"\0\0\x07\x04\0\0\0\0\0", false),
            (b"\0\0\x08\x06\0\0\0\0\0", true),
            (b"\0\0\x04\x03\0\0\0\0\x03", true),
            (b"\0\0\x05\x05\0\0\0\0\x03", false),
            (b"\0\0\x05\x0b\0\0\0\0\x03", false),
            (b"GET / HTT", false),
            (b"\x17\x03\x03\x10\x00data", false),
        ] {
            assert_eq!(may_begin(header), is_plausible, "{}", header.escape_ascii());
        }
        assert!(!may_begin(b"\0\0\x05\x01\x05\0\0\0"));
    }

    proptest! {
        #[test]
        fn what_is_likely_has_a_plausible_end(
            first in prop::collection::vec(prop_oneof![0_u8..10, any::<u8>()], STREAM_AT..HEADER_BYTES),
            end: [u8; 4],
        ) {
            let header = |rest: &[u8]| [&first, &rest[first.len() - STREAM_AT..]].concat();
            let is_empty = first[..3] == [0; 3];
            let has_end = may_begin(&header(&[0; 4])) || may_begin(&header(&[0, 0, 0, 1]));
            prop_assert_eq!(is_likely(&first), has_end && !is_empty);
            // And nothing else has one.
            prop_assert!(is_likely(&first) || is_empty || !may_begin(&header(&end)));
        }
    }
}
