//! The search for a request in a stream whose place is lost.
//!
//! What is found may be a part of a body, so it has to look like a request throughout: a known method, a plausible
//! target, valid fields, a Host field unless it is of HTTP/1.0 (RFC 9110 section 7.2), and an empty line.

use bytes::{Buf as _, BytesMut};

use super::{
    field_line::FieldLine,
    start::{Start, certain_request_line, find},
};
use crate::limits::Limits;

/// How much of an incomplete request line is examined, in bytes: the default limit of servers.
pub(super) const MAX_LINE_BYTES: usize = 8 << 10;

/// A search. It looks at the start of each segment and of each line.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// A request line, or the beginning of one, and the fields after it.
    kept: BytesMut,
    /// Where the current line begins in `kept`.
    line: usize,
    has_request_line: bool,
    has_host: bool,
}

/// What a line after a request line is.
enum Line {
    /// A field, a continuation of one, or another request line.
    Field,
    /// The end of a head.
    End,
    /// Something else.
    Other,
}

impl Search {
    /// Reads the next bytes of a segment. Returns how many were read, and the head if there is one. The numbers of bytes
    /// that were skipped are added to `skipped`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        skipped: &mut u64,
    ) -> (usize, Option<BytesMut>) {
        let mut at = 0_usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let line_len = memchr::memchr(b'\n', rest).map(|end| end.saturating_add(1));
            let line = rest.get(..line_len.unwrap_or(rest.len())).unwrap_or_default();
            if self.has_request_line {
                self.kept.extend_from_slice(line);
                at = at.saturating_add(line.len());
                match if line_len.is_some() { self.end_line(skipped) } else { Line::Field } {
                    Line::End => return (at, Some(std::mem::take(self).kept)),
                    Line::Field if self.kept.len() <= limits.head_bytes => {}
                    Line::Field | Line::Other => self.drop_kept(skipped),
                }
                continue;
            }
            if !self.kept.is_empty() {
                let before = self.kept.len();
                self.kept.extend_from_slice(line);
                match certain_request_line(&self.kept, MAX_LINE_BYTES) {
                    Start::Request => self.begin(),
                    Start::Partial => {}
                    Start::Other => {
                        // The segment may begin with a request line itself.
                        self.kept.truncate(before);
                        self.drop_kept(skipped);
                        continue;
                    }
                }
                at = at.saturating_add(line.len());
                continue;
            }
            let (passed, start) = find(rest, MAX_LINE_BYTES);
            *skipped = skipped.saturating_add(passed as u64);
            let candidate = rest.get(passed..).unwrap_or_default();
            let len = match start {
                Start::Request => memchr::memchr(b'\n', candidate).map_or(0, |end| end.saturating_add(1)),
                Start::Partial | Start::Other => candidate.len(),
            };
            self.kept.extend_from_slice(candidate.get(..len).unwrap_or_default());
            at = at.saturating_add(passed).saturating_add(len);
            if start == Start::Request {
                self.begin();
            }
        }
        (at, None)
    }

    /// Returns how many bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Drops what is kept.
    pub(super) fn drop_kept(&mut self, skipped: &mut u64) {
        *skipped = skipped.saturating_add(self.kept.len() as u64);
        *self = Self::default();
    }

    /// Continues after a request line, the only line kept.
    fn begin(&mut self) {
        self.has_request_line = true;
        self.line = self.kept.len();
        self.has_host = self.kept.trim_ascii_end().ends_with(b"HTTP/1.0");
    }

    /// Judges the line that has ended.
    fn end_line(&mut self, skipped: &mut u64) -> Line {
        let bytes = self.kept.get(self.line..).unwrap_or_default();
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let field = FieldLine::read(line);
        match line {
            [] if self.has_host => return Line::End,
            [] => return Line::Other,
            [b' ' | b'\t', ..] => {}
            _ if field.malformation.is_none() => {
                self.has_host |= field.parts(line).0.eq_ignore_ascii_case(b"host");
            }
            _ if certain_request_line(bytes, MAX_LINE_BYTES) == Start::Request => {
                *skipped = skipped.saturating_add(self.line as u64);
                self.kept.advance(self.line);
                self.begin();
            }
            _ => return Line::Other,
        }
        self.line = self.kept.len();
        Line::Field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the heads that are found in `stream`, cut into segments of `step` bytes.
    fn heads(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, u64) {
        let (mut search, mut found, mut skipped) = (Search::default(), Vec::new(), 0);
        for segment in stream.chunks(step) {
            let mut rest = segment;
            while !rest.is_empty() {
                let (read, head) = search.read(rest, &Limits::default(), &mut skipped);
                found.extend(head.map(|head| head.to_vec()));
                rest = &rest[read..];
            }
        }
        skipped += search.len() as u64;
        (found, skipped)
    }

    const HEAD: &[u8] = b"GET /a HTTP/1.1\r\nx: y\r\nHost: z\r\n\r\n";

    #[test]
    fn only_what_looks_like_a_request_throughout_is_found() {
        for (before, count) in [
            (&b""[..], 1),
            (b"rest of a body\n", 1),
            (b"GET /b HTTP/1.1\r\n", 1),
            (b"GET /b HTTP/1.1\r\nno field\r\n", 1),
            (b"GET /b HTTP/1.1\r\nx: y\r\n\r\n", 1),
            (b"GET /b HTTP/1.0\r\nx: y\r\n\r\n", 2),
            (b"GET /b HTTP/1.1\r\nhost: b\r\n folded\r\n\r\n", 2),
            (b"GET /b HTTP/1.1\r\nhost: b\r\nGET /c HTTP/1.1\r\nhost: c\r\n\r\n", 2),
        ] {
            let stream = [before, HEAD, b"tail"].concat();
            for step in [1, 2, 3, 7, stream.len()] {
                let (found, skipped) = heads(&stream, step);
                assert_eq!(found.last().map(Vec::as_slice), Some(HEAD), "{}", before.escape_ascii());
                assert_eq!(found.len(), count, "{} in steps of {step}", before.escape_ascii());
                let heads: usize = found.iter().map(Vec::len).sum();
                assert_eq!(heads as u64 + skipped, stream.len() as u64);
            }
        }
    }

    #[test]
    fn a_segment_may_begin_with_a_request_without_a_line_end_before_it() {
        let mut search = Search::default();
        let mut skipped = 0;
        assert_eq!(search.read(b"binary GE", &Limits::default(), &mut skipped).1, None);
        assert_eq!(search.read(HEAD, &Limits::default(), &mut skipped).1.as_deref(), Some(HEAD));
        assert_eq!(skipped, 9);
    }
}
