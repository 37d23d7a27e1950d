//! Responsible for everything around the demo: what it needs, its build, its start. Not responsible for the story
//! (`tests/src/bin/toa-demo`).

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    Workspace, build, exec,
    setup::{self, Scope},
    test::is_root,
};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave the lab up afterwards, with commands to play with
    #[arg(long)]
    keep: bool,
}

/// Sets up what is missing, builds, and becomes the demo.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if !is_root()? {
        eprintln!("error: the demo needs root: sudo env \"PATH=$PATH\" cargo xtask demo");
        return Ok(ExitCode::from(2));
    }
    let installed = set_up(workspace)?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }
    let [tool, demo] = build::release(workspace, [build::TOOL, "toa-demo"])?;
    let mut command = Command::new(demo);
    command.env("TOA_TC", tool).args(options.keep.then_some("--keep"));
    // In place of this process, so that there is nobody between the demo and the terminal.
    Err(command.exec()).with_context(|| format!("cannot run {}", exec::line(&command)))
}

/// Installs what the demo uses. Without nginx and curl it is poorer, but it is one.
fn set_up(workspace: &Workspace) -> Result<ExitCode> {
    match setup::provide(workspace, Scope::Demo) {
        Ok(code) if code == ExitCode::SUCCESS => return Ok(code),
        Ok(_) => {}
        Err(error) => eprintln!("setup: {error:#}"),
    }
    setup::provide(workspace, Scope::Lab)
}
