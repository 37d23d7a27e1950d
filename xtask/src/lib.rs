//! Compiles eBPF objects, for the build scripts that embed them and for `cargo xtask`. It has no
//! dependencies, so that build scripts do not wait for any.

pub mod embed;
pub mod toolchain;
