//! The map `FLOW_CHANGES`, by which the plaintext programs know that a connection is still not followed.

/// The map's name.
pub const NAME: &str = "FLOW_CHANGES";

/// The entry that user space increments after it has inserted a connection into the map `FLOWS`. Nobody else writes it.
pub const BY_USER_SPACE: u32 = 0;
