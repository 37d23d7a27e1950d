//! What is wrong with a header block.

/// A header block cannot be decoded, and nothing after it on its connection (RFC 9113 section 4.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct CompressionError;
