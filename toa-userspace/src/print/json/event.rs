//! The objects of counts, one struct each, fields in the order in which they are written. Those of connections are in
//! [`super::line`].

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::value::{Host, Time};
use crate::{
    address::ClientAddress,
    client_table::ClientCounts,
    ledger::{account::Account, losses::Loss},
    print::ledger::Summary,
};

/// The ledger, which is the last line.
#[derive(Serialize)]
pub(super) struct Ledger<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    packets: Account,
    bytes: BytesAccount,
    requests: u64,
    incomplete: u64,
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
            requests: pipeline.http.requests,
            incomplete: pipeline.http.incomplete_requests,
            connections: pipeline.connections,
            gaps: Gaps { count: stream.gaps, bytes: stream.gap_bytes },
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
struct LossFields {
    reason: &'static str,
    count: u64,
    seconds: u64,
    option: Option<&'static str>,
}

impl<'a> LossLine<'a> {
    pub(super) fn new(loss: &Loss, time_ns: u64, host_name: &'a str) -> Self {
        let Loss { reason, count, seconds } = *loss;
        let loss = LossFields { reason: reason.name, count, seconds, option: reason.option };
        Self { event: "loss", timestamp: Time(time_ns), host: Host { name: host_name }, loss }
    }
}

/// The counts of a client or of a group: others, for whom the table had no room, and unknown ones.
#[derive(Serialize)]
pub(super) struct ClientLine<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    client: Option<ClientAddress>,
    group: Option<&'static str>,
    connections: u64,
    requests: u64,
}

impl<'a> ClientLine<'a> {
    pub(super) fn new(
        client: Result<IpAddr, &'static str>,
        counts: ClientCounts,
        time_ns: u64,
        host_name: &'a str,
    ) -> Self {
        Self {
            event: "client",
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            client: client.ok().map(|address| ClientAddress { address, port: None }),
            group: client.err(),
            connections: counts.connections,
            requests: counts.requests,
        }
    }
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
