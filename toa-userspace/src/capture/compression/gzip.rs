//! gzip files of one or more members, and zeros after them, with which tapes and `dd` fill up a block.

use std::io::{self, BufRead as _, Read as _};

use flate2::bufread::GzDecoder;

use super::pending::{Fault, Pending};

/// Bytes to decompress at a time. If the data is damaged, the decoder does not tell how much of the last piece is valid.
const PIECE_BYTES: usize = 4 << 10;

/// The place in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Member,
    /// After a member.
    Behind,
    /// In zeros after the last member.
    Padding,
}

/// Decompresses a file.
#[derive(Debug)]
pub(super) struct Gzip {
    /// Decompresses the current member.
    decoder: GzDecoder<Pending>,
    place: Place,
    /// Why nothing follows what was decompressed.
    fault: Option<Fault>,
}

impl Gzip {
    /// Creates a decoder of `pending`.
    pub(super) fn new(pending: Pending) -> Self {
        Self { decoder: GzDecoder::new(pending), place: Place::Member, fault: None }
    }

    /// Returns its input.
    pub(super) fn pending(&mut self) -> &mut Pending {
        self.decoder.get_mut()
    }

    /// Reads decompressed bytes into `out`. Returns their number, 0 at the end of the file, or `None` if more input is
    /// needed.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        let mut filled = 0;
        let mut needs_input = false;
        for piece in out.chunks_mut(PIECE_BYTES) {
            let mut at = 0;
            while self.fault.is_none() && !needs_input && at < piece.len() {
                match self.step(piece.get_mut(at..).unwrap_or_default()) {
                    Ok(None) => return Ok(Some(filled)),
                    Ok(Some(bytes)) => {
                        at = at.saturating_add(bytes);
                        filled = bytes.saturating_add(filled);
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => needs_input = true,
                        io::ErrorKind::UnexpectedEof => self.fault = Some(Fault::Truncated),
                        _ => self.fault = Some(Fault::Damaged),
                    },
                }
            }
        }
        match self.fault {
            Some(fault) if filled == 0 => Err(fault),
            None if filled == 0 && needs_input => Ok(None),
            _ => Ok(Some(filled)),
        }
    }

    /// Reads decompressed bytes of a member into `out`, or moves on to the next one. Returns their number, or `None` at the
    /// end of the file.
    fn step(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        if self.place == Place::Member {
            let bytes = self.decoder.read(out)?;
            if bytes == 0 {
                self.place = Place::Behind;
            }
            return Ok(Some(bytes));
        }
        let pending = self.decoder.get_mut();
        loop {
            let rest = pending.fill_buf()?;
            if rest.is_empty() {
                return Ok(None);
            }
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            if zeros == 0 {
                break;
            }
            pending.consume(zeros);
            self.place = Place::Padding;
        }
        if self.place == Place::Padding {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // A decoder begins anew only with another input, so its own is put back.
        let rest = self.decoder.reset(Pending::new(&[]));
        self.decoder.reset(rest);
        self.place = Place::Member;
        Ok(Some(0))
    }
}
