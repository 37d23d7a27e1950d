//! The value of `--existing`.

use clap::ValueEnum;

/// Whether to query the servers' sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Existing {
    /// Do not reset the class of the servers' sockets
    #[value(hide = true)]
    Yes,
    /// Allow resetting the class of the servers' sockets
    Force,
}
