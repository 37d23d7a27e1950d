//! The objects of the output, one struct each, fields in the order in which they are written.

use serde::Serialize;

use super::{
    head::{Headers, Url},
    value::{Endpoint, Host, Id, Interface, Network, Protocol, Text, Time, Toa},
};
use crate::{
    address::ClientAddress,
    event::Closed,
    http::{FramingFault, NotHttp, ProxyVersion, head::HttpRequest},
    ledger::account::Account,
    pipeline::connection::Connection,
    print::{ledger::Summary, redact::Redactor},
    tls::ClientHello,
};

/// An event of a connection: what every event has, and its own fields.
#[derive(Serialize)]
pub(super) struct ConnectionLine<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    common: &'a Common<'a>,
    #[serde(flatten)]
    fields: T,
}

/// What every event of a connection has.
#[derive(Serialize)]
pub(super) struct Common<'a> {
    timestamp: Time,
    host: Host<'a>,
    client: ClientAddress,
    network: Network<'a>,
    server: Endpoint,
    /// Where each event has it.
    #[serde(skip)]
    toa: Option<Toa>,
}

impl<'a> Common<'a> {
    pub(super) fn new(
        connection: &Connection,
        time_ns: u64,
        host_name: &'a str,
        interface_name: Option<&'a str>,
        protocol: Option<Protocol>,
    ) -> Self {
        Self {
            timestamp: Time(time_ns),
            host: Host { name: host_name },
            client: connection.client(),
            network: Network {
                peer: connection.peer().into(),
                interface: Interface { name: interface_name },
                protocol,
            },
            server: connection.server().into(),
            toa: Toa::new(&connection.attribution),
        }
    }

    pub(super) fn line<T: Serialize>(&'a self, event: &'static str, fields: T) -> ConnectionLine<'a, T> {
        ConnectionLine { event, common: self, fields }
    }
}

/// A request.
#[derive(Serialize)]
pub(super) struct Request<'a> {
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

/// The state of a connection.
pub(super) enum State<'a> {
    /// Seen for the first time.
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
    /// Dropped from the table.
    Closed(Closed),
}

/// A connection's beginning or end, or that it is not HTTP.
#[derive(Serialize)]
pub(super) struct ConnectionEvent<'a> {
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
            toa: common.toa.as_ref(),
            connection: ConnectionState { id: Id(connection), state, reason, preview },
        }
    }
}

/// What a TLS client sends in the clear.
#[derive(Serialize)]
pub(super) struct Tls<'a> {
    tls: TlsPart<'a>,
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
}

impl<'a> Tls<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, hello: &'a ClientHello) -> Self {
        let client = TlsClient {
            server_name: hello.server_name.as_deref().map(Text),
            alpn: hello.alpn.iter().map(|name| Text(name)).collect(),
        };
        Self { tls: TlsPart { client }, toa: common.toa.as_ref(), connection: OnlyId { id: Id(connection) } }
    }
}

/// Bytes that are missing for good.
#[derive(Serialize)]
pub(super) struct Gap<'a> {
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
    gap: Bytes,
}

impl<'a> Gap<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, bytes: u64) -> Self {
        Self { toa: common.toa.as_ref(), connection: OnlyId { id: Id(connection) }, gap: Bytes { bytes } }
    }
}

/// The last line.
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
}

impl<'a> Ledger<'a> {
    pub(super) fn new(summary: &Summary<'_>, time_ns: u64, host_name: &'a str) -> Self {
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
struct BytesAccount {
    #[serde(flatten)]
    account: Account,
    used: u64,
    duplicate: u64,
    discarded: u64,
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
