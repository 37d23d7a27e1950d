//! gzip files of one or more members.

use std::io::{self, Read as _};

use flate2::bufread::MultiGzDecoder;

use super::pending::{Fault, Pending};

/// Bytes to decompress at a time. If the data is damaged, the decoder does not tell how much of the last piece is valid.
const PIECE_BYTES: usize = 4 << 10;

/// Decompresses a file.
#[derive(Debug)]
pub(super) struct Gzip {
    decoder: MultiGzDecoder<Pending>,
    /// Why nothing follows what was decompressed.
    fault: Option<Fault>,
}

impl Gzip {
    /// Creates a decoder of `pending`.
    pub(super) fn new(pending: Pending) -> Self {
        Self { decoder: MultiGzDecoder::new(pending), fault: None }
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
                match self.decoder.read(piece.get_mut(at..).unwrap_or_default()) {
                    Ok(0) => return Ok(Some(filled)),
                    Ok(bytes) => {
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
}
