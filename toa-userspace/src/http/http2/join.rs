//! Whether HTTP/2 goes on where a segment begins: on a connection that was joined, or lost bytes.
//!
//! A body may contain anything. So frames must follow each other, all of them such as a client may send, and one of them must be
//! a request whose header block decodes. That it ends where its segment ends is as good as another frame: of anything else, a
//! frame's length would have to fit by chance. So a client that sends one request at a time is not kept waiting.
//!
//! A segment may also end within the header of the next frame. If no more than its stream is missing, that is enough: one in
//! four streams is a possible one, and fewer frames end so close to the end of their segment by chance. Less of a header
//! proves less than all of it. Often it is only zeros, as almost all of a frame without a payload is, and so is much else.
//!
//! A request with a method that is unknown proves less. Until it is known what they are, the bytes are kept.

use super::{
    super::memory::HeadMemory,
    connection::{Connection, Step},
};
use crate::{ledger::HttpLedger, limits::Limits, stream::Arrival};

/// Most bytes that are kept: a frame of the usual size and a few more.
const MAX_BYTES: usize = 20 << 10;

/// Most segments that are kept.
const MAX_SEGMENTS: usize = 32;

/// How many headers of frames must follow each other, one of them that of a request.
const MIN_FRAMES: u64 = 2;

/// How many, if the method of the requests is unknown.
const MIN_FRAMES_UNKNOWN: u64 = 4;

/// What the bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Verdict {
    /// Undecided.
    Partial,
    /// HTTP/2, from the first of them on.
    Frames,
    /// Something else.
    Other,
}

/// What a connection is taken for if it is not HTTP/2.
#[derive(Debug)]
pub(in super::super) enum Otherwise {
    /// HTTP/2 whose next frame is still to be found.
    Http2(Box<Connection>),
    /// A connection that was joined anywhere: a request is searched for.
    Joined,
    /// Another protocol, which has not been told.
    Opening,
    /// Another protocol, of which a sample of so many bytes is searched before so many are skipped.
    Sample { left: u64, skip_bytes: u64 },
}

/// Segments that may be HTTP/2.
#[derive(Debug)]
pub(in super::super) struct Join {
    kept: Vec<u8>,
    /// Where each segment ends, and when it arrived.
    ends: Vec<(usize, Arrival)>,
    probe: Connection,
    has_request: bool,
    /// Whether it has what is a request if what is unknown is its method.
    has_unknown_request: bool,
    otherwise: Otherwise,
}

impl Join {
    /// Begins without a segment.
    pub(in super::super) fn new(otherwise: Otherwise) -> Self {
        Self {
            kept: Vec::new(),
            ends: Vec::new(),
            probe: Connection::supposed(),
            has_request: false,
            has_unknown_request: false,
            otherwise,
        }
    }

    /// Adds the bytes of a segment, and judges all.
    pub(in super::super) fn add(
        &mut self,
        bytes: &[u8],
        arrival: Arrival,
        limits: &Limits,
        memory: &mut HeadMemory,
    ) -> Verdict {
        self.kept.extend_from_slice(bytes);
        self.ends.push((self.kept.len(), arrival));
        let mut rest = bytes;
        while !rest.is_empty() && !self.has_frames() {
            let (read, step) = self.probe.read(rest, limits, &mut HttpLedger::default(), memory);
            rest = rest.get(read..).unwrap_or_default();
            match step {
                Step::More => {}
                Step::Head(block) if !block.is_malformed() => {
                    self.has_request |= block.is_certain();
                    self.has_unknown_request |= block.begins_stream() && block.has_unknown();
                }
                _ => return Verdict::Other,
            }
        }
        let is_followed = self.probe.is_between_frames() || self.probe.expects_frame();
        if self.has_frames() || (self.has_request && is_followed) {
            Verdict::Frames
        } else if self.kept.len() > MAX_BYTES || self.ends.len() >= MAX_SEGMENTS {
            Verdict::Other
        } else {
            Verdict::Partial
        }
    }

    /// Returns whether enough frames follow each other.
    fn has_frames(&self) -> bool {
        let frames = self.probe.frames();
        (self.has_request && frames >= MIN_FRAMES)
            || (self.has_unknown_request && frames >= MIN_FRAMES_UNKNOWN)
    }

    /// Returns how many bytes are kept.
    pub(in super::super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns the memory that it takes, in bytes.
    pub(in super::super) fn memory(&self) -> usize {
        self.kept.capacity().saturating_add(self.probe.memory())
    }

    /// Returns what the connection is taken for otherwise. Leaves another value.
    pub(in super::super) fn take_otherwise(&mut self) -> Otherwise {
        std::mem::replace(&mut self.otherwise, Otherwise::Joined)
    }

    /// Returns the first segment.
    pub(in super::super) fn first(&self) -> &[u8] {
        self.segments().next().map(|(bytes, _)| bytes).unwrap_or_default()
    }

    /// Returns the segments.
    pub(in super::super) fn segments(&self) -> impl Iterator<Item = (&[u8], Arrival)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts
            .zip(&self.ends)
            .map(|(start, (end, arrival))| (self.kept.get(start..*end).unwrap_or_default(), *arrival))
    }
}
