//! Responsible for building and running one fuzz target for a time. Not responsible for the targets.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use crate::{exec, workspace::Workspace};

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to fuzz
    #[arg(value_enum)]
    target: Target,
    /// For how long, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The targets: the binaries of the package `toa-fuzz`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Target {
    /// One connection's stream
    Http,
    /// Frames, from the first byte to the decision; begins with those of the tests' tables
    Packet,
    /// Captures, pcap and pcapng; begins with those frames, too
    Pcap,
    /// Segments of several connections
    Reassembly,
    /// Samples of the ring
    Segment,
    /// TLS records
    Tls,
}

/// What makes the compiler instrument code for libFuzzer, with assertions and checks for overflow. All crates are safe
/// code or do not run here, so no sanitizer is needed, and with it no nightly compiler.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Longest input, in bytes.
const MAX_INPUT_BYTES: u32 = 4096;

/// Builds the target and runs it. What it finds stays in `target/fuzz`, as does its corpus.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let target = options.target.to_possible_value().context("a target without a name")?.get_name().to_owned();
    let directory = workspace.target.join("fuzz");
    let corpus = directory.join("corpus").join(&target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    // For a named target the flags hold for what is fuzzed only, not for build scripts.
    let triple = exec::host_triple()?;
    let mut build =
        exec::cargo(&["build", "--locked", "--release", "--package", "toa-fuzz", "--bin", &target]);
    build.args(["--target", &triple, "--target-dir"]).arg(&directory).env("RUSTFLAGS", FLAGS);
    exec::run(&mut build)?;
    if matches!(options.target, Target::Packet | Target::Pcap) {
        let arguments = ["run", "--locked", "--quiet", "--package", "toa-tests", "--bin", "toa-seeds", "--"];
        exec::run(exec::cargo(&arguments).arg(&target).arg(&corpus))?;
    }
    let mut fuzz = std::process::Command::new(directory.join(&triple).join("release").join(&target));
    fuzz.arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/{target}-", directory.display()))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg(corpus);
    exec::run(&mut fuzz)?;
    Ok(ExitCode::SUCCESS)
}
