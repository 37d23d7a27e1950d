//! Compiles eBPF objects, or checks ready ones, for the build scripts that embed them and for `cargo xtask`. It has few
//! dependencies, so that build scripts do not wait for many.

pub mod embed;
pub mod ready;
pub mod toolchain;
