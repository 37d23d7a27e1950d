//! Bounds of the capture reader.

/// Longest block, or packet with its header, in bytes: the same as libpcap's `MAX_BLOCKSIZE`.
pub(super) const MAX_BLOCK_BYTES: usize = 16 << 20;

/// Most interfaces of a section.
pub(super) const MAX_INTERFACES: usize = 4096;

/// Most different names of interfaces, over all sections and files. Further ones are not kept.
pub(super) const MAX_NAMES: usize = 4096;

/// Longest interface name that is kept, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;
