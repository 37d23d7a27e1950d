//! The command `status`: shows running instances.

mod about;
mod attached;
mod cost;
mod interface;
mod metrics;
mod sums;

use std::{collections::BTreeMap, thread, time::Instant};

use anyhow::Result;
use serde::Serialize;
use toa_common::remembered::RememberCounts;
use toa_userspace::{
    error_chain::ErrorChain,
    live::{
        program::leftovers::Leftover,
        remember,
        runs::{Run, Runs},
    },
    print::{count::plural, escape::printable, push_fmt, remembered::describe},
};

use attached::Status;
use cost::{CostReport, MEASURED, users_of};

use super::{
    find_runs,
    leftovers::{cannot_look, filters, remove_pins},
};
use crate::{
    cli::status::{StatusArgs, StatusFormat},
    error::NothingFound,
    format::json,
    printer::print,
};

#[derive(Serialize)]
struct Report {
    runs: Vec<Status>,
    /// Pins that are not used, with the reason.
    refused: Vec<String>,
    /// How many dead runs had their pins removed just now.
    swept: usize,
    /// Netlink filters of killed runs in our network namespace.
    left_filters: Vec<LeftFilter>,
    /// What `remember` has counted, if it is in effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    remember: Option<Remember>,
}

#[derive(Serialize)]
struct LeftFilter {
    interface: String,
    priority: u16,
    program: Option<u32>,
}

#[derive(Serialize)]
struct Remember {
    accepted: u64,
    named: u64,
    given_up: u64,
    failed: u64,
    #[serde(skip)]
    description: String,
}

impl Remember {
    fn new(counts: &RememberCounts) -> Self {
        let RememberCounts { accepted, named, given_up, failed } = *counts;
        Self { accepted, named, given_up, failed, description: describe(counts) }
    }
}

/// Runs the command. Exit code 3 if there is no run.
pub(crate) fn run(args: &StatusArgs) -> Result<()> {
    let mut runs = find_runs(&args.run.pins)?;
    let swept = remove_pins(&mut runs);
    let picked = runs.selected(&args.run.selector());
    if picked.is_empty() && !runs.alive.is_empty() {
        return Err(args.run.no_match(&runs));
    }
    if let StatusFormat::Prometheus = args.output {
        print(&metrics::text(&picked)?)?;
        return Ok(NothingFound::check(picked.is_empty())?);
    }
    let mut statuses = picked.iter().map(|run| Status::new(run)).collect::<Result<Vec<_>>>()?;
    if statuses.iter().any(|status| status.cost.is_some()) {
        add_rates(&mut statuses, &picked);
    }
    let mut report = Report {
        runs: statuses,
        refused: runs.refused.iter().map(|error| ErrorChain(error).to_string()).collect(),
        swept,
        left_filters: left_filters(&runs),
        remember: None,
    };
    match remember::status() {
        Ok(counts) => report.remember = counts.as_ref().map(Remember::new),
        Err(error) => {
            let refused = ErrorChain(&error).to_string();
            // The runs' directory is also that of `remember`.
            if !report.refused.contains(&refused) {
                report.refused.push(refused);
            }
        }
    }
    match args.output {
        StatusFormat::Json => print(&json(&report)?)?,
        StatusFormat::Text | StatusFormat::Prometheus => print(&printable(&text(&report, &runs)))?,
    }
    Ok(NothingFound::check(report.runs.is_empty())?)
}

/// Returns the netlink filters of killed runs, or reports why they are not known.
fn left_filters(runs: &Runs) -> Vec<LeftFilter> {
    let found = filters(runs).unwrap_or_else(|error| {
        cannot_look(&error);
        Vec::new()
    });
    let filter =
        |it: Leftover| LeftFilter { priority: it.priority(), program: it.program(), interface: it.interface };
    found.into_iter().map(filter).collect()
}

/// Samples how often the programs run.
fn add_rates(statuses: &mut [Status], runs: &[&Run]) {
    let begin = Instant::now();
    thread::sleep(MEASURED);
    for (status, run) in statuses.iter_mut().zip(runs) {
        if let (Some(before), Ok((_, after))) = (&mut status.cost, users_of(run)) {
            *before = CostReport::new(after, after.runs.saturating_sub(before.runs), begin.elapsed());
        }
    }
}

fn text(report: &Report, runs: &Runs) -> String {
    let mut text = String::new();
    if runs.alive.is_empty() {
        text.push_str("no toa-tc is attached\n");
    }
    for status in &report.runs {
        push_fmt(&mut text, format_args!("{status}"));
    }
    if let Some(remember) = &report.remember {
        push_fmt(&mut text, format_args!("remember: {}\n", remember.description));
    }
    for (interface, count) in counted(&report.left_filters) {
        let filters = plural(count, "filter");
        push_fmt(&mut text, format_args!("{filters} on {interface} left by killed runs (toa-tc detach)\n"));
    }
    for refused in &report.refused {
        push_fmt(&mut text, format_args!("{refused}\n"));
    }
    text
}

/// Returns how many filters there are on each interface.
fn counted(filters: &[LeftFilter]) -> BTreeMap<&str, usize> {
    filters.iter().fold(BTreeMap::new(), |mut counts, filter| {
        *counts.entry(filter.interface.as_str()).or_default() += 1;
        counts
    })
}
