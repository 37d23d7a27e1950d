//! The arguments of `detach`.

use clap::Args;

use super::{pin_dir::PinDirArgs, run::ReportFormat};

#[derive(Args, Debug)]
pub(crate) struct DetachArgs {
    /// Remove filters from these interfaces only [default: all of this network namespace]
    #[arg(value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,

    #[command(flatten)]
    pub(crate) pins: PinDirArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub(crate) output: ReportFormat,
}
