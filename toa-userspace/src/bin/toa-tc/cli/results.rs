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

    /// At the end, print a table of counts: connections and requests by real client
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) summary_by: Option<SummaryBy>,

    /// Print nothing but the table of clients
    #[arg(skip)]
    pub(crate) only_clients: bool,

    /// Stop after this many requests
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// What a table of counts is about.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SummaryBy {
    /// The real client
    Client,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// One line per request, followed by one per header field
    Text,
    /// JSON Lines: one object per request, connection event and gap; the last line is the ledger
    Json,
}
