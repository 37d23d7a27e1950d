//! The options of commands that inspect running instances.

use anyhow::{Error, Result};
use clap::{Args, ValueEnum};
use toa_userspace::{
    live::runs::{NoSingleRun, Run, RunSelector, Runs, interface_name},
    nearest::nearest,
    print::push_fmt,
};

use super::pin_dir::PinDirArgs;
use crate::{
    error::{NothingFound, UsageError},
    format::local,
};

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
    #[arg(long, value_name = "PID", value_parser = process)]
    pid: Option<u32>,

    #[command(flatten)]
    pub(crate) pins: PinDirArgs,
}

fn process(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| "not a process ID".to_owned())
}

impl RunArgs {
    pub(crate) fn selector(&self) -> RunSelector {
        RunSelector { interface: self.iface.clone(), pid: self.pid }
    }

    /// Returns the error for a selector that matches no run.
    pub(crate) fn no_match(&self, runs: &Runs) -> Error {
        let mut text = match (&self.iface, self.pid) {
            _ if runs.alive.is_empty() => {
                "no toa-tc is attached: start one with toa-tc attach IFACE".to_owned()
            }
            (Some(iface), None) => not_attached(iface, runs),
            (_, Some(pid)) => format!("no toa-tc with process ID {pid} is attached: see toa-tc status"),
            (None, None) => "no toa-tc is attached".to_owned(),
        };
        for refused in &runs.refused {
            push_fmt(&mut text, format_args!("; {refused}"));
        }
        // What cannot be looked at may be a run.
        if runs.refused.is_empty() { NothingFound(text).into() } else { Error::msg(text) }
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

/// Returns the message for an interface that no run is attached to.
fn not_attached(iface: &str, runs: &Runs) -> String {
    let interfaces = runs.alive.iter().flat_map(|run| run.info.interfaces());
    let mut attached: Vec<_> = interfaces.map(interface_name).collect();
    attached.sort_unstable();
    attached.dedup();
    if attached.is_empty() {
        return format!("no toa-tc is attached to {iface}: see toa-tc status");
    }
    let meant = nearest(iface, attached.iter().map(String::as_str));
    let meant = meant.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
    format!("no toa-tc is attached to {iface}, but to {}{meant}", attached.join(", "))
}

fn ambiguous(runs: &[&Run]) -> UsageError {
    let mut text = format!("{} runs are attached: select one with --pid or --iface", runs.len());
    for run in runs {
        push_fmt(&mut text, format_args!("\n  {run} since {}", local(run.info.since_ns)));
    }
    UsageError(text)
}
