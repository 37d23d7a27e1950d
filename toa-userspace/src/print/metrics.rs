//! Metrics of runs, in the text format of `OpenMetrics`, which Prometheus reads.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};
use toa_common::{counters::Counter, run_activity::RunActivity};

use crate::ledger::{counters::Snapshot, losses};

/// The type of the format, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The beginning of every name.
const PREFIX: &str = "toa_tc";

/// What a run measures.
#[derive(Clone, Debug, Default)]
pub struct RunMetrics {
    /// Labels of every sample, which tell runs apart.
    pub labels: Vec<(&'static str, String)>,
    /// The tool's version.
    pub version: String,
    /// When the run began, in seconds since the Unix epoch.
    pub started: f64,
    /// When the last request came, in seconds since the Unix epoch.
    pub last_request: Option<f64>,
    /// What was found.
    pub activity: RunActivity,
    /// The kernel's counters.
    pub counters: Snapshot,
    /// The number of rules.
    pub rules: usize,
    /// The number of connections being followed.
    pub followed: u64,
    /// How often the programs ran and how many nanoseconds that took, while BPF statistics were enabled.
    pub cost: Option<(u64, u64)>,
}

/// Returns the metrics of these runs.
pub fn encode(runs: Vec<RunMetrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Runs(runs)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The samples of a metric of one run: labels of their own, and values.
type Samples = Vec<(Option<(&'static str, &'static str)>, Value)>;

/// A value.
#[derive(Clone, Copy, Debug)]
enum Value {
    Count(u64),
    Real(f64),
}

impl Value {
    fn encode(self, kind: MetricType, sample: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match (kind, self) {
            (MetricType::Counter, Self::Count(count)) => {
                sample.encode_counter(&count, None::<&Exemplar<NoLabelSet, u64>>)
            }
            (MetricType::Counter, Self::Real(sum)) => {
                sample.encode_counter(&sum, None::<&Exemplar<NoLabelSet, f64>>)
            }
            (_, Self::Count(count)) => sample.encode_gauge(&count),
            (_, Self::Real(value)) => sample.encode_gauge(&value),
        }
    }
}

#[derive(Debug)]
struct Runs(Vec<RunMetrics>);

impl Collector for Runs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Metric { name, help, kind, samples } in METRICS {
            let of_runs: Vec<_> = self.0.iter().map(|run| (run, samples(run))).collect();
            if of_runs.iter().all(|(_, samples)| samples.is_empty()) {
                continue;
            }
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            for (run, samples) in of_runs {
                for (label, value) in samples {
                    let own = label.map(|(key, value)| (key, value.to_owned()));
                    let version = (*name == BUILD_INFO).then(|| ("version", run.version.clone()));
                    let labels: Vec<_> = run.labels.iter().cloned().chain(own).chain(version).collect();
                    if labels.is_empty() {
                        // Not every parser takes empty braces.
                        value.encode(*kind, &mut metric)?;
                    } else {
                        value.encode(*kind, &mut metric.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A metric.
struct Metric {
    /// The name without [`PREFIX`], and without the suffix `total` of counters.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: fn(&RunMetrics) -> Samples,
}

/// The name of the metric that has the version as a label.
const BUILD_INFO: &str = "build_info";

/// All metrics, in their order.
static METRICS: &[Metric] = &[
    gauge(BUILD_INFO, "The version of toa-tc, as a label", |_| one(1)),
    gauge("start_time_seconds", "When the run began, in Unix time", |run| {
        vec![(None, Value::Real(run.started))]
    }),
    gauge("rules", "Rules", |run| one(run.rules as u64)),
    gauge("followed_connections", "Connections that are followed now", |run| one(run.followed)),
    counter("connections", "Connections that were followed", |run| one(run.activity.connections)),
    counter(
        "requests",
        "Requests by outcome: complete, or incomplete because bytes of the head are missing",
        |run| {
            let RunActivity { requests, incomplete_requests: incomplete, .. } = run.activity;
            labelled(
                "outcome",
                [("complete", requests.saturating_sub(incomplete)), ("incomplete", incomplete)],
            )
        },
    ),
    counter("marked_requests", "Requests that are marked, by mark; a request can have several", |run| {
        let marks = [
            ("resynchronized", run.activity.resynchronized_requests),
            ("malformed", run.activity.malformed_requests),
            ("conflicting", run.activity.conflicting_requests),
            ("reopened", run.activity.reopened_requests),
            ("possibly_unread", run.activity.possibly_unread_requests),
        ];
        labelled("mark", marks)
    }),
    gauge("last_request_timestamp_seconds", "When the last request came, in Unix time", |run| {
        run.last_request.map(|time| (None, Value::Real(time))).into_iter().collect()
    }),
    counter("packets", "Packets of followed connections after GRO, by outcome", |run| {
        let packets = run.counters.ledger().packets();
        let outcomes = [
            ("delivered", packets.delivered),
            ("lost", packets.lost.total()),
            ("bypassed", packets.bypassed),
        ];
        labelled("outcome", outcomes)
    }),
    counter("payload_bytes", "Bytes of payload of followed connections, by outcome", |run| {
        let bytes = run.counters.ledger().bytes();
        let outcomes = [
            ("delivered", bytes.delivered),
            ("cut", bytes.cut.unwrap_or(0)),
            ("lost", bytes.lost.total()),
            ("bypassed", bytes.bypassed),
        ];
        labelled("outcome", outcomes)
    }),
    counter("delivered_bytes", "Delivered bytes, by outcome", |run| {
        let outcomes = [
            ("used", run.activity.used_bytes),
            ("duplicate", run.activity.duplicate_bytes),
            ("conflicting", run.activity.conflicting_bytes),
            ("discarded", run.activity.discarded_bytes),
        ];
        labelled("outcome", outcomes)
    }),
    counter("gaps", "Gaps in connections", |run| one(run.activity.gaps)),
    counter("gap_bytes", "Bytes in gaps", |run| one(run.activity.gap_bytes)),
    counter("losses", "What was lost, by reason, as in loss events", |run| {
        labelled("reason", losses::names().into_iter().zip(run.activity.losses))
    }),
    counter("kernel_events", "What the kernel program counts, as in toa-tc status", |run| {
        let count = |counter: &Counter| (counter.name(), run.counters.get(*counter));
        labelled("event", Counter::ALL.iter().map(count))
    }),
    counter("program_runs", "Runs of the kernel program while BPF statistics were enabled", |run| {
        run.cost.map(|(runs, _)| (None, Value::Count(runs))).into_iter().collect()
    }),
    counter(
        "program_run_time_seconds",
        "Time in the kernel program while BPF statistics were enabled",
        |run| {
            #[expect(clippy::cast_precision_loss, reason = "2^53 nanoseconds are 104 days of CPU time")]
            let seconds = |ns: u64| ns as f64 / 1e9;
            run.cost.map(|(_, ns)| (None, Value::Real(seconds(ns)))).into_iter().collect()
        },
    ),
];

const fn gauge(name: &'static str, help: &'static str, samples: fn(&RunMetrics) -> Samples) -> Metric {
    Metric { name, help, kind: MetricType::Gauge, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&RunMetrics) -> Samples) -> Metric {
    Metric { name, help, kind: MetricType::Counter, samples }
}

fn one(count: u64) -> Samples {
    vec![(None, Value::Count(count))]
}

fn labelled(key: &'static str, counts: impl IntoIterator<Item = (&'static str, u64)>) -> Samples {
    counts.into_iter().map(|(value, count)| (Some((key, value)), Value::Count(count))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prometheus_parse::{Scrape, Value as Parsed};

    use super::*;

    /// Returns the samples by name and labels.
    fn samples(text: &str) -> HashMap<(String, Vec<(String, String)>), f64> {
        let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let sample = |sample: prometheus_parse::Sample| {
            let mut labels: Vec<_> =
                sample.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            labels.sort();
            let (Parsed::Counter(value) | Parsed::Gauge(value) | Parsed::Untyped(value)) = sample.value
            else {
                panic!("{sample:?}");
            };
            ((sample.metric, labels), value)
        };
        scrape.samples.into_iter().map(sample).collect()
    }

    #[test]
    fn a_parser_reads_every_value() {
        let mut activity = RunActivity { requests: 5, incomplete_requests: 2, ..RunActivity::default() };
        activity.losses[3] = 7;
        let run = |pid: &str, cost| RunMetrics {
            labels: vec![("pid", pid.to_owned())],
            version: "1.2.3".to_owned(),
            started: 1_800_000_000.5,
            activity,
            rules: 2,
            cost,
            ..RunMetrics::default()
        };
        let text = encode(vec![run("1", None), run("2", Some((4, 2_500_000_000)))]).unwrap();
        let found = samples(&text);
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            found.get(&(format!("toa_tc_{name}"), labels)).copied()
        };
        assert_eq!(value("build_info", &[("pid", "1"), ("version", "1.2.3")]), Some(1.0));
        assert_eq!(value("start_time_seconds", &[("pid", "1")]), Some(1_800_000_000.5));
        assert_eq!(value("requests_total", &[("outcome", "complete"), ("pid", "1")]), Some(3.0));
        assert_eq!(value("requests_total", &[("outcome", "incomplete"), ("pid", "2")]), Some(2.0));
        assert_eq!(value("losses_total", &[("pid", "1"), ("reason", "evicted")]), Some(7.0));
        assert_eq!(value("kernel_events_total", &[("event", "learned"), ("pid", "1")]), Some(0.0));
        assert_eq!(value("program_runs_total", &[("pid", "1")]), None);
        assert_eq!(value("program_run_time_seconds_total", &[("pid", "2")]), Some(2.5));
        assert_eq!(value("last_request_timestamp_seconds", &[("pid", "1")]), None);
        assert!(text.ends_with("# EOF\n"), "{text}");
        let alone = encode(vec![RunMetrics { rules: 3, ..RunMetrics::default() }]).unwrap();
        assert_eq!(samples(&alone).get(&("toa_tc_rules".to_owned(), Vec::new())), Some(&3.0), "{alone}");
    }

    #[test]
    fn names_follow_the_conventions() {
        for Metric { name, help, .. } in METRICS {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(!name.ends_with("_total") && !help.ends_with('.'), "{name}");
        }
    }
}
