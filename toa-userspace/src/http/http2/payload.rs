//! The payload of a frame (RFC 9113 sections 6.1, 6.2 and 6.10).

use super::frame::{FrameHeader, Kind};

/// Length of a priority in a HEADERS frame, in bytes (RFC 9113 section 6.2).
const PRIORITY_BYTES: u32 = 5;

/// The rest of a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    header: FrameHeader,
    /// How many bytes of it are left.
    left: u32,
    /// How many of those come before a header block: the length of the padding, and the priority.
    before_block: u32,
    /// How many of them are padding after a header block.
    padding: u32,
}

/// The next bytes of a payload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'b> {
    /// Of a header block.
    Block(&'b [u8]),
    /// Anything else.
    Other(&'b [u8]),
    /// Bytes that announce more padding than there is room for.
    Broken(&'b [u8]),
}

impl<'b> Part<'b> {
    pub(super) fn bytes(self) -> &'b [u8] {
        match self {
            Self::Block(bytes) | Self::Other(bytes) | Self::Broken(bytes) => bytes,
        }
    }
}

impl Payload {
    /// Returns that of a frame, or `None` if it is too short.
    pub(super) fn of(header: FrameHeader) -> Option<Self> {
        let before_block = if header.kind == Kind::Headers {
            let priority = if header.has_priority() { PRIORITY_BYTES } else { 0 };
            priority.saturating_add(header.is_padded().into())
        } else {
            0
        };
        let is_possible = before_block <= header.length;
        is_possible.then_some(Self { header, left: header.length, before_block, padding: 0 })
    }

    /// Returns the header of its frame.
    pub(super) fn header(&self) -> FrameHeader {
        self.header
    }

    /// Returns how many bytes are left.
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// Returns whether it contains a part of a header block.
    pub(super) fn is_of_block(&self) -> bool {
        matches!(self.header.kind, Kind::Headers | Kind::Continuation)
    }

    /// Returns whether a header block ends with it.
    pub(super) fn ends_block(&self) -> bool {
        self.is_of_block() && self.header.ends_headers()
    }

    /// Takes as many of `bytes`, which come next, as are of the same part.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> Part<'b> {
        let block_bytes = self.left.saturating_sub(self.padding);
        let most = match self.before_block {
            0 if self.is_of_block() && block_bytes > 0 => block_bytes,
            0 => self.left,
            before_block => before_block,
        };
        let is_first = self.left == self.header.length;
        let part = usize::try_from(most).ok().and_then(|most| bytes.get(..most)).unwrap_or(bytes);
        // At most `most`.
        let passed = u32::try_from(part.len()).unwrap_or(most);
        self.left = self.left.saturating_sub(passed);
        if self.before_block == 0 {
            return if self.is_of_block() && block_bytes > 0 { Part::Block(part) } else { Part::Other(part) };
        }
        self.before_block = self.before_block.saturating_sub(passed);
        if let (Some(length), true, true) = (part.first(), is_first, self.header.is_padded()) {
            self.padding = (*length).into();
        }
        let room = self.left.saturating_sub(self.before_block);
        if self.padding > room { Part::Broken(part) } else { Part::Other(part) }
    }

    /// Passes over missing bytes. Returns `false`, and changes nothing, if they are more than are left.
    pub(super) fn pass_gap(&mut self, gap_bytes: u64) -> bool {
        let left = u64::from(self.left).checked_sub(gap_bytes).and_then(|left| u32::try_from(left).ok());
        if let Some(left) = left {
            self.left = left;
            self.padding = self.padding.min(left);
            self.before_block = 0;
        }
        left.is_some()
    }
}
