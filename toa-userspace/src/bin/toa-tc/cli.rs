//! The command line: one file per command, and one per group of options that several commands share.

use clap::{Parser, Subcommand};

pub(crate) mod attach;
pub(crate) mod bounds;
pub(crate) mod completions;
pub(crate) mod detach;
pub(crate) mod doctor;
mod examples;
pub(crate) mod existing;
pub(crate) mod filter;
pub(crate) mod flows;
pub(crate) mod forget;
pub(crate) mod man;
mod number;
pub(crate) mod pin_dir;
pub(crate) mod read;
pub(crate) mod remember;
pub(crate) mod results;
pub(crate) mod rotation;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod status;
pub(crate) mod tls;
pub(crate) mod toa;
pub(crate) mod verbosity;
pub(crate) mod watch;

use attach::AttachArgs;
use completions::CompletionsArgs;
use detach::DetachArgs;
use doctor::DoctorArgs;
use filter::FilterArgs;
use flows::FlowsArgs;
use forget::ForgetArgs;
use man::ManArgs;
use read::ReadArgs;
use remember::RememberArgs;
use results::Format;
use run::ReportFormat;
use schema::SchemaArgs;
use status::{StatusArgs, StatusFormat};
use watch::WatchArgs;

/// Show which clients send which HTTP requests through a full-NAT load balancer
///
/// Behind LVS, DPVS and similar load balancers, every packet comes from the balancer; the client's address is in a TCP
/// option, TOA (TCP Option Address). toa-tc finds this option by eBPF at an interface's TC ingress hook, follows the
/// connections of the clients you watch, and prints their HTTP requests. Nothing on the host has to be changed: no kernel
/// module, no server configuration.
#[derive(Debug, Parser)]
#[command(name = "toa-tc", version, arg_required_else_help = true, after_long_help = examples::TOA_TC)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the requests of watched clients
    ///
    /// Attaches to the interfaces until SIGINT or SIGTERM. Results go to stdout, everything else to stderr.
    #[command(override_usage = "toa-tc attach [OPTIONS] <IFACE>...", after_long_help = examples::ATTACH)]
    Attach(AttachArgs),
    /// Print a table of the real clients
    ///
    /// Attaches to the interfaces, and prints the clients with their connections and requests at the end, and every second
    /// on a terminal; without --ip and --port, all clients with TOA.
    #[command(
        override_usage = "toa-tc clients [OPTIONS] <IFACE>...",
        mut_args(|arg| match arg.get_id().as_str() {
            "show_secrets" | "redact" | "headers" | "not_headers" | "once_by" | "time" | "color" => arg.hide(true),
            _ => arg,
        }),
        after_long_help = examples::CLIENTS
    )]
    Clients(AttachArgs),
    /// Watch a table of the real clients grow
    ///
    /// Attaches to the interfaces, and fills the terminal with the clients that call now: requests, their rate, connections,
    /// and how long ago they were seen; by other keys with --summary-by. Prints the table at the end. Without --ip and
    /// --port, shows all clients with TOA.
    #[command(
        override_usage = "toa-tc top [OPTIONS] <IFACE>...",
        mut_args(|arg| match arg.get_id().as_str() {
            "show_secrets" | "redact" | "headers" | "not_headers" | "once_by" | "time" | "color" | "output"
            | "output_file" => arg.hide(true),
            "summary_by" => arg.help("Show a table by client, path or header").long_help(examples::TOP_KEYS),
            _ => arg,
        }),
        after_long_help = examples::TOP
    )]
    Top(AttachArgs),
    /// Print the requests of capture files
    ///
    /// Needs no privileges. Without --ip, --port and --any, prints all requests, as with --any-flow.
    #[command(after_long_help = examples::READ)]
    Read(ReadArgs),
    /// Show or change the rules of a running attach
    ///
    /// Rules say which clients are watched; changes take effect at once. If several are running, --iface or --pid selects one.
    #[command(after_long_help = examples::WATCH)]
    Watch(WatchArgs),
    /// Show each running attach: interfaces, rules, counters, cost
    ///
    /// Also how it was started, by whom, and what it has counted.
    #[command(after_long_help = examples::STATUS)]
    Status(StatusArgs),
    /// Show the followed connections, or all open ones
    ///
    /// These are the connections that a running attach follows, each with its real client; with --existing or --connections,
    /// all that this host has, whether or not anything is attached.
    #[command(after_long_help = examples::FLOWS)]
    Flows(FlowsArgs),
    /// Print filters for tcpdump and Wireshark
    ///
    /// For hosts where attach cannot run: expressions that find the packets in which a TOA names a client.
    #[command(after_long_help = examples::FILTER)]
    Filter(FilterArgs),
    /// Remove what killed runs have left behind
    ///
    /// These are their pins and netlink filters. Nothing of a living run, or of somebody else, is touched.
    #[command(after_long_help = examples::DETACH)]
    Detach(DetachArgs),
    /// Remember the clients of new connections in the kernel
    ///
    /// A later attach --existing or flows --existing knows them then, without a TOA kernel module.
    #[command(after_long_help = examples::REMEMBER)]
    Remember(RememberArgs),
    /// Forget what remember has noted, and remember no more
    #[command(after_long_help = examples::FORGET)]
    Forget(ForgetArgs),
    /// Check whether this host can run attach
    #[command(after_long_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print the JSON Schema of what -o json prints
    #[command(after_long_help = examples::SCHEMA)]
    Schema(SchemaArgs),
    /// Print what a shell needs to complete commands and options
    #[command(after_long_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the man pages, one for each command
    #[command(hide = true, after_long_help = examples::MAN)]
    Man(ManArgs),
}

