//! Responsible for the command line as it is typed. Not responsible for what it means.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use toa_userspace::rule::{Rule, RuleError, parse_port};

use crate::commands;

/// Follows the TCP connections of real clients behind a full-NAT load balancer (TOA) and prints what they request.
#[derive(Debug, Parser)]
#[command(name = "toa-tc", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Attach to interfaces and print the requests of watched clients, until SIGINT or SIGTERM
    Attach(AttachArgs),
    /// Change what a running attach watches, at once
    Watch(commands::watch::Args),
    /// Show what is attached where, its rules, counters, ledger and cost
    Status(commands::status::Args),
    /// Show the connections that are followed now
    Flows(commands::flows::Args),
    /// Show what this host can do and what would stop attach
    Doctor(commands::doctor::Args),
}

#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    /// Interfaces on which the load balancer's packets arrive
    #[arg(required = true, value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,

    /// Watch this real client: IP, IP:PORT, `[IPv6]:PORT` or any (repeatable)
    #[arg(long = "ip", value_name = "RULE")]
    pub(crate) rules: Vec<Rule>,

    /// Watch this port of real clients; with --ip, both must match (repeatable)
    #[arg(long = "port", value_name = "PORT", value_parser = port)]
    pub(crate) ports: Vec<u16>,

    /// Watch every connection that has a TOA
    #[arg(long)]
    pub(crate) any: bool,

    /// How requests are printed
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,

    /// Print secrets (authorization, cookies, …) as they are
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Stop after this many requests
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Stop after this time, for example 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<SignedDuration>,

    /// Size of the ring of each CPU in bytes, a power of two [default: 64 MiB over all CPUs]
    #[arg(long, value_name = "BYTES", value_parser = ring_size)]
    pub(crate) ring_size: Option<usize>,

    /// Print diagnostics, the kernel's included; twice for more
    #[arg(short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Create this file once attached
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for each request and one for each of its fields
    Text,
    /// JSON Lines: an object for each request, connection and gap, and the ledger as the last one
    Json,
}

fn port(text: &str) -> Result<u16, RuleError> {
    parse_port(text)
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mistakes_are_found() {
        for wrong in [
            &["attach"][..],
            &["attach", "eth0", "--ip", "client.example"],
            &["attach", "eth0", "--port", "70000"],
            &["attach", "eth0", "--duration", "-1s"],
            &["attach", "eth0", "--duration", "soon"],
            &["attach", "eth0", "--ring-size", "5000"],
            &["attach", "eth0", "-c", "0"],
            &["watch"],
            &["watch", "add"],
            &["watch", "add", "client.example"],
            &["watch", "remove", "203.0.113.0/24"],
            &["watch", "list", "--pid", "0"],
            &["status", "-o", "xml"],
        ] {
            assert!(Cli::try_parse_from([&["toa-tc"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
