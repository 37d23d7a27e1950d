//! The length of request bodies, which determines where the next head begins (RFC 9112 sections 6 and 7).

use toa_common::body::{Position, states};

/// Longest chunk-size line including its extensions, and longest trailer section, in bytes.
const MAX_LINES_BYTES: u64 = 64 << 10;

/// Whether a body continues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// It continues.
    More,
    /// It has ended.
    Done,
    /// Its end can no longer be found.
    Broken,
}

/// The position within a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// This many bytes are left.
    Length(u64),
    /// In the size of a chunk, with the value read so far.
    Size { value: u64, digits: u8, line_bytes: u64 },
    /// After the size of a chunk, in the rest of its line.
    Extension { size: u64, line_bytes: u64, seen_cr: bool },
    /// In a chunk with this many bytes left.
    Chunk(u64),
    /// After the data of a chunk, before its line end.
    ChunkEnd { seen_cr: bool },
    /// In the trailer section.
    Trailer { line_is_empty: bool, bytes: u64, seen_cr: bool },
    /// In a part that the kernel has read: with this many bytes left, and what follows them.
    LeftOut { left: u64, then: Position },
}

impl Body {
    /// The beginning of a chunked body.
    pub(super) const CHUNKED: Self = Self::Size { value: 0, digits: 0, line_bytes: 0 };

