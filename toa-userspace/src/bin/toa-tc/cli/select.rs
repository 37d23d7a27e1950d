//! The options that select connections, for every source of packets.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ipnet::IpNet;
use toa_common::config::Config;
use toa_userspace::rule::{Rule, RuleError, parse_port, parse_prefix};

use super::toa::ToaArgs;
use crate::{error::UsageError, rule_list};

#[derive(Args, Debug)]
pub(crate) struct SelectArgs {
    /// Watch this client: IP, CIDR, IP:PORT or any
    #[arg(
        long = "ip",
        value_name = "RULE",
        long_help = "Watch this client: IP, CIDR, IP:PORT, [IPv6]:PORT or any\n\nCan be repeated."
    )]
    pub(crate) rules: Vec<Rule>,

    /// Watch the clients of the rules in this file
    ///
    /// A rule on each line, as for --ip; # begins a comment. - is stdin.
    #[arg(long = "rules", value_name = "FILE", hide_short_help = true)]
    pub(crate) rules_file: Option<PathBuf>,

    /// Watch connections from this port of a client
    ///
    /// With --ip, both must match. Can be repeated.
    #[arg(long = "port", value_name = "PORT", value_parser = port)]
    pub(crate) ports: Vec<u16>,

    /// Watch every connection with TOA
    #[arg(long)]
    pub(crate) any: bool,

    /// Also follow connections without TOA
    ///
    /// All of them or, with --ip or --port, those of watched clients; attach also needs --server-port or --lb. A PROXY protocol
    /// header names the client. Without one, the sender counts as the client if a rule matches it.
    #[arg(long, conflicts_with = "any", hide_short_help = true)]
    pub(crate) any_flow: bool,

    #[command(flatten)]
    toa: ToaArgs,

    /// Trust TOA only from these load balancers
    ///
    /// The addresses or prefixes that packets come from [default: any]. Can be repeated.
    #[arg(long = "lb", value_name = "CIDR", value_parser = balancer, hide_short_help = true)]
    pub(crate) balancers: Vec<IpNet>,

    /// Follow only connections to this server port
    ///
    /// Can be repeated.
    #[arg(long = "server-port", value_name = "PORT", value_parser = port)]
    pub(crate) server_ports: Vec<u16>,
}

impl SelectArgs {
    /// Returns the rules of all options, sorted and without repetitions.
    pub(crate) fn watched(&self) -> Result<Vec<Rule>> {
        let mut given = self.rules.clone();
        if let Some(path) = &self.rules_file {
            let listed = rule_list::read(path)?;
            // Without rules, everything would be watched where none are needed. What wrote the file has failed.
            if listed.is_empty() {
                return Err(UsageError("the file of --rules has no rule".to_owned()).into());
            }
            given.extend(listed);
        }
        let mut rules = Rule::combine(&given, &self.ports);
        if rules.is_empty() && !given.is_empty() {
            let rules = if self.rules.is_empty() { "--rules" } else { "--ip" };
            return Err(
                UsageError(format!("{rules} and --port exclude each other: their ports differ")).into()
            );
        }
        if self.any {
            rules.push(Rule::Any);
        }
        rules.sort_unstable();
        rules.dedup();
        Ok(rules)
    }

    /// Returns an error if stdin is to be read for `other`, too.
    pub(crate) fn check_stdin(&self, other: &str, is_stdin: bool) -> Result<(), UsageError> {
        if is_stdin && self.rules_file.as_deref().is_some_and(rule_list::is_stdin) {
            return Err(UsageError(format!("only one of --rules and {other} can be read from stdin")));
        }
        Ok(())
    }

    /// Returns the settings that are fixed before the first packet.
    pub(crate) fn config(&self) -> Result<Config, UsageError> {
        let mut config = self.toa.config()?;
        if !self.balancers.is_empty() {
            config = config.with_balancers();
        }
        if self.any_flow {
            config = config.following_any();
        }
        Ok(self.server_ports.iter().fold(config, |config, port| config.with_server_port(*port)))
    }

    /// Does the same for packets of interfaces. On these, the connections to follow must be chosen: this host's own, to other
    /// servers, look the same once they are open.
    pub(crate) fn live_config(&self) -> Result<Config, UsageError> {
        let config = self.config()?;
        if config.follows_any() && !config.restricts_ports() && !config.restricts_balancers() {
            let reason = "it follows every connection to these ports or from these balancers";
            return Err(UsageError(format!("--any-flow needs --server-port or --lb: {reason}")));
        }
        Ok(config)
    }

    /// Returns the client ports of `--port`, and of rules that are only a port.
    pub(crate) fn client_ports(&self) -> Vec<u16> {
        let of_rules = self.rules.iter().filter_map(|rule| match rule {
            Rule::Port(port) => Some(*port),
            _ => None,
        });
        let mut ports: Vec<_> = self.ports.iter().copied().chain(of_rules).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

fn port(text: &str) -> Result<u16, RuleError> {
    parse_port(text)
}

/// Parses a prefix, or the address of one balancer.
fn balancer(text: &str) -> Result<IpNet, RuleError> {
    match text.parse() {
        Ok(Rule::Address(address)) => Ok(address.into()),
        _ => parse_prefix(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use toa_common::wire::toa_pairs::ToaPairs;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        select: SelectArgs,
    }

    fn config(options: &[&str]) -> Config {
        Alone::try_parse_from([&["test"], options].concat()).unwrap().select.config().unwrap()
    }

    #[test]
    fn every_option_reaches_the_kernel() {
        assert_eq!(config(&[]), Config::DEFAULT);
        assert_eq!(config(&["--toa-pick", "last"]), Config::DEFAULT.picking_last());
        assert_eq!(config(&["--any-flow"]), Config::DEFAULT.following_any());
        assert_eq!(config(&["--toa", "200:8"]), Config::DEFAULT.with_pairs(ToaPairs::new(&[(200, 8)])));
        let ports = config(&["--server-port", "80", "--server-port", "443"]);
        assert_eq!(ports, Config::DEFAULT.with_server_port(80).with_server_port(443));
        for balancer in ["10.9.0.1", "10.9.0.0/24", "fd00:9::/64"] {
            assert_eq!(config(&["--lb", balancer]), Config::DEFAULT.with_balancers(), "{balancer}");
        }
    }
}
