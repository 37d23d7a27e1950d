//! The commands `remember` and `forget`.

use anyhow::Result;
use serde::Serialize;
use toa_common::remembered::RememberCounts;
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

use crate::{
    cli::{forget::ForgetArgs, remember::RememberArgs, run::ReportFormat},
    error::UsageError,
    format::json,
    printer::print,
    stderr,
};

/// What is in effect now.
#[derive(Serialize)]
struct Remembering {
    cgroup: String,
    toa: Vec<Layout>,
}

/// A TCP option that is TOA.
#[derive(Serialize)]
struct Layout {
    kind: u8,
    length: u8,
}

/// What was in effect.
#[derive(Serialize)]
struct Forgotten {
    /// What it has counted, if it was in effect.
    forgotten: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    accepted: u64,
    named: u64,
    given_up: u64,
    failed: u64,
}

/// Runs the command `remember`, which ends once the program is attached.
pub(crate) fn remember(args: &RememberArgs) -> Result<()> {
    let config = Box::new(args.toa.config()?);
    let path = args.cgroup.clone().map_or_else(cgroup::root, Ok)?;
    let cgroup = cgroup::open(&path).map_err(|error| usage_error(error, args.cgroup.is_some()))?;
    privileges::check()?;
    remember::remember(&cgroup, &config)?;
    let toa: Vec<_> = config.pairs().selected().map(|(kind, length)| format!("{kind}:{length}")).collect();
    stderr::info(format_args!(
        "remembering the clients of new connections to servers in {} (TOA {}), until toa-tc forget",
        path.display(),
        toa.join(" ")
    ));
    if args.output == ReportFormat::Json {
        let toa = config.pairs().selected().map(|(kind, length)| Layout { kind, length }).collect();
        print(&json(&Remembering { cgroup: path.display().to_string(), toa })?)?;
    }
    Ok(())
}

/// Returns the error for a cgroup: a usage error if it was given.
fn usage_error(error: CgroupError, is_given: bool) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    if is_given { UsageError(format!("--cgroup: {error:#}")).into() } else { error }
}

/// Runs the command `forget`.
pub(crate) fn forget(args: &ForgetArgs) -> Result<()> {
    privileges::check()?;
    let counts = remember::forget()?;
    match &counts {
        None => stderr::info(format_args!("nothing to forget: toa-tc remember is not in effect")),
        Some(counts) => stderr::info(format_args!("forgotten: {}", describe(counts))),
    }
    if args.output == ReportFormat::Json {
        let forgotten = counts.map(|RememberCounts { accepted, named, given_up, failed }| Counts {
            accepted,
            named,
            given_up,
            failed,
        });
        print(&json(&Forgotten { forgotten })?)?;
    }
    Ok(())
}
