//! The parts of a redacted value.

/// The replacement for a hidden part.
pub const MASK: &str = "•••";

/// A part of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part<'a> {
    /// Bytes to show.
    Shown(&'a [u8]),
    /// Bytes to show, which no output has to escape: see [`is_plain`](crate::print::escape::is_plain).
    Plain(&'a [u8]),
    /// The replacement for hidden bytes.
    Hidden(&'static str),
}

impl<'a> Part<'a> {
    /// Returns the bytes that stand for this part.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Shown(bytes) | Self::Plain(bytes) => bytes,
            Self::Hidden(mask) => mask.as_bytes(),
        }
    }
}