    /// Skips the body's part of `bytes`. Returns how many of them belong to the body.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut passed = 0_usize;
        loop {
            if self.is_done() {
                return (passed, Progress::Done);
            }
            let Some([first, rest @ ..]) = bytes.get(passed..) else {
                return (passed, Progress::More);
            };
            if let Self::Length(left) | Self::Chunk(left) | Self::LeftOut { left, .. } = self {
                let available = rest.len().saturating_add(1);
                let step = usize::try_from(*left).map_or(available, |left| left.min(available));
                *left = left.saturating_sub(step as u64);
                passed = passed.saturating_add(step);
                if let Self::Chunk(0) = self {
                    *self = Self::ChunkEnd { seen_cr: false };
                }
                continue;
            }
            match self.step(*first) {
                Progress::More => passed = passed.saturating_add(1),
                Progress::Done => return (passed.saturating_add(1), Progress::Done),
                Progress::Broken => return (passed, Progress::Broken),
            }
        }
    }

    /// Skips one byte that is not chunk data.
    fn step(&mut self, byte: u8) -> Progress {
        *self = match (*self, byte) {
            (Self::Size { value, digits, line_bytes }, byte) => {
                let line_bytes = line_bytes.saturating_add(1);
                match (char::from(byte).to_digit(16), byte) {
                    // Leading zeros are allowed.
                    (Some(digit), _) if value >> 60 == 0 && line_bytes < MAX_LINES_BYTES => {
                        let value = (value << 4) | u64::from(digit);
                        Self::Size { value, digits: digits.saturating_add(1), line_bytes }
                    }
                    (None, b'\n') if digits > 0 => Self::behind_size(value),
                    (None, b';' | b' ' | b'\t' | b'\r') if digits > 0 => {
                        Self::Extension { size: value, line_bytes, seen_cr: byte == b'\r' }
                    }
                    _ => return Progress::Broken,
                }
            }
            (Self::Extension { size, .. }, b'\n') => Self::behind_size(size),
            // A CR is part of a line end (RFC 9112 section 2.2): servers refuse any other, or take it for a line end.
            (Self::Extension { seen_cr: true, .. } | Self::Trailer { seen_cr: true, .. }, byte)
                if byte != b'\n' =>
            {
                return Progress::Broken;
            }
            (Self::Extension { size, line_bytes, .. }, byte) if line_bytes < MAX_LINES_BYTES => {
                let line_bytes = line_bytes.saturating_add(1);
                Self::Extension { size, line_bytes, seen_cr: byte == b'\r' }
            }
            (Self::ChunkEnd { seen_cr: false }, b'\r') => Self::ChunkEnd { seen_cr: true },
            (Self::ChunkEnd { .. }, b'\n') => Self::CHUNKED,
            (Self::Trailer { line_is_empty: true, .. }, b'\n') => return Progress::Done,
            (Self::Trailer { bytes, line_is_empty, .. }, byte) if bytes < MAX_LINES_BYTES => Self::Trailer {
                line_is_empty: byte == b'\n' || (line_is_empty && byte == b'\r'),
                bytes: bytes.saturating_add(1),
                seen_cr: byte == b'\r',
            },
            _ => return Progress::Broken,
        };
        Progress::More
    }

    /// Returns whether the body has ended. Takes over the kernel's position after the part that it has read.
    fn is_done(&mut self) -> bool {
        if let Self::LeftOut { left: 0, then } = *self {
            let line_bytes = u64::from(then.digits);
            *self = match then.state {
                states::SIZE => Self::Size { value: then.size.into(), digits: then.digits, line_bytes },
                states::SIZE_CR => Self::Extension { size: then.size.into(), line_bytes, seen_cr: true },
                states::TRAILER => Self::Trailer { line_is_empty: true, bytes: 0, seen_cr: false },
                states::TRAILER_CR => Self::Trailer { line_is_empty: true, bytes: 1, seen_cr: true },
                _ => Self::Length(0),
            };
        }
        matches!(self, Self::Length(0))
    }

    /// Leaves out the next `bytes`, which the kernel has read; it is at `position` then. Returns `false`, and changes
    /// nothing, if the kernel is in another body.
    pub(super) fn leave_out(&mut self, bytes: u64, position: Position) -> bool {
        match self {
            Self::Length(left) => return *left == bytes && position.state == states::LENGTH,
            Self::Size { .. } | Self::Extension { .. } | Self::Trailer { .. } | Self::LeftOut { .. }
                if position.state != states::LENGTH =>
            {
                *self = Self::LeftOut { left: bytes, then: position };
            }
            _ => return false,
        }
        true
    }

    /// Returns the position after the line with a chunk's size.
    fn behind_size(size: u64) -> Self {
        match size {
            0 => Self::Trailer { line_is_empty: true, bytes: 0, seen_cr: false },
            size => Self::Chunk(size),
        }
    }

    /// Returns how many of the next bytes belong to the body whatever they contain.
    pub(super) fn unneeded_bytes(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunk(left) | Self::LeftOut { left, .. } => *left,
            _ => 0,
        }
    }

    /// Skips a gap. A part with a known length ends at the same place even if bytes of it are missing.
    pub(super) fn pass_gap(&mut self, gap_bytes: u64) -> Progress {
        match self {
            Self::Length(left) if gap_bytes <= *left => {
                *left = left.saturating_sub(gap_bytes);
                if *left == 0 { Progress::Done } else { Progress::More }
            }
            Self::LeftOut { left, .. } if gap_bytes <= *left => {
                *left = left.saturating_sub(gap_bytes);
                if self.is_done() { Progress::Done } else { Progress::More }
            }
            Self::Chunk(left) if gap_bytes < *left => {
                *left = left.saturating_sub(gap_bytes);
                Progress::More
            }
            Self::Chunk(left) if gap_bytes == *left => {
                *self = Self::ChunkEnd { seen_cr: false };
                Progress::More
            }
            _ => Progress::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        for (bytes, len) in [
            (&b"0\r\n\r\nGET"[..], 5),
            (b"3\r\nabc\r\n0\r\n\r\n", 13),
            (b"A;name=\"v\"\r\n0123456789\r\n00\r\nx-trailer: 1\r\ny: 2\r\n\r\nrest", 50),
            (b"3\nabc\n0\n\n", 9),
            (b"1 \r\na\r\n0\r\n\r\n", 12),
            (b"00000000000000000000001\r\na\r\n0000\r\n\r\n", 36),
        ] {
            for step in 1..=bytes.len() {
                let mut body = Body::CHUNKED;
                let mut passed = 0;
                let mut progress = Progress::More;
                for piece in bytes.chunks(step) {
                    let (count, now) = body.pass(piece);
                    passed += count;
                    progress = now;
                    if now != Progress::More {
                        break;
                    }
                }
                assert_eq!((passed, progress), (len, Progress::Done), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_no_chunk_breaks() {
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"1\r\nabc\r\n",
            b"11112222333344445\r\n",
            b"000011112222333344445\r\n",
            b";a\r\n",
            b"5\rabcde\n",
            b"5;a\rb\r\n",
            b"5 \r\r\n",
            b"0\r\r\n",
            b"0\r\n\r\r\n",
            b"0\r\nx: y\rz\r\n\r\n",
        ] {
            let mut body = Body::CHUNKED;
            assert_eq!(body.pass(bytes).1, Progress::Broken, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_gap_counts_as_far_as_the_length_goes() {
        assert_eq!(Body::Length(5).pass_gap(5), Progress::Done);
        assert_eq!(Body::Length(5).pass_gap(6), Progress::Broken);
        assert_eq!(Body::Chunk(5).pass_gap(5), Progress::More);
        assert_eq!(Body::Chunk(5).pass_gap(6), Progress::Broken);
        let mut size = Body::CHUNKED;
        assert_eq!(size.pass_gap(1), Progress::Broken);
    }
}
