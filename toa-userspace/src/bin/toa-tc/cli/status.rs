//! The arguments of `status`.

use clap::{Args, ValueEnum};

use super::run::RunArgs;

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Text, value_name = "FORMAT")]
    pub(crate) output: StatusFormat,
}

/// The formats of `status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// Text for people
    Text,
    /// JSON, as in schema/commands.schema.json
    Json,
    /// Metrics for Prometheus, as in a file for the textfile collector of its node exporter
    Prometheus,
}
