//! The objects of counts, one struct each, fields in the order in which they are written. Those of connections are in
//! [`super::line`].

use serde::{Serialize, Serializer};

use super::value::{Host, Time};
use crate::{
    address::ClientAddress,
    ledger::{account::Account, losses::Loss},
    print::{hidden::Hidden, ledger::Summary, summary_table::Counts},
};

/// The ledger, which is the last line.
#[derive(Serialize)]
pub(super) struct Ledger<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    packets: Account,
    bytes: BytesAccount,
    plaintext: Option<Plaintext>,
    requests: u64,
    incomplete: u64,
    hidden: Hidden,
    clients: u64,
    connections: u64,
    gaps: Gaps,
    remarks: Remarks<'a>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(summary: &Summary<'a>, time_ns: u64, host_name: &'a str) -> Self {
        let pipeline = summary.pipeline;
        let stream = &pipeline.stream;
        Self {
            event: "ledger",
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            packets: summary.packets(),
            bytes: BytesAccount {
                account: summary.bytes(),
                used: stream.used_bytes,
                duplicate: stream.duplicate_bytes,
                conflicting: stream.conflicting_bytes,
                discarded: stream.discarded_bytes(),
            },
            plaintext: summary.plaintext().map(|(reads, bytes)| Plaintext { reads, bytes }),
            requests: pipeline.http.requests,
            incomplete: pipeline.http.incomplete_requests,
            hidden: summary.hidden,
            clients: pipeline.clients,
            connections: pipeline.connections,
            gaps: Gaps { count: summary.gaps(), bytes: summary.gap_bytes() },
            remarks: Remarks(*summary),
        }
    }
}

/// What was lost in an interval, for one reason.
#[derive(Serialize)]
pub(super) struct LossLine<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    loss: LossFields,
}

#[derive(Serialize)]
pub(super) struct LossFields {
    reason: &'static str,
    count: u64,
    seconds: u64,
    option: Option<&'static str>,
}

impl From<&Loss> for LossFields {
    fn from(loss: &Loss) -> Self {
        let Loss { reason, count, seconds } = *loss;
        Self { reason: reason.name, count, seconds, option: reason.option }
    }
}

impl<'a> LossLine<'a> {
    pub(super) fn new(loss: &Loss, time_ns: u64, host_name: &'a str) -> Self {
        Self { event: "loss", timestamp: Time(time_ns), host: Host { name: host_name }, loss: loss.into() }
    }
}

/// The counts of a group, or of all groups for which the table had no room.
#[derive(Serialize)]
pub(super) struct SummaryLine<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    by: By<'a>,
    is_others: bool,
    requests: u64,
    connections: u64,
    first_seen: Time,
    last_seen: Time,
}

impl<'a> SummaryLine<'a> {
    /// Without `values`, it is about the other groups.
    pub(super) fn new(
        by: &'a [String],
        values: Option<&'a [Option<&'a str>]>,
        counts: &Counts,
        time_ns: u64,
        host_name: &'a str,
    ) -> Self {
        Self {
            event: "summary",
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            by: By(by, values.unwrap_or_default()),
            is_others: values.is_none(),
            requests: counts.requests,
            connections: counts.connections,
            first_seen: Time(counts.first_ns),
            last_seen: Time(counts.last_ns),
        }
    }
}

/// What requests are grouped by, and the values of a group.
struct By<'a>(&'a [String], &'a [Option<&'a str>]);

impl Serialize for By<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |number| self.1.get(number).copied().flatten();
        serializer.collect_map(self.0.iter().enumerate().map(|(number, name)| (name, value(number))))
    }
}

/// What became of reads of plaintext.
#[derive(Serialize)]
struct Plaintext {
    reads: Account,
    bytes: Account,
}

#[derive(Serialize)]
struct BytesAccount {
    #[serde(flatten)]
    account: Account,
    used: u64,
    duplicate: u64,
    conflicting: u64,
    discarded: u64,
}

/// Counts by name, each with clients for example.
struct Remarks<'a>(Summary<'a>);

impl Serialize for Remarks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .remarks()
                .map(|(remark, clients)| (remark.name, RemarkCount { count: remark.count, clients })),
        )
    }
}

#[derive(Serialize)]
struct RemarkCount<'a> {
    count: u64,
    clients: &'a [ClientAddress],
}

#[derive(Serialize)]
struct Gaps {
    count: u64,
    bytes: u64,
}
