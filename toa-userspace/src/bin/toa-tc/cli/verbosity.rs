//! The options for diagnostics, for every source of packets.

use clap::{ArgAction, Args};

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct VerbosityArgs {
    /// Print diagnostics, and all counts at the end
    ///
    /// -vv also logs each connection that is learned, opened and closed.
    #[arg(short, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print nothing on stderr but failures and losses
    #[arg(short, hide_short_help = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}
