//! The command `detach`: removes what killed runs have left behind.

use anyhow::Result;
use serde::Serialize;
use toa_userspace::{
    error_chain::ErrorChain,
    live::host::{interfaces::interface_index, unknown_interface::UnknownInterface},
};

use super::{
    find_runs,
    leftovers::{Filters, remove_filters, remove_pins},
};
use crate::{
    cli::{detach::DetachArgs, run::ReportFormat},
    error::AlreadyReported,
    format::json,
    printer::print,
    stderr,
};

/// What was removed.
#[derive(Serialize)]
struct Report {
    /// Killed runs whose pins were removed.
    swept: usize,
    /// Netlink filters of killed runs.
    removed_filters: usize,
    /// Whether nothing is left.
    complete: bool,
}

/// Runs the command. Exit code 1 if something could not be removed.
pub(crate) fn run(args: &DetachArgs) -> Result<()> {
    if let Some(unknown) = args.interfaces.iter().find(|name| interface_index(name).is_none()) {
        return Err(UnknownInterface::new(unknown).into());
    }
    let mut runs = find_runs(&args.pins)?;
    let pins = remove_pins(&mut runs);
    for error in &runs.refused {
        stderr::warning(format_args!("{}", ErrorChain(error)));
    }
    let Filters { removed, is_complete } = remove_filters(&runs, &args.interfaces);
    let complete = is_complete && runs.killed() == 0;
    if args.output == ReportFormat::Json {
        print(&json(&Report { swept: pins, removed_filters: removed, complete })?)?;
    }
    if !complete {
        return Err(AlreadyReported.into());
    }
    if pins + removed == 0 {
        stderr::info(format_args!("nothing left by killed runs"));
    }
    Ok(())
}
