//! The events that a stream hands on.

use super::arrival::Arrival;

/// An event of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamEvent<'a> {
    /// The stream starts.
    Start {
        /// Whether that is the connection's first byte.
        is_known: bool,
    },
    /// The next bytes, at most those of one segment.
    Data {
        /// The bytes, at least one.
        bytes: &'a [u8],
        /// Their segment.
        arrival: Arrival,
    },
    /// Bytes arrived twice with different content, or in a segment that the server may have discarded: the next ones, or
    /// some that were handed on before.
    Conflict {
        /// How many bytes, at least one.
        bytes: u64,
    },
    /// The connection goes on although it had ended, as far as could be told.
    Reopened,
    /// The next bytes are missing and were given up.
    Gap {
        /// How many bytes, at least one.
        bytes: u64,
    },
    /// The next bytes were bypassed, not copied.
    Bypassed {
        /// How many bytes, at least one.
        bytes: u64,
    },
}

/// How a connection ended by itself: not by a limit or the end of the run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndKind {
    /// With a FIN.
    Fin,
    /// With a RST.
    Rst,
}
