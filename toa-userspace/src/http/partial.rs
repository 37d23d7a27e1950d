//! A head or line that is collected in parts.

use bytes::BytesMut;

use super::head;

/// Most bytes that are collected at a time, so that few bytes after the end of a head are copied.
const COLLECTED_BYTES: usize = 4 << 10;

/// The collected bytes of a head whose end has not arrived.
#[derive(Debug, Default)]
pub(super) struct Partial {
    bytes: BytesMut,
    /// Where to continue the search for the end.
    looked: usize,
    /// The length of the request line with its end, if it is complete.
    pub(super) line_len: Option<usize>,
}

impl Partial {
    /// Keeps `bytes`, the beginning of a head. The search for its end continues at `looked`.
    pub(super) fn begin(&mut self, bytes: &[u8], looked: usize, line_len: Option<usize>) {
        self.bytes.extend_from_slice(bytes);
        self.looked = looked;
        self.line_len = line_len;
    }

    /// Adds at most [`COLLECTED_BYTES`] of `bytes`. Returns the added bytes and the rest.
    pub(super) fn collect<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let (added, rest) = bytes.split_at_checked(COLLECTED_BYTES).unwrap_or((bytes, &[]));
        self.bytes.extend_from_slice(added);
        (added, rest)
    }

    /// Searches for the end of the head. Each byte is searched only once.
    pub(super) fn end(&mut self) -> Option<usize> {
        match head::end(&self.bytes, self.looked) {
            Ok(end) => Some(end),
            Err(looked) => {
                self.looked = looked;
                None
            }
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes and clears `self`.
    pub(super) fn take(&mut self) -> BytesMut {
        std::mem::take(self).bytes
    }
}
