//! The options of commands that inspect running instances.

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use toa_userspace::{
    live::runs::{NoSingleRun, Run, RunSelector, Runs},
    print::push_fmt,
};

use super::pin_dir::PinDirArgs;
use crate::{error::UsageError, format::local};

/// The format of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Text for people
    Text,
    /// JSON, as in schema/commands.schema.json
    Json,
}

/// Selects a run.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Only the run attached to this interface
    #[arg(long, value_name = "IFACE")]
    iface: Option<String>,

    /// Only the run with this process ID
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    #[command(flatten)]
    pub(crate) pins: PinDirArgs,
}

impl RunArgs {
    pub(crate) fn selector(&self) -> RunSelector {
        RunSelector { interface: self.iface.clone(), pid: self.pid }
    }

    /// Returns the error for a selector that matches no run.
    pub(crate) fn no_match(&self, runs: &Runs) -> anyhow::Error {
        let mut text = match (&self.iface, self.pid) {
            _ if runs.alive.is_empty() => {
                "no toa-tc is attached: start one with toa-tc attach IFACE".to_owned()
            }
            (Some(iface), None) => format!("no toa-tc is attached to {iface}: see toa-tc status"),
            (_, Some(pid)) => format!("no toa-tc with process ID {pid} is attached: see toa-tc status"),
            (None, None) => "no toa-tc is attached".to_owned(),
        };
        for refused in &runs.refused {
            push_fmt(&mut text, format_args!("; {refused}"));
        }
        anyhow!(text)
    }

    /// Returns the only run that is selected.
    pub(crate) fn single<'a>(&self, runs: &'a Runs) -> Result<&'a Run> {
        match runs.single(&self.selector()) {
            Ok(run) => Ok(run),
            Err(NoSingleRun::None) => Err(self.no_match(runs)),
            Err(NoSingleRun::Several(runs)) => Err(ambiguous(&runs).into()),
        }
    }
}

fn ambiguous(runs: &[&Run]) -> UsageError {
    let mut text = format!("{} runs are attached: select one with --pid or --iface", runs.len());
    for run in runs {
        push_fmt(&mut text, format_args!("\n  {run} since {}", local(run.info.since_ns)));
    }
    UsageError(text)
}
