//! Responsible for what the comparison with tshark needs, its build and its start. Not responsible for what is compared
//! (`tests/src/bin/toa-conformance`).

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    Workspace, build, exec,
    setup::{self, Scope},
    test::is_root,
};

/// Sets up what is missing, builds, and compares.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    if !is_root()? {
        eprintln!("error: the lab needs root: sudo env \"PATH=$PATH\" cargo xtask conformance");
        return Ok(ExitCode::from(2));
    }
    let installed = setup::provide(workspace, Scope::Tests)?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }
    let [tool, conformance] = build::release(workspace, [build::TOOL, "toa-conformance"])?;
    let mut command = Command::new(conformance);
    command.env("TOA_TC", tool);
    exec::echo(&command);
    let status = command.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
