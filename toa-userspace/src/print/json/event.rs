//! Responsible for the objects of the output: one struct an object, its fields in the order in which they are
//! written. Not responsible for request heads.

use serde::Serialize;

use super::{
    head::{Headers, Url},
    value::{Endpoint, Host, Id, Interface, Network, Protocol, Text, Time, Toa},
};
use crate::{
    address::ClientAddress,
    event::Closed,
    http::{FramingFault, NotHttp, ProxyVersion, head::HttpRequest},
    pipeline::connection::Connection,
    print::{ledger::Summary, redact::Redactor},
    tls::ClientHello,
};

/// What every event of a connection says.
pub(super) struct Common<'a> {
    timestamp: Time,
    host: Host<'a>,
    client: ClientAddress,
    peer: Endpoint,
    interface: Interface<'a>,
    server: Endpoint,
    toa: Option<Toa>,
}

impl<'a> Common<'a> {
    pub(super) fn new(
        connection: &Connection,
        time_ns: u64,
        host_name: &'a str,
        interface_name: Option<&'a str>,
    ) -> Self {
        Self {
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            client: connection.client(),
            peer: connection.peer().into(),
            interface: Interface { name: interface_name },
            server: connection.server().into(),
            toa: Toa::new(&connection.attribution),
        }
    }

    fn network(&self, protocol: Option<Protocol>) -> Network<'_> {
        Network { peer: &self.peer, interface: &self.interface, protocol }
    }
}

/// A request.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    event: &'static str,
    timestamp: &'a Time,
    host: &'a Host<'a>,
    client: &'a ClientAddress,
    network: Network<'a>,
    server: &'a Endpoint,
    http: Http<'a>,
    url: Url<'a>,
    toa: Option<&'a Toa>,
    connection: RequestConnection<'a>,
    incomplete: Option<Incomplete>,
    framing_fault: Option<&'static str>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        common: &'a Common<'a>,
        connection: &'a Connection,
        request: &'a HttpRequest<'a>,
        redactor: &'a Redactor,
        target: &'a str,
    ) -> Self {
        Self {
            event: "request",
            timestamp: &common.timestamp,
            host: &common.host,
            client: &common.client,
            network: common.network(Some(Protocol { name: "http", version: request.version() })),
            server: &common.server,
            http: Http {
                request: HttpPart { method: Text(request.method()), header: Headers::new(request, redactor) },
            },
            url: Url::of(target),
            toa: common.toa.as_ref(),
            connection: RequestConnection { id: Id(connection), request: request.number },
            incomplete: request.incomplete.map(|gap_bytes| Incomplete { gap_bytes }),
            framing_fault: request.framing_fault().map(FramingFault::name),
        }
    }
}

/// What a connection has come to.
pub(super) enum State<'a> {
    /// It is seen for the first time.
    Opened,
    /// It begins with a header of the PROXY protocol.
    Proxy(ProxyVersion),
    /// It, or its rest, is neither HTTP/1 nor TLS.
    NotHttp {
        /// What it is.
        reason: NotHttp,
        /// Its first bytes, redacted and escaped.
        preview: &'a str,
    },
    /// It is not known any more.
    Closed(Closed),
}

/// A connection's beginning or end, or that it is not HTTP.
#[derive(Serialize)]
pub(super) struct ConnectionEvent<'a> {
    event: &'static str,
    timestamp: &'a Time,
    host: &'a Host<'a>,
    client: &'a ClientAddress,
    network: Network<'a>,
    server: &'a Endpoint,
    toa: Option<&'a Toa>,
    connection: ConnectionState<'a>,
}

impl<'a> ConnectionEvent<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, state: &State<'a>) -> Self {
        let (state, reason, preview) = match state {
            State::Opened => ("open", None, None),
            State::Proxy(version) => ("open", Some(version.name()), None),
            State::NotHttp { reason, preview } => ("open", Some(reason.name()), Some(*preview)),
            State::Closed(reason) => ("closed", Some(reason.name()), None),
        };
        Self {
            event: "connection",
            timestamp: &common.timestamp,
            host: &common.host,
            client: &common.client,
            network: common.network(None),
            server: &common.server,
            toa: common.toa.as_ref(),
            connection: ConnectionState { id: Id(connection), state, reason, preview },
        }
    }
}

/// What a TLS client says in clear.
#[derive(Serialize)]
pub(super) struct Tls<'a> {
    event: &'static str,
    timestamp: &'a Time,
    host: &'a Host<'a>,
    client: &'a ClientAddress,
    network: Network<'a>,
    server: &'a Endpoint,
    #[serde(rename = "tls")]
    said: TlsPart<'a>,
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
}