impl Command {
    /// Returns whether the output is JSON.
    pub(crate) fn prints_json(&self) -> bool {
        let report = match self {
            Self::Attach(args) | Self::Clients(args) | Self::Top(args) => {
                return args.results.output == Format::Json;
            }
            Self::Read(args) => return args.results.output == Format::Json,
            Self::Status(args) => return args.output == StatusFormat::Json,
            Self::Schema(_) | Self::Completions(_) | Self::Man(_) => return false,
            Self::Watch(args) => args.change.run().output,
            Self::Flows(args) => args.output,
            Self::Filter(args) => args.output,
            Self::Detach(args) => args.output,
            Self::Remember(args) => args.output,
            Self::Forget(args) => args.output,
            Self::Doctor(args) => args.output,
        };
        report == ReportFormat::Json
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

    /// Returns all commands that have a help text of their own.
    fn all(command: &clap::Command) -> Vec<clap::Command> {
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        std::iter::once(command.clone()).chain(below.flat_map(all)).collect()
    }

    #[test]
    fn the_short_help_of_every_command_fits_a_screen() {
        let mut root = Cli::command().term_width(80);
        root.build();
        let commands = all(&root);
        assert!(commands.len() > 12, "{}", commands.len());
        for mut command in commands {
            let help = command.render_help().to_string();
            let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(help.lines().count() <= 24 && widest <= 80, "{}\n{help}", help.lines().count());
        }
    }

    #[test]
    fn the_long_help_of_every_command_has_examples() {
        let mut root = Cli::command();
        root.build();
        for mut command in all(&root) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("\nExamples:\n  "), "{help}");
            // Longer lines would be wrapped, and the examples could not be copied.
            let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let widest = examples.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{examples}");
        }
    }

    #[test]
    fn sizes_numbers_and_times_are_read() {
        let args = attach(&["--ring-size", "1M", "--duration", "1d", "-c", "10", "--max-memory", "1G"]);
        assert_eq!((args.ring_size, args.results.count), (Some(1 << 20), Some(10)));
        assert_eq!(args.duration, Some(jiff::SignedDuration::from_hours(24)));
        assert_eq!(args.bounds.limits().total_bytes, 1 << 30);
    }

    #[test]
    fn interfaces_are_not_needed_for_a_list_of_them() {
        let parsed = Cli::try_parse_from(["toa-tc", "attach", "-D", "--netns", "web"]).unwrap();
        assert!(matches!(parsed.command, Command::Attach(args) if args.list_interfaces));
    }

    #[test]
    fn the_ready_file_is_not_in_the_help() {
        let help = Cli::command().find_subcommand_mut("attach").unwrap().render_long_help().to_string();
        assert!(help.contains("--ring-size") && !help.contains("--ready-file"), "{help}");
        assert!(attach(&["--ready-file", "/tmp/ready"]).ready_file.is_some());
    }

    #[test]
    fn mistakes_are_found() {
        for wrong in [
            &["attach"][..],
            &["attach", "eth0", "--ip", "client.example"],
            &["attach", "eth0", "--port", "70000"],
            &["attach", "eth0", "--duration", "-1s"],
            &["attach", "eth0", "--duration", "soon"],
            &["attach", "eth0", "--ring-size", "96K"],
            &["attach", "eth0", "--ring-size", "5000"],
            &["attach", "eth0", "-c", "0"],
            &["attach", "eth0", "--max-flows", "0"],
            &["attach", "eth0", "--max-head", "100"],
            &["attach", "eth0", "--max-memory", "1000"],
            &["attach", "eth0", "--toa", "254:12"],
            &["attach", "eth0", "--toa", "lsv"],
            &["attach", "eth0", "--toa-pick", "all"],
            &["attach", "eth0", "--lb", "balancer.example"],
            &["attach", "eth0", "--lb", "10.9.0.1/24"],
            &["attach", "eth0", "--server-port", "http"],
            &["read"],
            &["read", "capture", "--any-flow", "--any"],
            &["read", "capture", "--duration", "1s"],
            &["watch"],
            &["watch", "add"],
            &["watch", "add", "client.example"],
            &["watch", "remove", "203.0.113.9/24"],
            &["watch", "list", "--pid", "0"],
            &["attach", "eth0", "--existing=maybe"],
            &["flows", "--existing", "client.example"],
            &["flows", "--existing", "--pid", "1"],
            &["flows", "--existing", "--pin-dir", "/sys/fs/bpf"],
            &["flows", "client.example"],
            &["flows", "--without-toa", "203.0.113.9"],
            &["flows", "--netns", "web"],
            &["status", "-o", "xml"],
        ] {
            assert!(Cli::try_parse_from([&["toa-tc"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
