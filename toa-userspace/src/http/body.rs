//! Responsible for how long a body is, so that the head behind it is found (RFC 9112 sections 6 and 7). Not
//! responsible for what is in it.

use super::head::HttpRequest;

/// Longest line of a chunk's size with its extensions, and longest trailer section, in bytes.
const MAX_LINES_BYTES: u64 = 64 << 10;

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// By a length in bytes, or there is none.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Nobody can know.
    Broken,
}

/// Why the length of a request's body can be read in two ways, or in none (RFC 9112 section 6.3). Two servers in a
/// row that read it differently see different requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FramingFault {
    /// Content-Length comes more than once, always with the same value.
    RepeatedLength,
    /// Content-Length comes with different values.
    ConflictingLengths,
    /// Content-Length is no number of bytes.
    InvalidLength,
    /// Content-Length and Transfer-Encoding both come. The latter wins.
    LengthAndCoding,
    /// Transfer-Encoding does not end in one `chunked`, or comes in HTTP/1.0.
    UnknownCoding,
}

impl FramingFault {
    /// Its name for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RepeatedLength => "repeated content-length",
            Self::ConflictingLengths => "conflicting content-lengths",
            Self::InvalidLength => "invalid content-length",
            Self::LengthAndCoding => "content-length and transfer-encoding",
            Self::UnknownCoding => "unknown transfer-encoding",
        }
    }
}

impl Framing {
    /// Reads it from a head.
    pub(super) fn of(request: &HttpRequest<'_>) -> (Self, Option<FramingFault>) {
        let mut length = Length::default();
        // How often `chunked` comes, and whether it is the last coding.
        let mut codings: Option<(u32, bool)> = None;
        for field in request.fields() {
            if field.name.eq_ignore_ascii_case(b"content-length") {
                field.value.split(|byte| *byte == b',').for_each(|value| length.add(value.trim_ascii()));
            } else if field.name.eq_ignore_ascii_case(b"transfer-encoding") {
                for coding in field.value.split(|byte| *byte == b',') {
                    let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    let before = codings.map_or(0, |(count, _)| count);
                    codings = Some((before.saturating_add(is_chunked.into()), is_chunked));
                }
            }
        }
        match codings {
            Some((1, true)) if request.version() == "1.1" => {
                (Self::Chunked, length.is_there().then_some(FramingFault::LengthAndCoding))
            }
            Some(_) => (Self::Broken, Some(FramingFault::UnknownCoding)),
            None => match (length.fault, length.value) {
                (fault @ (None | Some(FramingFault::RepeatedLength)), value) => {
                    (Self::Length(value.unwrap_or(0)), fault)
                }
                (fault, _) => (Self::Broken, fault),
            },
        }
    }
}

/// What is read of Content-Length.
#[derive(Default)]
struct Length {
    value: Option<u64>,
    fault: Option<FramingFault>,
}

impl Length {
    fn add(&mut self, digits: &[u8]) {
        let fault = match (self.value, decimal(digits)) {
            (_, None) => FramingFault::InvalidLength,
            (None, value) => {
                self.value = value;
                return;
            }
            (before, value) if before == value => FramingFault::RepeatedLength,
            _ => FramingFault::ConflictingLengths,
        };
        if let None | Some(FramingFault::RepeatedLength) = self.fault {
            self.fault = Some(fault);
        }
    }

    fn is_there(&self) -> bool {
        self.value.is_some() || self.fault.is_some()
    }
}

/// `1*DIGIT` of RFC 9110 section 8.6.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Whether a body goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// It does.
    More,
    /// It has ended.
    Done,
    /// Its chunks cannot be followed any more.
    Broken,
}

/// The place within a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// This many bytes are left.
    Length(u64),
    /// In the size of a chunk, as far as it was read.
    Size { value: u64, digits: u8, line_bytes: u64 },
    /// Behind the size of a chunk, in the rest of its line.
    Extension { size: u64, line_bytes: u64 },
    /// In a chunk, of which this many bytes are left.
    Chunk(u64),
    /// Behind a chunk, before its line end.
    ChunkEnd { seen_cr: bool },
    /// In the trailer section.
    Trailer { line_is_empty: bool, bytes: u64 },
}

impl Body {
    /// The beginning of a body in chunks.
    pub(super) const CHUNKED: Self = Self::Size { value: 0, digits: 0, line_bytes: 0 };

