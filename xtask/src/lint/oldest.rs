//! Checks the tool as packagers build it: with the oldest Rust that it supports and ready eBPF objects. It is also the
//! check that it compiles for aarch64.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use toa_embed::{embed::SHIPPED, ready, toolchain::Toolchain};

use crate::{
    build, exec,
    setup::oldest::{self, TARGET, VERSION},
    workspace::Workspace,
};

/// Runs the check, or says that it cannot.
pub(super) fn check(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    if !oldest::is_installed() {
        println!("lint: not checked with Rust {VERSION} and for {TARGET}, which rustup does not have");
        return Ok(());
    }
    let directory = workspace.target.join("oldest");
    let objects = objects(workspace, toolchain, &directory)?;
    let mut command = Command::new("rustup");
    command.args(["run", VERSION, "cargo", "check", "--locked", "--all-features", "--package", build::TOOL]);
    command.args(["--target", TARGET, "--target-dir"]).arg(&directory).env(ready::VARIABLE, objects);
    exec::run(&mut command)
}

/// Compiles the eBPF objects, if that is not done yet, and returns a directory with copies.
fn objects(workspace: &Workspace, toolchain: &Toolchain, directory: &Path) -> Result<PathBuf> {
    let names: Vec<_> = SHIPPED.objects.iter().map(|object| object.name).collect();
    let built = toolchain
        .compile(Path::new("."), SHIPPED.name, &names, &workspace.target.join("bpf"))
        .map_err(anyhow::Error::msg)?;
    let directory = directory.join("objects");
    fs::create_dir_all(&directory)?;
    for (name, from) in names.into_iter().zip(built) {
        fs::copy(from, directory.join(ready::file_name(name)))?;
    }
    Ok(directory)
}
