//! How this run was started, for other processes.

use std::env;

use clap::ValueEnum as _;
use toa_common::config::Config;
use toa_userspace::live::{
    host::users::user_name,
    runs::settings::{Layout, Settings, User},
};

use crate::cli::attach::AttachArgs;

/// Describes how this run was started.
pub(super) fn settings(args: &AttachArgs, config: &Config) -> Settings {
    let user = rustix::process::getuid().as_raw();
    let output = args.results.output.to_possible_value();
    Settings {
        command_line: env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        user: User { id: user, name: user_name(user) },
        toa: config.pairs().selected().map(|(kind, length)| Layout { kind, length }).collect(),
        toa_pick: if config.picks_last() { "last" } else { "first" }.to_owned(),
        balancers: args.select.balancers.iter().map(ToString::to_string).collect(),
        server_ports: args.select.server_ports.clone(),
        existing: args.existing.is_some(),
        any_flow: config.follows_any(),
        tls: args.tls.is_some(),
        output: output.map(|output| output.get_name().to_owned()).unwrap_or_default(),
        truncated: false,
    }
}
