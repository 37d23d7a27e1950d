//! The arguments of `status`.

use clap::Args;

use super::run::{ReportFormat, RunArgs};

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
