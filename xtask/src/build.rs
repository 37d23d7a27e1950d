//! Builds release binaries. Cargo builds the eBPF objects in them through build scripts.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{exec, workspace::Workspace};

/// The tool.
pub(crate) const TOOL: &str = "toa-tc";

/// The option that selects every feature of the tool.
pub(crate) const ALL_FEATURES: &str = "--features=toa-userspace/otlp";

/// Builds the tool and prints its path.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let [tool] = release(workspace, [TOOL])?;
    println!("{}", tool.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds binaries for release and returns their paths.
///
/// No package is named: cargo selects the features of dependencies by the packages that it is asked to build,
/// and would rebuild most of them for another selection.
pub(crate) fn release<const N: usize>(workspace: &Workspace, names: [&str; N]) -> Result<[PathBuf; N]> {
    release_with(workspace, names, &[])
}

/// Builds binaries for tests and returns their paths: as for release, with every feature of the tool.
pub(crate) fn tested<const N: usize>(workspace: &Workspace, names: [&str; N]) -> Result<[PathBuf; N]> {
    release_with(workspace, names, &[ALL_FEATURES])
}

fn release_with<const N: usize>(
    workspace: &Workspace,
    names: [&str; N],
    options: &[&str],
) -> Result<[PathBuf; N]> {
    let bins = names.iter().flat_map(|name| ["--bin", name]);
    exec::run(exec::cargo(&["build", "--release"]).args(bins).args(options))?;
    Ok(names.map(|name| workspace.target.join("release").join(name)))
}
