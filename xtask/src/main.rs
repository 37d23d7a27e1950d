//! The command line of `cargo xtask`: what cargo alone cannot do for this project. The eBPF objects are
//! compiled by the build scripts of the crates that embed them.

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod build;
mod dist;
mod exec;
mod fuzz;
mod lab;
mod lint;
mod setup;
mod tally;
mod test;
mod vm;
mod workspace;

use workspace::Workspace;

/// Set up, build, measure, demonstrate, fuzz, lint and test toa-tc
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Task {
    /// Install what building needs and, with --tests or --dist, what testing or making a release needs
    Setup(setup::Options),
    /// Build the release binary and print its path
    Build,
    /// Run one benchmark
    Bench(bench::Options),
    /// Make the files of a release in one folder: archives, packages, sums
    Dist(dist::Options),
    /// Set up, build, and show in a load-balancer lab what toa-tc does
    Demo(lab::DemoOptions),
    /// Compare what toa-tc and tshark read from captures, request by request: those of real programs in a lab, or those in a
    /// folder
    Conformance(lab::ConformanceOptions),
    /// Fuzz one target for a limited time
    Fuzz(fuzz::Options),
    /// Check formatting, lints, documentation and house rules
    Lint,
    /// Record the terminal sessions of the documentation in the load-balancer lab
    Sessions(lab::SessionsOptions),
    /// Run all tests, including those that need root and the VM
    Test(test::Options),
    /// Check the eBPF programs and the tool on this kernel and on Debian's 6.1 in a VM
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let task = Task::parse();
    let done = Workspace::enter().and_then(|workspace| match task {
        Task::Setup(options) => setup::run(&workspace, options),
        Task::Build => build::run(&workspace),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Dist(options) => dist::run(&workspace, &options),
        Task::Demo(options) => lab::demo(&workspace, &options),
        Task::Conformance(options) => lab::conformance(&workspace, &options),
        Task::Fuzz(options) => fuzz::run(&workspace, &options),
        Task::Lint => lint::run(&workspace),
        Task::Sessions(options) => lab::sessions(&workspace, &options),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Vm(options) => vm::run(&workspace, &options),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
