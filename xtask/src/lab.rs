//! The commands that use the load-balancer lab: installs what they need, builds and starts them. Their
//! programs are in `tests/src/bin`.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::{self, PathBuf},
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

/// Options of `cargo xtask conformance`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConformanceOptions {
    /// Compare all captures below this folder, instead of those of the lab
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    captures: Option<PathBuf>,
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

/// Options of `cargo xtask sessions`.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionsOptions {
    /// Only compare them with what the commands print now; exit with 1 if they differ
    #[arg(long)]
    check: bool,
}

/// Installs what is missing, builds and runs the recorder of terminal sessions.
pub(crate) fn sessions(workspace: &Workspace, options: &SessionsOptions) -> Result<ExitCode> {
    let mut command = match prepare(workspace, Scope::Demo, "sessions")? {
        Ready::Not(code) => return Ok(code),
        Ready::Yes(command) => command,
    };
    command.args(options.check.then_some("--check"));
    run(&mut command)
}

/// Installs what is missing, builds and runs the comparison of toa-tc with tshark.
pub(crate) fn conformance(workspace: &Workspace, options: &ConformanceOptions) -> Result<ExitCode> {
    let ready = match &options.captures {
        Some(directory) => {
            let mut command = build_program(workspace, "conformance")?;
            command.arg("--captures").arg(directory);
            Ready::Yes(command)
        }
        None => prepare(workspace, Scope::Tests, "conformance")?,
    };
    match ready {
        Ready::Not(code) => Ok(code),
        Ready::Yes(mut command) => run(&mut command),
    }
}

/// Runs a program of the lab.
fn run(command: &mut Command) -> Result<ExitCode> {
    exec::echo(command);
    let status = command.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a path independent of the current directory, which will be the workspace.
fn absolute(path: &str) -> io::Result<PathBuf> {
    path::absolute(path)
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
    build_program(workspace, name).map(Ready::Yes)
}

/// Builds the tool and the program `toa-NAME`, which runs the tool.
fn build_program(workspace: &Workspace, name: &str) -> Result<Command> {
    let [tool, program] = build::release(workspace, [build::TOOL, &format!("toa-{name}")])?;
    let mut command = Command::new(program);
    command.env("TOA_TC", tool);
    Ok(command)
}
