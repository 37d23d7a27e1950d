//! Compressed input that was read and not decompressed yet.

use std::io::{self, BufRead, Read};

use crate::capture::input::read_once;

/// Bytes to read at a time: the capacity of a pipe.
const READ_BYTES: usize = 64 << 10;

/// Why compressed data cannot be read any further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It ends early.
    Truncated,
    /// It contradicts its format or its checksum.
    Damaged,
}

/// Compressed bytes. As a reader, it would block if there are none yet.
#[derive(Debug)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were consumed.
    start: usize,
    /// Whether the input has ended.
    is_last: bool,
}

impl Pending {
    /// Creates input that begins with `bytes`.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), start: 0, is_last: false }
    }

    /// Reads from `input` once.
    pub(super) fn fill(&mut self, input: &mut impl Read) -> io::Result<()> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let held = self.bytes.len();
        self.bytes.resize(held.saturating_add(READ_BYTES), 0);
        let read = read_once(input, self.bytes.get_mut(held..).unwrap_or_default());
        self.bytes.truncate(held.saturating_add(*read.as_ref().unwrap_or(&0)));
        self.is_last |= read? == 0;
        Ok(())
    }

    /// Returns the bytes that were not consumed.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Returns whether no input follows the rest.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }
}

impl Read for Pending {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Pending {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() && !self.is_last {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.rest())
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.bytes.len());
    }
}
