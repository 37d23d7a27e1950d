//! Responsible for what a stream hands on. Not responsible for when.

/// What a stream hands on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamEvent<'a> {
    /// The stream starts: with the connection's first byte if its SYN was seen, else anywhere.
    Start {
        /// Whether its SYN was seen.
        from_syn: bool,
    },
    /// Its next bytes, at most one segment's.
    Data {
        /// The bytes, at least one.
        bytes: &'a [u8],
        /// When their segment came, in nanoseconds since the Unix epoch.
        time_ns: u64,
    },
    /// Its next bytes are missing for good.
    Gap {
        /// How many, at least one.
        bytes: u64,
    },
    /// Its next bytes were not copied, because they are bypassed.
    Bypassed {
        /// How many, at least one.
        bytes: u64,
    },
}

/// How a connection ended by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndKind {
    /// With a FIN.
    Fin,
    /// With a RST.
    Rst,
}
