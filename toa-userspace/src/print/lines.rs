//! Lines of results, collected so that those of one round of reading are one write.

use std::io::{self, Write};

/// Bytes after which lines are written even if more are to come in the same round. A write to a file costs as much as
/// about ten lines of JSON.
const MOST_BYTES: usize = 512 << 10;

/// Collects lines for a writer. Only whole lines are written.
#[derive(Debug)]
pub struct Lines<W> {
    writer: W,
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    /// Creates a collection of no lines.
    pub(super) fn new(writer: W) -> Self {
        Self { writer, buffer: Vec::new(), error: None }
    }

    /// Adds the lines that `append` appends to its argument. After an error, nothing is added until that was returned.
    pub fn add(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.error.is_none() {
            append(&mut self.buffer);
            if self.buffer.len() >= MOST_BYTES {
                self.write();
            }
        }
    }

    /// Writes the lines. Returns the first error since the last call.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write();
        self.error.take().map_or(Ok(()), Err)
    }

    /// Returns the writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    fn write(&mut self) {
        if self.error.is_none() && !self.buffer.is_empty() {
            self.error = self.writer.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::tests::Writes;

    #[test]
    fn the_lines_of_a_round_are_one_write() {
        let mut lines = Lines::new(Writes::default());
        for round in [&[&b"a\n"[..], b"b\nc\n"][..], &[], &[b"d\n"]] {
            for line in round {
                lines.add(|buffer| buffer.extend_from_slice(line));
            }
            lines.flush().unwrap();
        }
        assert_eq!(lines.writer().0, [&b"a\nb\nc\n"[..], b"d\n"]);
    }

    #[test]
    fn a_long_round_takes_no_more_memory_and_splits_no_line() {
        let mut lines = Lines::new(Writes::default());
        let line = [vec![b'x'; MOST_BYTES / 4], vec![b'\n']].concat();
        for _ in 0..7 {
            lines.add(|buffer| buffer.extend_from_slice(&line));
            assert!(lines.buffer.capacity() <= 2 * MOST_BYTES);
        }
        lines.flush().unwrap();
        let lengths: Vec<_> = lines.writer().0.iter().map(Vec::len).collect();
        assert_eq!(lengths, [4 * line.len(), 3 * line.len()]);
    }

    #[test]
    fn an_error_is_returned_once_and_nothing_is_written_before() {
        struct Broken(u32);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Broken(0));
        for _ in 0..3 {
            lines.add(|buffer| buffer.resize(MOST_BYTES, b'\n'));
        }
        assert_eq!(lines.writer().0, 1);
        assert_eq!(lines.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(lines.flush().is_ok());
        assert_eq!(lines.writer().0, 1);
    }
}
