//! Responsible for the release binary. Not responsible for the eBPF object in it: cargo builds that.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{Workspace, exec};

/// Builds and prints the path.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    println!("{}", release(workspace)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the release binary and returns its path.
pub(crate) fn release(workspace: &Workspace) -> Result<PathBuf> {
    exec::run(&mut exec::cargo(&["build", "--release", "--package", "toa-userspace"]))?;
    Ok(workspace.target.join("release/toa-tc"))
}
