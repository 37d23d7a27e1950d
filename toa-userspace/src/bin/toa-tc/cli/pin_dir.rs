//! The option for the directory of pins, of every command that makes runs or finds them.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toa_userspace::live::runs::pin_directories::{DirectoryError, PinDirectories};

use crate::error::UsageError;

#[derive(Args, Debug)]
pub(crate) struct PinDirArgs {
    /// Use this directory of a BPF file system for pins [default: /sys/fs/bpf/toa-tc of root, or /sys/fs/bpf/toa-tc-UID]
    ///
    /// By its pins, other commands such as watch and status find a run.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(crate) pin_dir: Option<PathBuf>,
}

impl PinDirArgs {
    /// Returns the directories in which runs pin their maps.
    pub(crate) fn directories(&self) -> Result<PinDirectories> {
        PinDirectories::new(self.pin_dir.as_deref()).map_err(|error| match error {
            DirectoryError::NotInFileSystem { .. } => UsageError(format!("--pin-dir: {error}")).into(),
            error => error.into(),
        })
    }
}
