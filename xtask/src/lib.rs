//! Compiling eBPF objects: for the build scripts that embed them, and for `cargo xtask`. No dependencies, so that build
//! scripts wait for nothing.

pub mod embed;
pub mod toolchain;
