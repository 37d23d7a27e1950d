//! The options for printing requests, for every source of packets.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct ResultArgs {
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,

    /// Print secrets (authorization, cookies, ...) unredacted
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Stop after this many requests
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// One line per request, followed by one per header field
    Text,
    /// JSON Lines: one object per request, connection event and gap; the last line is the ledger
    Json,
}
