//! The metrics of runs, for Prometheus.

use anyhow::Result;
use toa_userspace::{
    live::runs::Run,
    print::metrics::{self, RunMetrics},
};

use super::cost::users_of;
use crate::format::unix_seconds;

/// Returns the metrics of these runs as text. Each sample has the process ID and the interfaces of its run as labels.
pub(super) fn text(runs: &[&Run]) -> Result<String> {
    let metrics = runs.iter().map(|run| of(run)).collect::<Result<Vec<_>>>()?;
    Ok(metrics::encode(metrics)?)
}

fn of(run: &Run) -> Result<RunMetrics> {
    let (activity, flows) = (run.activity()?, run.flows()?.read()?);
    let followed = flows.iter().filter(|followed| followed.flow.ended_ns == 0);
    // Without permission to inspect programs, their cost is unknown.
    let (_, cost) = users_of(run).unwrap_or_default();
    Ok(RunMetrics {
        labels: vec![("pid", run.info.pid.to_string()), ("interfaces", run.interface_names())],
        version: run.version(),
        started: unix_seconds(run.info.since_ns),
        last_request: (activity.last_request_ns > 0).then(|| unix_seconds(activity.last_request_ns)),
        activity,
        counters: run.counters()?.read()?,
        rules: run.watch()?.count()?,
        followed: followed.count() as u64,
        cost: (cost.runs > 0).then_some((cost.runs, cost.run_time_ns)),
    })
}
