//! The option that says whether servers' sockets are asked.

use clap::ValueEnum;

/// Whether servers' sockets are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Existing {
    /// Unless that changes their class
    #[value(hide = true)]
    Yes,
    /// Whatever it changes
    Force,
}
