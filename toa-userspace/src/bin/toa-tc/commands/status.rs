//! The command `status`: shows running instances.

use std::{
    collections::BTreeMap,
    fmt, io, thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::{Serialize, Serializer};
use toa_common::{
    counters::Counter,
    remembered::RememberCounts,
    run_info::{RunInterface, mode},
};
use toa_userspace::{
    error_chain::ErrorChain,
    ledger::{account::Account, kernel::KernelLedger},
    live::{
        host::{interfaces, namespace},
        program::{
            chain::{self, Cost, Stage},
            leftovers::Leftover,
        },
        remember,
        runs::{Run, Runs, interface_name},
    },
    print::{
        count::{Count, plural},
        ledger::{Equation, PACKETS_AFTER_GRO, PAYLOAD_BYTES},
        push_fmt,
        remembered::describe,
    },
};

use super::{
    find_runs,
    leftovers::{cannot_look, filters, remove_pins},
};
use crate::{
    cli::{run::ReportFormat, status::StatusArgs},
    error::NothingFound,
    format::{json, local, utc},
    printer::print,
};

/// How long to sample run counts.
const MEASURED: Duration = Duration::from_secs(1);

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

#[derive(Serialize)]
struct Status {
    pid: u32,
    version: String,
    since: String,
    namespace: Namespace,
    interfaces: Vec<Interface>,
    rules: usize,
    counters: BTreeMap<&'static str, u64>,
    ledger: Ledger,
    cost: Option<CostReport>,
    #[serde(skip)]
    since_ns: u64,
}

#[derive(Serialize)]
struct Namespace {
    inode: u64,
}

#[derive(Serialize)]
struct Interface {
    name: String,
    index: u32,
    mode: &'static str,
    /// The position in the chain, from 1, if the chain can be seen from here.
    position: Option<usize>,
    /// All programs of the chain, and filters if ours is one, in their order, if the chain can be seen from here.
    chain: Option<Vec<ChainProgram>>,
}

#[derive(Serialize)]
struct ChainProgram {
    /// The kernel's ID of the program, if it is one: a filter may be something else.
    id: Option<u32>,
    name: String,
}

#[derive(Serialize)]
struct Ledger {
    #[serde(serialize_with = "total")]
    packets: Account,
    #[serde(serialize_with = "total")]
    bytes: Account,
}

#[derive(Serialize)]
struct Sum {
    matched: u64,
    delivered: u64,
    /// Only for bytes: a cut packet counts as delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    lost: u64,
    bypassed: u64,
}

#[derive(Serialize)]
struct CostReport {
    /// Runs that the kernel measured.
    runs: u64,
    ns_per_run: u64,
    /// The rate in the last sample.
    runs_per_second: u64,
}

/// Runs the command. Exit code 3 if there is no run.
pub(crate) fn run(args: &StatusArgs) -> Result<()> {
    let mut runs = find_runs(&args.run.pins)?;
    let swept = remove_pins(&mut runs);
    let picked = runs.selected(&args.run.selector());
    if picked.is_empty() && !runs.alive.is_empty() {
        return Err(args.run.no_match(&runs));
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
        ReportFormat::Json => print(&json(&report)?)?,
        ReportFormat::Text => print(&text(&report, &runs))?,
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

/// Returns the programs of a run, and their cost.
fn users_of(run: &Run) -> io::Result<(Vec<u32>, Cost)> {
    chain::users_of(run.info.counters_id())
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

impl Status {
    fn new(run: &Run) -> Result<Self> {
        let info = &run.info;
        let counters = run.counters()?.read()?;
        // Without permission to inspect programs, their cost is unknown; everything else is shown.
        let (ids, cost) = users_of(run).unwrap_or_default();
        // Statistics that a process enabled by a descriptor (`BPF_ENABLE_STATS`) show in the counts, but not in the
        // sysctl.
        let is_measured = chain::is_measured() || cost.runs > 0;
        let interfaces = namespace::run_in(info.pid, info.network_namespace, || {
            Ok(info.interfaces().iter().filter_map(|it| Interface::look(it, &ids)).collect())
        });
        let unseen = || info.interfaces().iter().map(|it| Interface::new(it, interface_name(it), None, &ids));
        let ledger = counters.ledger();
        Ok(Self {
            pid: info.pid,
            version: run.version(),
            since: utc(info.since_ns),
            namespace: Namespace { inode: info.network_namespace },
            interfaces: interfaces.unwrap_or_else(|_| unseen().collect()),
            rules: run.watch()?.count()?,
            counters: Counter::ALL.iter().map(|counter| (counter.name(), counters.get(*counter))).collect(),
            ledger: Ledger::new(&ledger),
            cost: is_measured.then(|| CostReport::new(cost, 0, MEASURED)),
            since_ns: info.since_ns,
        })
    }
}

impl Interface {
    /// Looks at an interface of our own network namespace, if it still exists.
    fn look(interface: &RunInterface, ours: &[u32]) -> Option<Self> {
        let name = interfaces::interface_name(interface.index)?;
        Some(Self::new(interface, name, chain::stages(interface.index).ok(), ours))
    }

    fn new(interface: &RunInterface, name: String, stages: Option<Vec<Stage>>, ours: &[u32]) -> Self {
        let is_tcx = interface.mode == mode::TCX;
        let mut chain = stages.unwrap_or_default();
        // Filters run after all programs that are attached by TCX.
        chain.retain(|stage| !is_tcx || matches!(stage, Stage::Program(_)));
        let is_ours = |stage: &Stage| {
            is_tcx == matches!(stage, Stage::Program(_))
                && stage.program().is_some_and(|id| ours.contains(&id))
        };
        let position = chain.iter().position(is_ours).map(|position| position + 1);
        let chain = chain.iter().map(|stage| ChainProgram { id: stage.program(), name: stage.name() });
        Self {
            name,
            index: interface.index,
            mode: if is_tcx { "tcx" } else { "netlink" },
            position,
            chain: position.map(|_| chain.collect()),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mode, index, .. } = self;
        write!(f, "{name} (index {index}, {mode}")?;
        if let (Some(position), Some(chain)) = (self.position, &self.chain) {
            write!(f, ", {position} of {} in the chain", chain.len())?;
            let others: Vec<_> = chain
                .iter()
                .enumerate()
                .filter(|(at, _)| at + 1 != position)
                .map(|(at, it)| format!("{} {}", if at + 1 < position { "after" } else { "before" }, it.name))
                .collect();
            if !others.is_empty() {
                write!(f, ": {}", others.join(", "))?;
            }
        } else {
            f.write_str(", its place in the chain cannot be seen from here")?;
        }
        f.write_str(")")
    }
}

impl Ledger {
    fn new(kernel: &KernelLedger) -> Self {
        Self { packets: kernel.packets(), bytes: kernel.bytes() }
    }
}

/// Serializes an account with the sum of its losses, which is all that `status` shows of them.
fn total<S: Serializer>(account: &Account, serializer: S) -> Result<S::Ok, S::Error> {
    let Account { matched, delivered, cut, lost, bypassed } = *account;
    Sum { matched, delivered, cut, lost: lost.total(), bypassed }.serialize(serializer)
}

impl CostReport {
    /// Computes averages of `cost`. The last `time` contained `last` of its runs.
    fn new(cost: Cost, last: u64, time: Duration) -> Self {
        let per_second = u128::from(last) * 1_000_000_000 / time.as_nanos().max(1);
        Self {
            runs: cost.runs,
            ns_per_run: cost.run_time_ns.checked_div(cost.runs).unwrap_or(0),
            runs_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, version, .. } = self;
        writeln!(
            f,
            "pid {pid} in net:[{}] since {}, version {version}",
            self.namespace.inode,
            local(self.since_ns)
        )?;
        for interface in &self.interfaces {
            writeln!(f, "  attached to {interface}")?;
        }
        writeln!(f, "  rules: {}", Count(self.rules as u64))?;
        let Ledger { packets, bytes } = &self.ledger;
        writeln!(f, "  {PACKETS_AFTER_GRO}: {}", Equation(packets))?;
        writeln!(f, "  {PAYLOAD_BYTES}: {}", Equation(bytes))?;
        match &self.cost {
            Some(CostReport { runs, ns_per_run, runs_per_second }) => {
                let (runs, per_second) = (Count(*runs), Count(*runs_per_second));
                writeln!(
                    f,
                    "  cost: {ns_per_run} ns a run over {runs} measured runs; now {per_second} runs/s"
                )?;
            }
            None => writeln!(f, "  cost: not measured (sysctl kernel.bpf_stats_enabled=1)")?,
        }
        for (name, count) in self.counters.iter().filter(|(_, count)| **count > 0) {
            writeln!(f, "  {name}: {}", Count(*count))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_by_run_and_by_second() {
        let report = |cost, last, time| {
            let CostReport { runs, ns_per_run, runs_per_second } = CostReport::new(cost, last, time);
            (runs, ns_per_run, runs_per_second)
        };
        let cost = Cost { runs: 3000, run_time_ns: 600_000 };
        assert_eq!(report(cost, 1000, Duration::from_millis(500)), (3000, 200, 2000));
        assert_eq!(report(Cost::default(), 0, Duration::ZERO), (0, 0, 0));
    }
}