    /// Passes over `bytes`. Returns how many of them belong to the body.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut passed = 0_usize;
        loop {
            if let Self::Length(0) = self {
                return (passed, Progress::Done);
            }
            let Some([first, rest @ ..]) = bytes.get(passed..) else {
                return (passed, Progress::More);
            };
            if let Self::Length(left) | Self::Chunk(left) = self {
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

    /// Passes over one byte of what surrounds chunks.
    fn step(&mut self, byte: u8) -> Progress {
        *self = match (*self, byte) {
            (Self::Size { value, digits, line_bytes }, byte) => {
                let line_bytes = line_bytes.saturating_add(1);
                match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) if digits < 16 => {
                        let value = (value << 4) | u64::from(digit);
                        Self::Size { value, digits: digits.saturating_add(1), line_bytes }
                    }
                    (None, b'\n') if digits > 0 => Self::behind_size(value),
                    (None, b';' | b' ' | b'\t' | b'\r') if digits > 0 => {
                        Self::Extension { size: value, line_bytes }
                    }
                    _ => return Progress::Broken,
                }
            }
            (Self::Extension { size, .. }, b'\n') => Self::behind_size(size),
            (Self::Extension { size, line_bytes }, _) if line_bytes < MAX_LINES_BYTES => {
                Self::Extension { size, line_bytes: line_bytes.saturating_add(1) }
            }
            (Self::ChunkEnd { seen_cr: false }, b'\r') => Self::ChunkEnd { seen_cr: true },
            (Self::ChunkEnd { .. }, b'\n') => Self::CHUNKED,
            (Self::Trailer { line_is_empty: true, .. }, b'\n') => return Progress::Done,
            (Self::Trailer { bytes, line_is_empty }, byte) if bytes < MAX_LINES_BYTES => Self::Trailer {
                line_is_empty: byte == b'\n' || (line_is_empty && byte == b'\r'),
                bytes: bytes.saturating_add(1),
            },
            _ => return Progress::Broken,
        };
        Progress::More
    }

    /// What follows the line of a chunk's size.
    fn behind_size(size: u64) -> Self {
        match size {
            0 => Self::Trailer { line_is_empty: true, bytes: 0 },
            size => Self::Chunk(size),
        }
    }

    /// How many of the next bytes belong to the body, whatever they are.
    pub(super) fn unneeded_bytes(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunk(left) => *left,
            _ => 0,
        }
    }

    /// Passes over a gap. What a length delimits may miss bytes and still end where it ends.
    pub(super) fn pass_gap(&mut self, gap_bytes: u64) -> Progress {
        match self {
            Self::Length(left) if gap_bytes <= *left => {
                *left = left.saturating_sub(gap_bytes);
                if *left == 0 { Progress::Done } else { Progress::More }
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
    fn framing_is_read_as_rfc_9112_says() {
        use FramingFault as Fault;
        for (version, fields, expected, fault) in [
            ("1.1", "", Framing::Length(0), None),
            ("1.1", "Content-Length: 10\r\n", Framing::Length(10), None),
            ("1.1", "content-length: 10, 10\r\n", Framing::Length(10), Some(Fault::RepeatedLength)),
            (
                "1.1",
                "content-length: 10\r\nContent-length: 10\r\n",
                Framing::Length(10),
                Some(Fault::RepeatedLength),
            ),
            (
                "1.1",
                "content-length: 10\r\ncontent-length: 10, 11\r\n",
                Framing::Broken,
                Some(Fault::ConflictingLengths),
            ),
            ("1.1", "content-length: -1\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: +1\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length:\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: 1, a\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "content-length: 99999999999999999999\r\n", Framing::Broken, Some(Fault::InvalidLength)),
            ("1.1", "transfer-encoding: Chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: gzip, chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", Framing::Chunked, None),
            ("1.1", "transfer-encoding: chunked, gzip\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            ("1.1", "transfer-encoding: chunked, chunked\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            ("1.0", "transfer-encoding: chunked\r\n", Framing::Broken, Some(Fault::UnknownCoding)),
            (
                "1.1",
                "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
                Framing::Chunked,
                Some(Fault::LengthAndCoding),
            ),
            (
                "1.1",
                "content-length: x\r\ntransfer-encoding: chunked\r\n",
                Framing::Chunked,
                Some(Fault::LengthAndCoding),
            ),
        ] {
            let head = format!("POST / HTTP/{version}\r\n{fields}\r\n");
            let request = HttpRequest::parse(head.as_bytes(), 0, 1).unwrap();
            assert_eq!(Framing::of(&request), (expected, fault), "{fields}");
        }
    }

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        for (bytes, len) in [
            (&b"0\r\n\r\nGET"[..], 5),
            (b"3\r\nabc\r\n0\r\n\r\n", 13),
            (b"A;name=\"v\"\r\n0123456789\r\n00\r\nx-trailer: 1\r\ny: 2\r\n\r\nrest", 50),
            (b"3\nabc\n0\n\n", 9),
            (b"1 \r\na\r\n0\r\n\r\n", 12),
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
        for bytes in [&b"x\r\n"[..], b"\r\n", b"1\r\nabc\r\n", b"11112222333344445\r\n", b";a\r\n"] {
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
