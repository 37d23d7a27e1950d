//! Responsible for the command line of `cargo xtask`: what cargo alone cannot do for this project.
//! Not responsible for building the eBPF objects: the crates that embed them have build scripts.

use std::{
    env,
    path::{self, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser;

mod bench;
mod build;
mod conformance;
mod demo;
mod exec;
mod fuzz;
mod lint;
mod setup;
mod test;
#[expect(dead_code, reason = "compiling is for the build scripts, which include this file with embed.rs")]
mod toolchain;
mod vm;

/// Set-up, build, bench, conformance, demo, fuzz, lint, test and VM commands of toa-tc.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Task {
    /// Install what building, and with --tests also what testing, needs
    Setup(setup::Options),
    /// Build the release binary and print its path
    Build,
    /// Measure one part
    Bench(bench::Options),
    /// Show in a load-balancer lab what toa-tc does, set-up and build included
    Demo(demo::Options),
    /// Compare request by request what toa-tc and tshark read from captures of real programs
    Conformance,
    /// Fuzz one part for a time
    Fuzz(fuzz::Options),
    /// Check formatting, lints, documentation and house rules
    Lint,
    /// Run every test, those that need root and the VM included
    Test(test::Options),
    /// Load every eBPF program on this kernel and on Debian's 6.1 in a VM
    Vm(vm::Options),
}

/// Where things are.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The target directory.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace and makes it the current directory.
    fn enter() -> Result<Self> {
        let target = env::var_os("CARGO_TARGET_DIR").map(path::absolute).transpose()?;
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = PathBuf::from(manifest).join("..").canonicalize()?;
        env::set_current_dir(&root)?;
        Ok(Self { target: target.unwrap_or_else(|| root.join("target")) })
    }
}

fn main() -> ExitCode {
    let task = Task::parse();
    let done = Workspace::enter().and_then(|workspace| match task {
        Task::Setup(options) => setup::run(&workspace, options),
        Task::Build => build::run(&workspace),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Demo(options) => demo::run(&workspace, &options),
        Task::Conformance => conformance::run(&workspace),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Lint => lint::run(&workspace),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Vm(options) => vm::run(&workspace, &options),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
