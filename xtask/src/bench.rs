//! Runs a benchmark.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::{
    build, exec,
    setup::{self, Scope},
    workspace::Workspace,
};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Select the benchmark
    #[arg(value_enum)]
    bench: Bench,
    /// Options of the benchmark, which `load --help` and `tls --help` list; no other has any
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
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
    /// Requests per second of nginx beside toa-tc, tcpdump, tshark and others, and what each of them shows; needs root
    Load,
    /// Instructions and allocations per printed request, under valgrind, within limits
    Requests,
    /// Ten minutes of everything watched at full rate: losses, memory and descriptors; needs root
    Soak,
    /// Speed from segments in memory to requests, on one core
    Streams,
    /// Requests per second of nginx with TLS while its plaintext is read, and beside empty probes; needs root
    Tls,
}

/// Builds and runs the benchmark.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut command = exec::cargo(&["bench", "--locked", "--package", "toa-tests", "--bench"]);
    let has_options = matches!(options.bench, Bench::Load | Bench::Tls);
    ensure!(has_options || options.options.is_empty(), "only the benchmarks `load` and `tls` have options");
    if matches!(options.bench, Bench::Load) {
        let code = setup::provide(workspace, Scope::Load)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    let (name, needs_kernel, needs_tool) = match options.bench {
        Bench::Captures => ("captures", false, true),
        Bench::Classifier => ("classifier", true, false),
        Bench::Closes => ("closes", true, true),
        Bench::Existing => ("existing", true, true),
        Bench::Load => ("load", true, true),
        Bench::Requests => ("requests", false, true),
        Bench::Soak => ("soak", true, true),
        Bench::Streams => ("streams", false, false),
        Bench::Tls => ("tls", true, true),
    };
    command.arg(name);
    if needs_kernel {
        command.args(["--features", "kernel"]);
    }
    if needs_tool {
        let [tool] = build::release(workspace, [build::TOOL])?;
        command.env("TOA_TC", tool);
    }
    if !options.options.is_empty() {
        command.arg("--").args(&options.options);
    }
    exec::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
