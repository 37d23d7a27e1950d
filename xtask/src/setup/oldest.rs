//! The oldest Rust that the tool supports, from rustup. `lint/oldest.rs` checks the tool with it.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::exec;

/// Its version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// The target of the check: that of the architecture that tests do not run on.
pub(crate) const TARGET: &str = super::dist::FOREIGN;

/// Returns whether rustup has it, with the target's standard library.
pub(crate) fn is_installed() -> bool {
    let sysroot = exec::output(Command::new("rustup").args(["run", VERSION, "rustc", "--print=sysroot"]));
    sysroot.is_ok_and(|it| PathBuf::from(it.trim()).join("lib/rustlib").join(TARGET).join("lib").exists())
}

/// Installs it.
pub(crate) fn install() -> Result<()> {
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", VERSION, "--profile=minimal", "--no-self-update"]);
    exec::run(command.args(["--target", TARGET]))
}
