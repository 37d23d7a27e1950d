//! The arguments of `forget`.

use clap::Args;

use super::run::ReportFormat;

#[derive(Args, Debug)]
pub(crate) struct ForgetArgs {
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
