//! The arguments of `man`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The directory to write into
    pub(crate) directory: PathBuf,
}
