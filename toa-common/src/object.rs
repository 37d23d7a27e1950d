//! What an eBPF object says about itself, so that a build can embed one that was compiled elsewhere.

use crate::run_info::FORMAT;

/// Section of an object that contains [`STAMP`].
pub const SECTION: &str = "toa_format";

/// The version of what objects and user space share, [`FORMAT`], in little-endian order.
pub const STAMP: [u8; 4] = FORMAT.to_le_bytes();
