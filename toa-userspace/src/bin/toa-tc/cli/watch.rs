//! The arguments of `watch`.

use clap::{Args, Subcommand};
use toa_userspace::rule::Rule;

use super::{examples, run::RunArgs};

#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct WatchArgs {
    #[command(subcommand)]
    pub(crate) change: Change,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Add rules
    ///
    /// A connection is followed from its next packet with TOA; with attach --existing, open ones at once.
    #[command(after_long_help = examples::WATCH_ADD)]
    Add {
        #[arg(required = true, value_name = "RULE", help = "IP, CIDR, IP:PORT, [IPv6]:PORT, :PORT or any")]
        rules: Vec<Rule>,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Remove rules and drop their connections, unless another rule matches
    ///
    /// If a rule does not exist, the others are still removed, and the exit code is 1.
    #[command(visible_alias = "rm", after_long_help = examples::WATCH_REMOVE)]
    Remove {
        /// A rule as printed by 'watch list'
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Print the rules, one per line
    #[command(visible_alias = "ls", after_long_help = examples::WATCH_LIST)]
    List {
        #[command(flatten)]
        run: RunArgs,
    },
    /// Remove all rules and drop all connections
    #[command(after_long_help = examples::WATCH_CLEAR)]
    Clear {
        #[command(flatten)]
        run: RunArgs,
    },
}
