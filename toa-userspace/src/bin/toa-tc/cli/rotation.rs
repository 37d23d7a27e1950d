//! The options for the rotation of files that take results or packets.

use std::time::Duration;

use clap::{ArgGroup, Args};
use jiff::SignedDuration;

use super::number::{duration, number, size};

#[derive(Args, Clone, Copy, Debug)]
#[cfg_attr(test, derive(Default))]
#[command(group = ArgGroup::new("rotation").args(["rotate_size", "rotate_time"]).multiple(true))]
pub(crate) struct RotationArgs {
    /// Begin new files of -w and --output-file once they have this size, such as 100M
    ///
    /// The old file gets .1 appended to its name, and the ones before it .2 and so on.
    #[arg(long, value_name = "SIZE", value_parser = least_size, hide_short_help = true)]
    pub(crate) rotate_size: Option<u64>,

    /// Begin new files of -w and --output-file after this time, such as 1h
    ///
    /// An empty file stays in use.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    rotate_time: Option<SignedDuration>,

    /// Keep this many old files
    ///
    /// The oldest one is replaced.
    #[arg(
        long,
        value_name = "N",
        value_parser = old_files,
        default_value_t = 10,
        requires = "rotation",
        hide_short_help = true
    )]
    pub(crate) keep: u64,
}

impl RotationArgs {
    /// Returns whether there is a rotation.
    pub(crate) fn is_some(&self) -> bool {
        self.rotate_size.is_some() || self.rotate_time.is_some()
    }

    /// Returns the time after which a file is old.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.rotate_time.and_then(|time| Duration::try_from(time).ok())
    }
}

fn least_size(text: &str) -> Result<u64, String> {
    size(text, 1 << 12..=1 << 50)
}

fn old_files(text: &str) -> Result<u64, String> {
    number(text, 1..=1000)
}
