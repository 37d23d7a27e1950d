//! The arguments of `detach`.

use clap::Args;

use super::pin_dir::PinDirArgs;

#[derive(Args, Debug)]
pub(crate) struct DetachArgs {
    /// Remove filters from these interfaces only [default: all of this network namespace]
    #[arg(value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,

    #[command(flatten)]
    pub(crate) pins: PinDirArgs,
}
