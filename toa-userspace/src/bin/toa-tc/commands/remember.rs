//! The commands `remember` and `forget`.

use anyhow::Result;
use toa_userspace::{
    live::{
        host::{
            cgroup::{self, CgroupError},
            privileges,
        },
        remember,
    },
    print::remembered::describe,
};

use crate::{cli::remember::RememberArgs, error::UsageError, stderr};

/// Runs the command `remember`, which ends once the program is attached.
pub(crate) fn remember(args: &RememberArgs) -> Result<()> {
    let config = Box::new(args.toa.config()?);
    let path = args.cgroup.clone().map_or_else(cgroup::root, Ok)?;
    let cgroup = cgroup::open(&path).map_err(|error| usage_error(error, args.cgroup.is_some()))?;
    privileges::check()?;
    remember::remember(&cgroup, &config)?;
    let toa: Vec<_> = config.pairs().selected().map(|(kind, length)| format!("{kind}:{length}")).collect();
    stderr::line(format_args!(
        "remembering the clients of new connections to servers in {} (TOA {}), until toa-tc forget",
        path.display(),
        toa.join(" ")
    ));
    Ok(())
}

/// Returns the error for a cgroup: a usage error if it was given.
fn usage_error(error: CgroupError, is_given: bool) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    if is_given { UsageError(format!("--cgroup: {error:#}")).into() } else { error }
}

/// Runs the command `forget`.
pub(crate) fn forget() -> Result<()> {
    privileges::check()?;
    let Some(counts) = remember::forget()? else {
        stderr::line(format_args!("nothing to forget: toa-tc remember is not in effect"));
        return Ok(());
    };
    stderr::line(format_args!("forgotten: {}", describe(&counts)));
    Ok(())
}
