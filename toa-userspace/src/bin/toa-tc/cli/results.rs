//! The options that say how requests are printed, the same for every source of packets.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct ResultArgs {
    /// How requests are printed
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,

    /// Print secrets (authorization, cookies, …) as they are
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Stop after this many requests
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for each request and one for each of its fields
    Text,
    /// JSON Lines: an object for each request, connection and gap, and the ledger as the last one
    Json,
}
