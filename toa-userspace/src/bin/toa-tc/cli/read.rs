//! The arguments of `read`.

use std::path::PathBuf;

use clap::Args;

use super::{bounds::BoundArgs, results::ResultArgs, select::SelectArgs};

#[derive(Args, Debug)]
pub(crate) struct ReadArgs {
    /// A pcap or pcapng file, or - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten, next_help_heading = "Selection")]
    pub(crate) select: SelectArgs,

    /// Follow every TCP connection, instead of watched ones; without TOA, the client is the side that opened it
    #[arg(help_heading = "Selection", long, conflicts_with_all = ["rules", "ports", "any"])]
    pub(crate) any_flow: bool,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) results: ResultArgs,

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) bounds: BoundArgs,

    /// Print diagnostics; -vv also logs every followed connection
    #[arg(help_heading = "Output", short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}
