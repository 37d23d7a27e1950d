//! Everything that needs a kernel: loading and attaching the programs, and reading what they stream and count.

pub mod doctor;
pub mod existing;
pub mod host;
pub mod maps;
pub mod program;
pub mod remember;
pub mod rings;
pub mod runs;
pub mod tls;
