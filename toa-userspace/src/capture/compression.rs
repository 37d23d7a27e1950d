//! Decompression of captures that are compressed with gzip or zstd, a piece at a time.

mod gzip;
mod pending;
mod zstd;

use std::{
    fmt,
    io::{self, Read},
};

use thiserror::Error;

use gzip::Gzip;
use pending::{Fault, Pending};
use zstd::Zstd;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

impl Compression {
    /// Returns how a file that begins with `bytes` is compressed.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            // Method 8 is the only one.
            [0x1f, 0x8b, 8, _, ..] => Some(Self::Gzip),
            // A frame, or one to be skipped, which parallel compressors write first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Why compressed data cannot be read any further. It is the inner error of an [`io::Error`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CompressionError {
    /// The data ends before its format allows it.
    #[error("the {0} data ends early")]
    Truncated(Compression),
    /// The data contradicts its format or its checksum.
    #[error("the {0} data is damaged")]
    Damaged(Compression),
}

/// Decompresses a file.
#[derive(Debug)]
pub(super) struct Decoder {
    codec: Codec,
    /// Whether there is no output without further input.
    needs_input: bool,
}

#[derive(Debug)]
enum Codec {
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// Creates a decoder for a file that begins with `bytes`, if it is compressed.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let codec = match Compression::of(bytes)? {
            Compression::Gzip => Codec::Gzip(Box::new(Gzip::new(Pending::new(bytes)))),
            Compression::Zstd => Codec::Zstd(Box::new(Zstd::new(Pending::new(bytes)))),
        };
        Some(Self { codec, needs_input: false })
    }

    /// Returns whether [`Self::read`] reads from its input.
    pub(super) fn needs_input(&self) -> bool {
        self.needs_input
    }

    /// Reads decompressed bytes into `out`, after reading from `input` once if there would be none otherwise. Returns
    /// their number, 0 at the end of the file, or `None` if even more input is needed.
    pub(super) fn read(&mut self, input: &mut impl Read, out: &mut [u8]) -> io::Result<Option<usize>> {
        if self.needs_input {
            self.pending().fill(input)?;
        }
        let (compression, read) = match &mut self.codec {
            Codec::Gzip(gzip) => (Compression::Gzip, gzip.read(out)),
            Codec::Zstd(zstd) => (Compression::Zstd, zstd.read(out)),
        };
        let fault = match read {
            Ok(read) => {
                self.needs_input = read.is_none();
                return Ok(read);
            }
            Err(Fault::Truncated) => CompressionError::Truncated(compression),
            Err(Fault::Damaged) => CompressionError::Damaged(compression),
        };
        self.needs_input = false;
        Err(io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    fn pending(&mut self) -> &mut Pending {
        match &mut self.codec {
            Codec::Gzip(gzip) => gzip.pending(),
            Codec::Zstd(zstd) => zstd.pending(),
        }
    }
}

#[cfg(test)]
mod tests;
