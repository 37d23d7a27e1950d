//! The rest of a head that is longer than allowed. It is read only to find its end and the length of the body.

use super::{
    field_line::FieldLine,
    framing::{Framing, FramingFields},
};

/// Bytes of a line that are kept: the fields that matter are shorter.
const MAX_LINE_BYTES: usize = 256;

/// A long head, after the part that was kept.
#[derive(Debug, Default)]
pub(super) struct LongHead {
    fields: FramingFields,
    /// The beginning of the current line.
    line: Vec<u8>,
    /// Whether the current line is the request line.
    is_first: bool,
    minor_version: u16,
}

impl LongHead {
    /// Begins with the part of the head that was kept.
    pub(super) fn new(part: &[u8]) -> Self {
        let minor_version = u16::from(
            !part
                .split(|byte| *byte == b'\n')
                .next()
                .is_some_and(|line| line.trim_ascii_end().ends_with(b"HTTP/1.0")),
        );
        let mut this = Self { is_first: true, minor_version, ..Self::default() };
        this.read(part);
        this
    }

    /// Reads the next bytes. Returns how many of them belong to the head, and the framing once it has ended.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Option<Framing>) {
        let mut read = 0_usize;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
            read = read.saturating_add(piece.len());
            if end.is_none() {
                break;
            }
            read = read.saturating_add(1);
            let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            if line.is_empty() && !self.is_first {
                return (read, Some(self.fields.framing(self.minor_version).0));
            }
            if !self.is_first {
                let field = FieldLine::read(line);
                let (name, value) = field.parts(line);
                self.fields.add(name, value, field.has_space);
            }
            self.is_first = false;
            self.line.clear();
        }
        (read, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_and_the_framing_are_found_however_the_head_is_cut() {
        let cookie = format!("cookie: {}\r\n", "x".repeat(1000));
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{cookie}Content-Length: 12\r\n{cookie}\r\n");
        let stream = [head.as_bytes(), b"0123456789ab"].concat();
        for kept in (1..head.len()).step_by(97) {
            for step in [1, 10, 5000] {
                let mut long = LongHead::new(&stream[..kept]);
                let mut len = kept;
                let framing = stream[kept..].chunks(step).find_map(|piece| {
                    let (read, framing) = long.read(piece);
                    len += read;
                    framing
                });
                assert_eq!((len, framing), (head.len(), Some(Framing::Length(12))), "{kept}, {step}");
            }
        }
    }
}
