//! Runs a benchmark.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, exec, workspace::Workspace};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Select the benchmark
    #[arg(value_enum)]
    bench: Bench,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bench {
    /// Speed of reading captures, compared with tshark and tcpflow
    Captures,
    /// Cost of a packet in the kernel, by its kind and the rules; needs root
    Classifier,
    /// Delay of closes while another process inspects the sockets; needs root
    Closes,
    /// Cost of asking 50,000 open connections for their clients, and its effect on nginx; needs root
    Existing,
    /// Speed from segments in memory to requests, on one core
    Streams,
}

/// Builds and runs the benchmark.
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
