//! Reading from a file or pipe.

use std::io::{self, Read};

/// Reads once, and again if a signal interrupts that.
pub(super) fn read_once(input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
