//! The arguments of `read`.

use std::path::PathBuf;

use clap::Args;

use super::{bounds::BoundArgs, results::ResultArgs, select::SelectArgs};

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
