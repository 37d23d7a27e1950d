//! Bounds on what is kept of a capture.

/// Longest block, or packet with its header, in bytes: what libpcap accepts (its `MAX_BLOCKSIZE`).
pub(super) const MAX_BLOCK_BYTES: usize = 16 << 20;

/// Most interfaces of a file, over all its sections.
pub(super) const MAX_INTERFACES: usize = 4096;

/// Longest name of an interface that is kept, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;
