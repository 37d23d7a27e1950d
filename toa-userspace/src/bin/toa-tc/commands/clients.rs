//! The command `clients`, which is `attach` with another output.

use anyhow::Result;

use super::attach;
use crate::cli::{attach::AttachArgs, results::Shown};

/// Runs the command.
pub(crate) fn run(mut args: AttachArgs) -> Result<()> {
    args.results.shown = Shown::Clients;
    attach::run(args)
}
