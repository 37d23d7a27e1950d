//! Responsible for the command line as it is typed. Not responsible for what it means.

use std::{error::Error, fmt, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use toa_common::run_info::MAX_INTERFACES;

mod bounds;
mod select;

pub(crate) use bounds::BoundArgs;
pub(crate) use select::SelectArgs;

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
    /// Print the requests of watched clients in a capture
    Read(ReadArgs),
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

#[derive(Args, Debug)]
pub(crate) struct ReadArgs {
    /// A capture, pcap or pcapng; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    /// Follow every TCP connection, whether or not it has a TOA; without one, its sender is the client
    #[arg(long, conflicts_with_all = ["rules", "ports", "any"])]
    pub(crate) any_flow: bool,

    #[command(flatten)]
    pub(crate) results: ResultArgs,

    #[command(flatten)]
    pub(crate) bounds: BoundArgs,

    /// Print diagnostics: twice, of every followed connection
    #[arg(short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Args, Debug)]
pub(crate) struct ResultArgs {
    /// How requests are printed
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,

    /// Print secrets (authorization, cookies, …) as they are
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Stop after this many requests
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// A command line that makes no sense, which shows only when what it means is looked at.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for each request and one for each of its fields
    Text,
    /// JSON Lines: an object for each request, connection and gap, and the ledger as the last one
    Json,
}

/// Whether servers' sockets are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Existing {
    /// Unless that changes their class
    #[value(hide = true)]
    Yes,
    /// Whatever it changes
    Force,
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

    fn attach(options: &[&str]) -> AttachArgs {
        match Cli::try_parse_from([&["toa-tc", "attach", "eth0"], options].concat()).unwrap().command {
            Command::Attach(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn watched(options: &[&str]) -> Vec<String> {
        attach(options).select.watched().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn options_add_up_to_rules() {
        assert_eq!(watched(&[]), [""; 0]);
        assert_eq!(watched(&["--any"]), ["any"]);
        let two = ["--ip", "192.0.2.1", "--ip", "[2001:db8::7]:443", "--ip", "192.0.2.1"];
        assert_eq!(watched(&two), ["192.0.2.1", "[2001:db8::7]:443"]);
        assert_eq!(watched(&["--port", "80", "--port", "81"]), [":80", ":81"]);
        let both = ["--ip", "192.0.2.1", "--ip", "192.0.2.2", "--port", "80", "--port", "81"];
        let combined = ["192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80", "192.0.2.2:81"];
        assert_eq!(watched(&both), combined);
        assert_eq!(watched(&["--ip", "any", "--port", "80"]), [":80"]);
        let ports = ["--port", "80", "--ip", ":80", "--ip", ":9", "--ip", "192.0.2.1:7"];
        assert_eq!(attach(&ports).select.client_ports(), [9, 80]);
    }

    #[test]
    fn an_address_and_a_port_that_exclude_each_other_are_a_mistake() {
        let error = attach(&["--ip", "192.0.2.1:80", "--port", "81", "--any"]).select.watched().unwrap_err();
        assert!(error.to_string().contains("--ip and --port"), "{error}");
    }

    #[test]
    fn the_ready_file_is_not_in_the_help() {
        let help = Cli::command().find_subcommand_mut("attach").unwrap().render_long_help().to_string();
        assert!(help.contains("--ring-size") && !help.contains("--ready-file"), "{help}");
        assert!(attach(&["--ready-file", "/tmp/ready"]).ready_file.is_some());
    }

    #[test]
    fn more_interfaces_than_others_can_be_told_of_are_a_mistake() {
        let parse = |count| {
            let names = (0..count).map(|number| format!("eth{number}"));
            Cli::try_parse_from(["toa-tc", "attach"].map(str::to_owned).into_iter().chain(names))
        };
        assert!(parse(MAX_INTERFACES).is_ok());
        assert!(parse(MAX_INTERFACES + 1).is_err());
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
            &["attach", "eth0", "--max-flows", "0"],
            &["attach", "eth0", "--max-head", "100"],
            &["attach", "eth0", "--max-memory", "1000"],
            &["attach", "eth0", "--toa", "254:12"],
            &["attach", "eth0", "--toa", "dpvs"],
            &["attach", "eth0", "--toa-pick", "all"],
            &["attach", "eth0", "--lb", "balancer.example"],
            &["attach", "eth0", "--lb", "10.9.0.1/24"],
            &["attach", "eth0", "--server-port", "http"],
            &["read"],
            &["read", "capture", "--any-flow", "--any"],
            &["read", "capture", "--any-flow", "--ip", "192.0.2.1"],
            &["read", "capture", "--any-flow", "--port", "7"],
            &["read", "capture", "--duration", "1s"],
            &["watch"],
            &["watch", "add"],
            &["watch", "add", "client.example"],
            &["watch", "remove", "203.0.113.9/24"],
            &["watch", "list", "--pid", "0"],
            &["attach", "eth0", "--existing=maybe"],
            &["flows", "--existing", "client.example"],
            &["flows", "--existing", "--pid", "1"],
            &["flows", "203.0.113.9"],
            &["status", "-o", "xml"],
        ] {
            assert!(Cli::try_parse_from([&["toa-tc"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
