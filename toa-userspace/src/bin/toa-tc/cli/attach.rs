//! The arguments of `attach`.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;
use toa_common::run_info::MAX_INTERFACES;

use super::{bounds::BoundArgs, existing::Existing, results::ResultArgs, select::SelectArgs};

#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    /// Interfaces on which the load balancer's packets arrive
    #[arg(required = true, value_name = "IFACE", num_args = 1..=MAX_INTERFACES)]
    pub(crate) interfaces: Vec<String>,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    /// Also follow connections that were open before, by asking the servers' own sockets for their real clients, where a
    /// TOA module is loaded; =force also where that changes their cgroup-v1 class of network traffic
    #[arg(long, value_enum, value_name = "force", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    pub(crate) existing: Option<Existing>,

    #[command(flatten)]
    pub(crate) results: ResultArgs,

    /// Stop after this time, for example 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<SignedDuration>,

    /// Size of the ring of each CPU in bytes, a power of two [default: 64 MiB over all CPUs]
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    pub(crate) ring_size: Option<usize>,

    #[command(flatten)]
    pub(crate) bounds: BoundArgs,

    /// Print diagnostics, the kernel's included; twice: of every followed connection, too
    #[arg(short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Create this file once attached
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) ready_file: Option<PathBuf>,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration.is_positive() => Ok(duration),
        _ => Err("not a time: for example 30s, 5m or 1h30m".to_owned()),
    }
}

fn ring_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(bytes) if bytes.is_power_of_two() && (1 << 12..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("not a power of two from 4096 to 1073741824".to_owned()),
    }
}
