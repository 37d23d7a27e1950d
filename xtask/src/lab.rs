//! The commands that use the load-balancer lab: installs what they need, builds and starts them. Their
//! programs are in `tests/src/bin`.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    build, exec,
    setup::{self, Scope},
    workspace::Workspace,
};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoOptions {
    /// Keep the lab running afterwards and print commands to try
    #[arg(long)]
    keep: bool,
}

/// Installs what is missing, builds the demo, and replaces this process with it.
pub(crate) fn demo(workspace: &Workspace, options: &DemoOptions) -> Result<ExitCode> {
    match prepare(workspace, Scope::Demo, "demo")? {
        Ready::Not(code) => Ok(code),
        Ready::Yes(mut command) => {
            command.args(options.keep.then_some("--keep"));
            // Leaves no process between the demo and the terminal.
            Err(command.exec()).with_context(|| format!("cannot run {}", exec::line(&command)))
        }
    }
}

/// Installs what is missing, builds and runs the comparison of toa-tc with tshark.
pub(crate) fn conformance(workspace: &Workspace) -> Result<ExitCode> {
    match prepare(workspace, Scope::Tests, "conformance")? {
        Ready::Not(code) => Ok(code),
        Ready::Yes(mut command) => {
            exec::echo(&command);
            let status = command.status()?;
            Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Whether a command of the lab can run: the command itself, or the exit code if not.
enum Ready {
    Yes(Command),
    Not(ExitCode),
}

/// Checks for root, installs what `scope` needs, and builds the tool and the lab's program `toa-NAME`.
fn prepare(workspace: &Workspace, scope: Scope, name: &str) -> Result<Ready> {
    if !exec::is_root()? {
        eprintln!("error: the lab needs root: sudo env \"PATH=$PATH\" cargo xtask {name}");
        return Ok(Ready::Not(ExitCode::from(2)));
    }
    let installed = setup::provide(workspace, scope)?;
    if installed != ExitCode::SUCCESS {
        return Ok(Ready::Not(installed));
    }
    let [tool, program] = build::release(workspace, [build::TOOL, &format!("toa-{name}")])?;
    let mut command = Command::new(program);
    command.env("TOA_TC", tool);
    Ok(Ready::Yes(command))
}
