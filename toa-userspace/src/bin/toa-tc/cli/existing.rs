//! The value of `--existing`.

use clap::ValueEnum;

/// Whether to query the servers' sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Existing {
    /// Unless that resets their cgroup-v1 class
    #[value(hide = true)]
    Yes,
    /// Even if that resets their cgroup-v1 class
    Force,
}
