//! Responsible for release binaries. Not responsible for the eBPF objects in them: cargo builds those.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{exec, workspace::Workspace};

/// The tool.
pub(crate) const TOOL: &str = "toa-tc";

/// Builds the tool and prints its path.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let [tool] = release(workspace, [TOOL])?;
    println!("{}", tool.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds binaries for release and returns their paths.
///
/// No package is named: cargo chooses the features of what they depend on by the packages that it is asked for, and
/// would build most of it anew for another choice.
pub(crate) fn release<const N: usize>(workspace: &Workspace, names: [&str; N]) -> Result<[PathBuf; N]> {
    let bins = names.iter().flat_map(|name| ["--bin", name]);
    exec::run(exec::cargo(&["build", "--release"]).args(bins))?;
    Ok(names.map(|name| workspace.target.join("release").join(name)))
}
