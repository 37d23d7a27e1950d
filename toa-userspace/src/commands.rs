//! Responsible for what the commands that look at runs from outside have in common. Not responsible for what each
//! of them does.

pub(crate) mod doctor;
mod existing;
pub(crate) mod flows;
pub(crate) mod status;
pub(crate) mod watch;

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use toa_userspace::live::{
    clock, privileges,
    runs::{NotPicked, Pick, Run, Runs},
};

use crate::{cli::Usage, stderr};

/// How results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For machines, as schema/commands.schema.json says
    Json,
}

/// Which run is meant.
#[derive(clap::Args, Debug)]
pub(crate) struct PickArgs {
    /// The run that is attached to this interface (of this network namespace, if a run is on that)
    #[arg(long, value_name = "IFACE")]
    iface: Option<String>,

    /// The run with this process id
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

impl PickArgs {
    fn pick(&self) -> Pick {
        Pick { interface: self.iface.clone(), pid: self.pid }
    }

    /// What is said when nothing fits.
    fn nothing(&self, runs: &Runs) -> anyhow::Error {
        let mut text = match (&self.iface, self.pid) {
            _ if runs.alive.is_empty() => {
                "no toa-tc is attached: start one with toa-tc attach IFACE".to_owned()
            }
            (Some(iface), None) => format!("no toa-tc is attached to {iface}: see toa-tc status"),
            (_, Some(pid)) => format!("process {pid} is no toa-tc that is attached there: see toa-tc status"),
            (None, None) => "no toa-tc is attached".to_owned(),
        };
        for refused in &runs.refused {
            // Memory does not refuse.
            let _ = write!(text, "; {refused}");
        }
        anyhow!(text)
    }

    /// The one run that is meant.
    fn one<'a>(&self, runs: &'a Runs) -> Result<&'a Run> {
        match runs.pick(&self.pick()) {
            Ok(run) => Ok(run),
            Err(NotPicked::None) => Err(self.nothing(runs)),
            Err(NotPicked::Several(runs)) => Err(ambiguous(&runs).into()),
        }
    }
}

/// Several runs could be meant: a mistake of the command line.
fn ambiguous(runs: &[&Run]) -> Usage {
    let mut text = format!("{} runs: choose one by --pid or --iface", runs.len());
    for run in runs {
        // Memory does not refuse.
        let _ = write!(text, "\n  {run} since {}", local(run.info.since_ns));
    }
    Usage(text)
}

/// A failure of which everything was said.
#[derive(Debug)]
pub(crate) struct Said;

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl Error for Said {}

/// Looks for runs, and says what it cleared away.
fn find() -> Result<Runs> {
    if !privileges::may_open_maps() {
        bail!("only root, or a process with CAP_BPF, can see what runs: use sudo");
    }
    let runs = Runs::find()?;
    if runs.swept > 0 {
        stderr::line(format_args!("cleared away what {} killed runs left", runs.swept));
    }
    Ok(runs)
}

/// A time of `CLOCK_MONOTONIC`, of which this is now in nanoseconds.
fn timestamp(time_ns: u64) -> Timestamp {
    let unix_ns = time_ns.saturating_add(clock::unix_offset_ns());
    Timestamp::from_nanosecond(unix_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The same for machines.
fn utc(time_ns: u64) -> String {
    format!("{:.3}", timestamp(time_ns))
}

/// The same for people.
fn local(time_ns: u64) -> String {
    timestamp(time_ns).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time span for people.
fn span(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ns / 100_000_000 % 10),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Writes results. That nobody wants to read them is no failure.
fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to stdout"))
        }
        _ => Ok(()),
    }
}

/// One side of a connection.
#[derive(Clone, Copy, Serialize)]
struct Endpoint {
    address: IpAddr,
    port: u16,
}

impl Endpoint {
    fn address(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address: address.ip(), port: address.port() }
    }
}

#[derive(Serialize)]
struct Network {
    /// The balancer's side.
    peer: Endpoint,
}

/// Adds rows in columns, below their heads.
fn table<const N: usize>(
    text: &mut String,
    indent: &str,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        // Memory does not refuse.
        let _ = writeln!(text, "{indent}{}", cells.join("  ").trim_end());
    }
}

/// A value as one line of JSON.
fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_short() {
        let spans = [0, 1_250_000_000, 61_000_000_000, 3_720_000_000_000].map(span);
        assert_eq!(spans, ["0.0s", "1.2s", "1m01s", "1h02m"]);
    }
}
