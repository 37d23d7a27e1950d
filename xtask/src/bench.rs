//! Responsible for running one benchmark. Not responsible for what it measures.

use std::process::ExitCode;

use anyhow::Result;

use crate::exec;

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
    /// From segments in memory to requests, on one core
    Streams,
}

/// Builds and runs it.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    match options.bench {
        Bench::Streams => {
            exec::run(&mut exec::cargo(&[
                "bench",
                "--locked",
                "--package",
                "toa-tests",
                "--bench",
                "streams",
            ]))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
