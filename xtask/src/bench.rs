//! Responsible for running one benchmark. Not responsible for what it measures.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, exec, workspace::Workspace};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum)]
    bench: Bench,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bench {
    /// How fast captures are read, beside tshark and tcpflow
    Captures,
    /// What a packet costs in the kernel, by its kind and by what is watched; needs root
    Classifier,
    /// How late closed connections end while somebody looks at them; needs root
    Closes,
    /// What it costs to ask 50,000 open connections for their clients, and nginx meanwhile; needs root
    Existing,
    /// From segments in memory to requests, on one core
    Streams,
}

/// Builds and runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut command = exec::cargo(&["bench", "--locked", "--package", "toa-tests", "--bench"]);
    let (name, needs_kernel, needs_tool) = match options.bench {
        Bench::Captures => ("captures", false, true),
        Bench::Classifier => ("classifier", true, false),
        Bench::Closes => ("closes", true, true),
        Bench::Existing => ("existing", true, true),
        Bench::Streams => ("streams", false, false),
    };
    command.arg(name);
    if needs_kernel {
        command.args(["--features", "kernel"]);
    }
    if needs_tool {
        let [tool] = build::release(workspace, [build::TOOL])?;
        command.env("TOA_TC", tool);
    }
    exec::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