impl<'a> Tls<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, hello: &'a ClientHello) -> Self {
        let client = TlsClient {
            server_name: hello.server_name.as_deref().map(Text),
            alpn: hello.alpn.iter().map(|name| Text(name)).collect(),
        };
        Self {
            event: "tls",
            timestamp: &common.timestamp,
            host: &common.host,
            client: &common.client,
            network: common.network(None),
            server: &common.server,
            said: TlsPart { client },
            toa: common.toa.as_ref(),
            connection: OnlyId { id: Id(connection) },
        }
    }
}

/// Bytes that are missing for good.
#[derive(Serialize)]
pub(super) struct Gap<'a> {
    event: &'static str,
    timestamp: &'a Time,
    host: &'a Host<'a>,
    client: &'a ClientAddress,
    network: Network<'a>,
    server: &'a Endpoint,
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
    #[serde(rename = "gap")]
    missing: Bytes,
}

impl<'a> Gap<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, bytes: u64) -> Self {
        Self {
            event: "gap",
            timestamp: &common.timestamp,
            host: &common.host,
            client: &common.client,
            network: common.network(None),
            server: &common.server,
            toa: common.toa.as_ref(),
            connection: OnlyId { id: Id(connection) },
            missing: Bytes { bytes },
        }
    }
}

/// The last line.
#[derive(Serialize)]
pub(super) struct Ledger<'a> {
    event: &'static str,
    timestamp: Time,
    host: Host<'a>,
    packets: Packets,
    bytes: Account,
    requests: u64,
    incomplete: u64,
    connections: u64,
    gaps: Gaps,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(summary: &Summary<'_>, time_ns: u64, host_name: &'a str) -> Self {
        let Summary { kernel, pipeline } = *summary;
        let stream = &pipeline.stream;
        Self {
            event: "ledger",
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            packets: Packets {
                matched: kernel.matched_packets,
                delivered: stream.delivered_packets,
                lost: Lost {
                    ring_full: kernel.lost_ring_full_packets,
                    no_reader: kernel.lost_no_reader_packets,
                    other: kernel.lost_other_packets,
                },
                bypassed: kernel.bypassed_packets,
            },
            bytes: Account {
                matched: kernel.matched_bytes,
                delivered: stream.delivered_bytes,
                cut: kernel.cut_bytes,
                lost: Lost {
                    ring_full: kernel.lost_ring_full_bytes,
                    no_reader: kernel.lost_no_reader_bytes,
                    other: kernel.lost_other_bytes,
                },
                bypassed: kernel.bypassed_bytes,
                used: stream.used_bytes,
                duplicate: stream.duplicate_bytes,
                discarded: stream.discarded_bytes(),
            },
            requests: pipeline.http.requests,
            incomplete: pipeline.http.incomplete_requests,
            connections: pipeline.connections,
            gaps: Gaps { count: stream.gaps, bytes: stream.gap_bytes },
        }
    }
}

#[derive(Serialize)]
struct Packets {
    matched: u64,
    delivered: u64,
    lost: Lost,
    bypassed: u64,
}

#[derive(Serialize)]
struct Account {
    matched: u64,
    delivered: u64,
    cut: u64,
    lost: Lost,
    bypassed: u64,
    used: u64,
    duplicate: u64,
    discarded: u64,
}

#[derive(Serialize)]
struct Lost {
    ring_full: u64,
    no_reader: u64,
    other: u64,
}

#[derive(Serialize)]
struct Gaps {
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Http<'a> {
    request: HttpPart<'a>,
}

#[derive(Serialize)]
struct HttpPart<'a> {
    method: Text<'a>,
    header: Headers<'a>,
}

#[derive(Serialize)]
struct RequestConnection<'a> {
    id: Id<'a>,
    request: u64,
}

#[derive(Serialize)]
struct ConnectionState<'a> {
    id: Id<'a>,
    state: &'static str,
    reason: Option<&'static str>,
    preview: Option<&'a str>,
}

#[derive(Serialize)]
struct OnlyId<'a> {
    id: Id<'a>,
}

#[derive(Serialize)]
struct Incomplete {
    gap_bytes: u64,
}

#[derive(Serialize)]
struct Bytes {
    bytes: u64,
}

#[derive(Serialize)]
struct TlsPart<'a> {
    client: TlsClient<'a>,
}

#[derive(Serialize)]
struct TlsClient<'a> {
    server_name: Option<Text<'a>>,
    alpn: Vec<Text<'a>>,
}
