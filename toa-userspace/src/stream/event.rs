//! The events that a stream hands on.

/// An event of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamEvent<'a> {
    /// The stream starts: at the connection's first byte if its SYN was seen, otherwise anywhere.
    Start {
        /// Whether its SYN was seen.
        from_syn: bool,
    },
    /// The next bytes, at most those of one segment.
    Data {
        /// The bytes, at least one.
        bytes: &'a [u8],
        /// When their segment arrived, in nanoseconds since the Unix epoch.
        time_ns: u64,
    },
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
