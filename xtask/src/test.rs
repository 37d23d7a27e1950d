//! Runs all tiers of tests and prints one closing line.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    build, exec,
    setup::{self, Scope},
    tally::{self, Tally},
    vm,
    workspace::Workspace,
};

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only tests that need no root
    #[arg(long)]
    unprivileged: bool,
    /// Run only tests whose names contain one of these, and no VM
    filter: Vec<String>,
}

/// Runs the tiers and prints the closing line.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let privileged = !options.unprivileged;
    if privileged && !exec::is_root()? {
        eprintln!("error: the kernel tests need root: run this as root, or with --unprivileged for the rest");
        return Ok(ExitCode::from(2));
    }
    let installed = setup::provide(workspace, if privileged { Scope::Tests } else { Scope::Build })?;
    if installed != ExitCode::SUCCESS {
        return Ok(installed);
    }

    // What users build must build on its own. This also leaves it built: tests select other features of
    // shared dependencies.
    exec::run(&mut exec::cargo(&["build", "--locked"]))?;
    let mut total = Tally::default();
    if privileged {
        // Tests of toa-tests that need no root run below, with the rest of that crate, and only once.
        let rest = [
            "--workspace",
            "--exclude=toa-tests",
            "--exclude=toa-ebpf",
            "--exclude=toa-fuzz",
            "--exclude=toa-lab-ebpf",
        ];
        total += tier("tier 1 (no root)", || {
            libtest(exec::cargo(&["test", build::ALL_FEATURES]).args(rest), options)
        })?;
        total += tier("tiers 2 and 3 (kernel)", || {
            let [binary] = build::tested(workspace, [build::TOOL])?;
            let mut tests = exec::cargo(&["test", "--package", "toa-tests", "--features", "kernel,otlp"]);
            libtest(tests.env("TOA_TC", binary), options)
        })?;
        if options.filter.is_empty() {
            total += tier("cost of a request", || cost(workspace))?;
            total += tier("vm", || vm::tally(workspace, false))?;
        } else {
            println!("xtask: cost of a request, vm: not run, because of the filter");
        }
    } else {
        total += tier("tier 1 (no root)", || libtest(&mut exec::cargo(&["test"]), options))?;
        println!("xtask: tiers 2 and 3 (kernel), vm: not run, because of --unprivileged");
    }

    if total.ignored > 0 {
        println!("xtask: {} tests are marked as ignored and were not run", total.ignored);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    let green = total.failed == 0 && total.passed > 0;
    Ok(if green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one tier and prints its result and time. A tier that cannot run counts as one failure and does not
/// end the run.
fn tier(name: &str, run: impl FnOnce() -> Result<Tally>) -> Result<Tally> {
    let start = Instant::now();
    let tally = run().unwrap_or_else(|error| {
        eprintln!("error: {name}: {error:#}");
        Tally { failed: 1, ..Tally::default() }
    });
    let Tally { passed, failed, .. } = tally;
    println!("xtask: {name}: {passed} ok, {failed} not, {:.1} s", start.elapsed().as_secs_f64());
    io::stdout().flush()?;
    Ok(tally)
}

/// Runs the benchmark of a printed request, which counts instructions and has limits.
fn cost(workspace: &Workspace) -> Result<Tally> {
    let [binary] = build::tested(workspace, [build::TOOL])?;
    let mut bench = exec::cargo(&["test", "--locked", "--package", "toa-tests", "--features", "kernel,otlp"]);
    exec::run(bench.args(["--bench", "requests"]).env("TOA_TC", binary))?;
    Ok(Tally { passed: 1, ..Tally::default() })
}

/// Runs `cargo test`, forwards its output as it comes, and adds up its results.
fn libtest(command: &mut Command, options: &Options) -> Result<Tally> {
    command.args(["--locked", "--no-fail-fast", "--"]).args(&options.filter);
    exec::echo(command);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let mut tally = Tally::default();
    let mut stdout = BufReader::new(child.stdout.take().context("the output of cargo is not there")?);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        if let Some(result) = tally::parse(&String::from_utf8_lossy(&line)) {
            tally += result;
        }
        line.clear();
    }
    // A test binary that does not compile or that crashes prints no result line.
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}
