//! The format of a capture file: pcap or pcapng.

use super::{
    block::{Content, FILE_HEADER, Measured, PACKET, word},
    error::CaptureError,
    limits::MAX_BLOCK_BYTES,
    names::Names,
    pcap::{self, Pcap},
    pcapng::{SECTION_HEADER, Section},
};

/// Bytes that are needed to know the length of a pcapng block: its type 4, its length 4. The first block of a section
/// has the byte order in the next four bytes.
const BLOCK_HEADER_LEN: usize = 8;
const SECTION_START_LEN: usize = 12;

/// How files begin that other programs have compressed, and what these are called.
const COMPRESSED: [(&[u8], &str); 3] = [(b"\xfd7zX", "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")];

/// Returns the error of a file that begins with `bytes` and is no capture.
fn no_capture(bytes: &[u8]) -> CaptureError {
    let compressed = COMPRESSED.iter().find(|(magic, _)| bytes.starts_with(magic));
    compressed.map_or(CaptureError::NoCapture, |(_, name)| CaptureError::Compressed(name))
}

/// The format of the file.
#[derive(Debug, Default)]
pub(super) enum Format {
    /// Not known yet.
    #[default]
    Unknown,
    /// pcap.
    Pcap(Pcap),
    /// pcapng, in a section.
    Ng(Section),
}

impl Format {
    /// Measures the first part of `rest`, which is at `offset` of the file. Returns `Err` with the number of bytes
    /// needed if `rest` is too short for that.
    pub(super) fn measure(&self, rest: &[u8], offset: u64) -> Result<Result<Measured, usize>, CaptureError> {
        let length = |length: u32| CaptureError::Length { offset, length: length.into() };
        if let Self::Pcap(pcap) = self {
            return match pcap.measure(rest) {
                Ok((captured, len)) if len > MAX_BLOCK_BYTES => Err(length(captured)),
                Ok((_, len)) => Ok(Ok(Measured { kind: PACKET, len })),
                Err(needed) => Ok(Err(needed)),
            };
        }
        let big_endian = matches!(self, Self::Ng(section) if section.big_endian);
        let Some(kind) = word(rest, 0, big_endian) else {
            return Ok(Err(BLOCK_HEADER_LEN));
        };
        let big_endian = match self {
            _ if kind == SECTION_HEADER => match Section::order(rest) {
                Ok(Some(big_endian)) => big_endian,
                Ok(None) => return Ok(Err(SECTION_START_LEN)),
                Err(()) if matches!(self, Self::Unknown) => return Err(CaptureError::NoCapture),
                Err(()) => return Err(CaptureError::Malformed { offset, kind }),
            },
            Self::Ng(_) => big_endian,
            _ if Pcap::is_begun_by(rest) => {
                return Ok(Ok(Measured { kind: FILE_HEADER, len: pcap::FILE_HEADER_LEN }));
            }
            _ => return Err(no_capture(rest)),
        };
        let Some(block_len) = word(rest, 4, big_endian) else {
            return Ok(Err(BLOCK_HEADER_LEN));
        };
        let len = usize::try_from(block_len).unwrap_or(usize::MAX);
        if !(SECTION_START_LEN..=MAX_BLOCK_BYTES).contains(&len) {
            return Err(length(block_len));
        }
        Ok(Ok(Measured { kind, len }))
    }

    /// Returns the error of a file that ends after `rest`, which is too short for a file header.
    pub(super) fn cut_header(rest: &[u8]) -> CaptureError {
        let is_capture =
            rest.len() >= 4 || pcap::may_begin(rest) || SECTION_HEADER.to_be_bytes().starts_with(rest);
        if is_capture { CaptureError::TruncatedHeader } else { CaptureError::NoCapture }
    }

    /// Reads a part of the file, which is at `offset`, and takes over what it says about the parts that follow.
    pub(super) fn take(
        &mut self,
        kind: u32,
        bytes: &[u8],
        offset: u64,
        names: &Names,
    ) -> Result<Content, CaptureError> {
        let malformed = || CaptureError::Malformed { offset, kind };
        match self {
            Self::Pcap(pcap) => pcap.packet(bytes).ok_or_else(malformed),
            Self::Ng(section) if kind != SECTION_HEADER => section.take(kind, bytes, offset, names),
            _ => {
                *self = if kind == FILE_HEADER {
                    Self::Pcap(Pcap::read(bytes)?)
                } else {
                    Self::Ng(Section::read(bytes).ok_or_else(malformed)?)
                };
                Ok(Content::Other)
            }
        }
    }
}
