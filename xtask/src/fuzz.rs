//! Builds and runs a fuzz target for a limited time.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use crate::{exec, workspace::Workspace};

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Select the target
    #[arg(value_enum)]
    target: Target,
    /// Stop after this many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The fuzz targets: the binaries of the package `toa-fuzz`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Target {
    /// One connection's stream
    Http,
    /// The frames of an HTTP/2 connection
    Http2,
    /// Frames, from the first byte to the decision; seeded with the tests' tables
    Packet,
    /// Captures, pcap and pcapng; seeded with the same frames
    Pcap,
    /// Segments of several connections
    Reassembly,
    /// Samples of a ring
    Segment,
    /// TLS records
    Tls,
}

/// Compiler flags that instrument code for libFuzzer, with assertions and overflow checks. All crates are
/// safe code or do not run here, so no sanitizer is needed, and therefore no nightly compiler.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Maximum length of an input in bytes.
const MAX_INPUT_BYTES: u32 = 4096;

/// Builds and runs the target. Its findings and its corpus stay in `target/fuzz`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let target = options.target.to_possible_value().context("a target without a name")?.get_name().to_owned();
    let directory = workspace.target.join("fuzz");
    let corpus = directory.join("corpus").join(&target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    // With an explicit target, the flags apply only to what is fuzzed, not to build scripts.
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
