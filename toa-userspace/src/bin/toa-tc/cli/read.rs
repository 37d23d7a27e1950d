//! The arguments of `read`.

use std::path::PathBuf;

use clap::Args;

use super::{bounds::BoundArgs, results::ResultArgs, select::SelectArgs, verbosity::VerbosityArgs};

#[derive(Args, Debug)]
pub(crate) struct ReadArgs {
    /// Pcap or pcapng files, or - for stdin
    ///
    /// Files may be compressed with gzip or zstd. Several are read in the order of time.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten, next_help_heading = "Selection")]
    pub(crate) select: SelectArgs,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) results: ResultArgs,

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) bounds: BoundArgs,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) verbosity: VerbosityArgs,
}
