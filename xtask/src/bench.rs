//! Responsible for running one benchmark. Not responsible for what it measures.

use std::process::ExitCode;

use anyhow::Result;

use crate::{Workspace, build, exec};

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
    /// From segments in memory to requests, on one core
    Streams,
}

/// Builds and runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut command = exec::cargo(&["bench", "--locked", "--package", "toa-tests"]);
    let arguments: &[&str] = match options.bench {
        Bench::Captures => {
            let [tool] = build::release(workspace, [build::TOOL])?;
            command.env("TOA_TC", tool);
            &["--bench", "captures"]
        }
        Bench::Classifier => &["--bench", "classifier", "--features", "kernel"],
        Bench::Closes => {
            let [tool] = build::release(workspace, [build::TOOL])?;
            command.env("TOA_TC", tool);
            &["--bench", "closes", "--features", "kernel"]
        }
        Bench::Streams => &["--bench", "streams"],
    };
    exec::run(command.args(arguments))?;
    Ok(ExitCode::SUCCESS)
}
