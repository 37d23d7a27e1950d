//! Reads the plaintext of TLS connections by uprobes in the servers' TLS libraries: OpenSSL and what has its functions, such
//! as `BoringSSL`.
//!
//! A probe is at a place of a file, so it also applies to processes that start later with the same file. [`servers`] finds
//! the files, [`library`] the places in them.

pub mod layout;
mod learning;
pub mod library;
mod place;
mod probes;
pub mod rights;
pub mod servers;

pub use learning::{Learning, LearningError};
pub use probes::{Probes, ProbesError};
