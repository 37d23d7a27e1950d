//! The command line: one file per command, and one per group of options that several commands share.

use clap::{Parser, Subcommand};

pub(crate) mod attach;
pub(crate) mod bounds;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod existing;
pub(crate) mod flows;
pub(crate) mod pin_dir;
pub(crate) mod read;
pub(crate) mod remember;
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod status;
pub(crate) mod toa;
pub(crate) mod verbosity;
pub(crate) mod watch;

use attach::AttachArgs;
use detach::DetachArgs;
use doctor::DoctorArgs;
use flows::FlowsArgs;
use read::ReadArgs;
use remember::RememberArgs;
use status::StatusArgs;
use watch::WatchArgs;

#[derive(Debug, Parser)]
#[command(name = "toa-tc", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Attach to interfaces and print the requests of watched clients until SIGINT or SIGTERM
    Attach(AttachArgs),
    /// Attach to interfaces, and print a table of the real clients with their connections and requests at the end, and
    /// every second on a terminal; without --ip and --port, of all clients with TOA
    #[command(mut_args(|arg| match arg.get_id().as_str() {
        "show_secrets" | "redact" | "headers" | "not_headers" | "once_by" | "time" | "color" => arg.hide(true),
        _ => arg,
    }))]
    Clients(AttachArgs),
    /// Print the requests of watched clients from a capture file
    Read(ReadArgs),
    /// Show or change the rules of a running attach
    Watch(WatchArgs),
    /// Show each running attach: interfaces, rules, counters, ledger, cost
    Status(StatusArgs),
    /// Show the connections being followed
    Flows(FlowsArgs),
    /// Remove the pins and netlink filters that killed runs have left behind, and nothing else
    Detach(DetachArgs),
    /// Remember the clients of new connections in the kernel, for a later attach --existing or flows --existing
    Remember(RememberArgs),
    /// Forget the clients that remember has noted, and remember no more
    Forget,
    /// Check whether this host can run attach
    Doctor(DoctorArgs),
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
            &["flows", "203.0.113.9"],
            &["status", "-o", "xml"],
        ] {
            assert!(Cli::try_parse_from([&["toa-tc"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
