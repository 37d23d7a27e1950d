//! The options of commands that inspect running instances: which run is meant, and the report's format.

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use toa_userspace::{
    live::runs::{NoSingleRun, Run, RunSelector, Runs},
    print::push_fmt,
};

use crate::{error::UsageError, format::local};

/// The format of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For machines, as schema/commands.schema.json says
    Json,
}

/// Selects a run.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The run that is attached to this interface (of this network namespace, if a run is on that)
    #[arg(long, value_name = "IFACE")]
    iface: Option<String>,

    /// The run with this process id
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

impl RunArgs {
    pub(crate) fn selector(&self) -> RunSelector {
        RunSelector { interface: self.iface.clone(), pid: self.pid }
    }

    /// The error for a selector that matches no run.
    pub(crate) fn no_match(&self, runs: &Runs) -> anyhow::Error {
        let mut text = match (&self.iface, self.pid) {
            _ if runs.alive.is_empty() => {
                "no toa-tc is attached: start one with toa-tc attach IFACE".to_owned()
            }
            (Some(iface), None) => format!("no toa-tc is attached to {iface}: see toa-tc status"),
            (_, Some(pid)) => format!("process {pid} is no toa-tc that is attached there: see toa-tc status"),
            (None, None) => "no toa-tc is attached".to_owned(),
        };
        for refused in &runs.refused {
            push_fmt(&mut text, format_args!("; {refused}"));
        }
        anyhow!(text)
    }

    /// The one run that is selected.
    pub(crate) fn single<'a>(&self, runs: &'a Runs) -> Result<&'a Run> {
        match runs.single(&self.selector()) {
            Ok(run) => Ok(run),
            Err(NoSingleRun::None) => Err(self.no_match(runs)),
            Err(NoSingleRun::Several(runs)) => Err(ambiguous(&runs).into()),
        }
    }
}

fn ambiguous(runs: &[&Run]) -> UsageError {
    let mut text = format!("{} runs: choose one by --pid or --iface", runs.len());
    for run in runs {
        push_fmt(&mut text, format_args!("\n  {run} since {}", local(run.info.since_ns)));
    }
    UsageError(text)
}
