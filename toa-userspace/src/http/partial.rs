//! The beginning of a head, or of a line, that came in parts.

use bytes::BytesMut;

use super::head;

/// How many bytes are collected at a time, so that little is copied that lies after the end of a head.
const COLLECTED_BYTES: usize = 4 << 10;

/// Bytes of a head whose end has not come.
#[derive(Debug, Default)]
pub(super) struct Partial {
    bytes: BytesMut,
    /// Where to go on looking for the end.
    looked: usize,
    /// Whether it begins with a complete request line.
    pub(super) has_line: bool,
}

impl Partial {
    /// Keeps `bytes`, which begin a head; `looked` is where to go on looking for its end.
    pub(super) fn begin(&mut self, bytes: &[u8], looked: usize, has_line: bool) {
        self.bytes.extend_from_slice(bytes);
        self.looked = looked;
        self.has_line = has_line;
    }

    /// Adds some of the bytes at the beginning of `bytes`. Returns these and the rest.
    pub(super) fn collect<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let (added, rest) = bytes.split_at_checked(COLLECTED_BYTES).unwrap_or((bytes, &[]));
        self.bytes.extend_from_slice(added);
        (added, rest)
    }

    /// Adds `bytes`.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Looks for the end of the head. Each byte is looked at once.
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

    /// Takes the bytes out, and leaves nothing.
    pub(super) fn take(&mut self) -> BytesMut {
        std::mem::take(self).bytes
    }
}
