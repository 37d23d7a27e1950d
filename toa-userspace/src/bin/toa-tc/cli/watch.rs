//! The arguments of `watch`.

use clap::{Args, Subcommand};
use toa_userspace::rule::Rule;

use super::run::RunArgs;

#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct WatchArgs {
    #[command(subcommand)]
    pub(crate) change: Change,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Watch these clients, too: the next packet that names one is followed, and of an attach --existing also what is open
    Add {
        /// IP, IP:PORT, `[IPv6]:PORT`, :PORT or any: the real client's
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Watch these no more, and end the following of connections that no other rule matches
    ///
    /// A rule that is not there is said, and the exit code is 1; the others are removed all the same.
    Remove {
        /// The rule as `watch list` prints it
        #[arg(required = true, value_name = "RULE")]
        rules: Vec<Rule>,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Print the rules, one a line
    List {
        #[command(flatten)]
        run: RunArgs,
    },
    /// Watch nobody, and end the following of every connection
    Clear {
        #[command(flatten)]
        run: RunArgs,
    },
}
