//! The command `top`, which is `attach` with a table that fills the terminal.

use std::path::Path;

use anyhow::Result;
use toa_userspace::print::group_by::GroupBy;

use super::attach;
use crate::{
    cli::{
        attach::AttachArgs,
        results::{Format, Shown},
    },
    error::UsageError,
    terminal,
};

/// Runs the command.
pub(crate) fn run(mut args: AttachArgs) -> Result<()> {
    let prints_elsewhere = args.results.output != Format::Text
        || args.output_file.is_some()
        || args.write.as_deref().is_some_and(|path| path == Path::new("-"));
    if prints_elsewhere || !terminal::is_interactive() {
        let error = "top needs a terminal: elsewhere, use toa-tc clients, or toa-tc attach --summary-by KEYS";
        return Err(UsageError(error.to_owned()).into());
    }
    if args.results.summary_by.is_empty() {
        args.results.summary_by.push(GroupBy::client());
    }
    args.results.shown = Shown::Top;
    attach::run(args)
}
