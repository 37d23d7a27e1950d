//! Responsible for release binaries. Not responsible for the eBPF objects in them: cargo builds those.

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

/// Builds a program of the tests for release and returns its path.
pub(crate) fn release_of_tests(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    exec::run(&mut exec::cargo(&["build", "--release", "--package", "toa-tests", "--bin", name]))?;
    Ok(workspace.target.join("release").join(name))
}
