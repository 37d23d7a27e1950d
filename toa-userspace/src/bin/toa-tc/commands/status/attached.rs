//! A run, as a colleague needs to know it.

use std::{collections::BTreeMap, fmt};

use anyhow::Result;
use serde::Serialize;
use toa_common::{counters::Counter, run_activity::RunActivity};
use toa_userspace::{
    ledger::losses,
    live::{
        host::{clock, namespace},
        program::chain,
        runs::{Run, interface_name, settings::Settings},
    },
    print::{
        count::{Count, plural},
        ledger::{Equation, PACKETS_AFTER_GRO, PAYLOAD_BYTES},
    },
    rule::Rule,
};

use super::{
    about::{About, explain},
    cost::{CostReport, MEASURED, users_of},
    interface::Interface,
    sums::{DeliveredBytes, Gaps, Ledger},
};
use crate::format::{local, span, utc};

/// How many rules are shown to people.
const SHOWN_RULES: usize = 20;

/// A run.
#[derive(Serialize)]
pub(super) struct Status {
    pid: u32,
    version: String,
    since: String,
    namespace: Namespace,
    /// How it was started, if that can be read.
    settings: Option<Settings>,
    interfaces: Vec<Interface>,
    rules: usize,
    /// The rules themselves.
    #[serde(serialize_with = "texts")]
    watched: Vec<Rule>,
    requests: Requests,
    connections: u64,
    gaps: Gaps,
    delivered_bytes: DeliveredBytes,
    /// What was lost, by reason.
    losses: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
    ledger: Ledger,
    pub(super) cost: Option<CostReport>,
    #[serde(skip)]
    since_ns: u64,
}

#[derive(Serialize)]
struct Namespace {
    inode: u64,
}

/// The requests of a run.
#[derive(Serialize)]
struct Requests {
    total: u64,
    incomplete: u64,
    resynchronized: u64,
    malformed: u64,
    conflicting: u64,
    reopened: u64,
    possibly_unread: u64,
    /// When the last one came.
    last: Option<String>,
    #[serde(skip)]
    last_ns: Option<u64>,
}

impl Requests {
    fn new(activity: &RunActivity) -> Self {
        let last_ns = (activity.last_request_ns > 0).then_some(activity.last_request_ns);
        Self {
            total: activity.requests,
            incomplete: activity.incomplete_requests,
            resynchronized: activity.resynchronized_requests,
            malformed: activity.malformed_requests,
            conflicting: activity.conflicting_requests,
            reopened: activity.reopened_requests,
            possibly_unread: activity.possibly_unread_requests,
            last: last_ns.map(utc),
            last_ns,
        }
    }
}

impl Status {
    pub(super) fn new(run: &Run) -> Result<Self> {
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
        let (activity, watched) = (run.activity()?, run.watch()?.list()?);
        Ok(Self {
            pid: info.pid,
            version: run.version(),
            since: utc(info.since_ns),
            namespace: Namespace { inode: info.network_namespace },
            settings: run.settings()?,
            interfaces: interfaces.unwrap_or_else(|_| unseen().collect()),
            rules: watched.len(),
            watched,
            requests: Requests::new(&activity),
            connections: activity.connections,
            gaps: Gaps { count: activity.gaps, bytes: activity.gap_bytes },
            delivered_bytes: DeliveredBytes::new(&activity),
            losses: losses::names().into_iter().zip(activity.losses).collect(),
            counters: Counter::ALL.iter().map(|counter| (counter.name(), counters.get(*counter))).collect(),
            ledger: Ledger::new(&counters.ledger()),
            cost: is_measured.then(|| CostReport::new(cost, 0, MEASURED)),
            since_ns: info.since_ns,
        })
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
        if let Some(settings) = &self.settings {
            write!(f, "{}", About(settings))?;
        }
        for interface in &self.interfaces {
            writeln!(f, "  attached to {interface}")?;
        }
        writeln!(f, "  rules: {}", Count(self.rules as u64))?;
        for rule in self.watched.iter().take(SHOWN_RULES) {
            writeln!(f, "    {rule}")?;
        }
        if let Some(more) = self.rules.checked_sub(SHOWN_RULES).filter(|more| *more > 0) {
            writeln!(f, "    and {} more (toa-tc watch list --pid {pid})", Count(more as u64))?;
        }
        writeln!(f, "  {} on {}", self.requests, plural(self.connections, "connection"))?;
        let Ledger { packets, bytes } = &self.ledger;
        writeln!(f, "  {PACKETS_AFTER_GRO}: {}", Equation(packets))?;
        writeln!(f, "  {PAYLOAD_BYTES}: {}", Equation(bytes))?;
        match &self.cost {
            Some(cost) => writeln!(f, "  cost: {cost}")?,
            None => writeln!(f, "  cost: not measured (sysctl kernel.bpf_stats_enabled=1)")?,
        }
        for counter in Counter::ALL {
            let count = self.counters.get(counter.name()).copied().unwrap_or(0);
            if count > 0 {
                writeln!(f, "  {}: {} ({})", counter.name(), Count(count), explain(*counter))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, incomplete, last_ns, .. } = self;
        write!(f, "requests: {} ({} incomplete)", Count(*total), Count(*incomplete))?;
        if let Some(last_ns) = last_ns {
            let ago = span(clock::monotonic_ns().saturating_sub(*last_ns));
            write!(f, ", the last at {} ({ago} ago)", local(*last_ns))?;
        }
        Ok(())
    }
}

/// Serializes rules as text.
fn texts<S: serde::Serializer>(rules: &[Rule], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(ToString::to_string))
}
