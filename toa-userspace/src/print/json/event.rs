//! The objects of the output, one struct each, fields in the order in which they are written.

use serde::{Serialize, Serializer};

use super::{
    head::{Headers, Method, Url},
    value::{Endpoint, Host, Id, Interface, Network, Protocol, Text, Time, Toa},
};
use crate::{
    address::ClientAddress,
    event::Closed,
    http::{FramingFault, Malformation, NotHttp, ProxyVersion, head::HttpRequest},
    ledger::account::Account,
    pipeline::connection::Connection,
    print::{ledger::Summary, redact::Redactor},
    tls::ClientHello,
};

/// An event of a connection: the common fields and its own.
#[derive(Serialize)]
pub(super) struct ConnectionLine<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    common: &'a Common<'a>,
    #[serde(flatten)]
    fields: T,
}

/// The fields that every event of a connection has.
#[derive(Serialize)]
pub(super) struct Common<'a> {
    timestamp: Time,
    host: Host<'a>,
    client: ClientAddress,
    network: Network<'a>,
    server: Endpoint,
    /// Not written here: each event has it among its own fields.
    #[serde(skip)]
    toa: Option<Toa>,
}

impl<'a> Common<'a> {
    pub(super) fn new(
        connection: &Connection,
        time_ns: u64,
        host_name: &'a str,
        interface_name: Option<&'a str>,
        protocol: Option<Protocol<'a>>,
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
pub(super) struct RequestFields<'a> {
    http: Http<'a>,
    url: Url<'a>,
    toa: Option<&'a Toa>,
    connection: RequestConnection<'a>,
    incomplete: Option<Incomplete>,
    malformed: Option<&'static str>,
    resynchronized: bool,
    reopened: bool,
    conflicting: Option<&'static str>,
    framing_fault: Option<&'static str>,
}

impl<'a> RequestFields<'a> {
    pub(super) fn new(
        common: &'a Common<'a>,
        connection: &'a Connection,
        request: &'a HttpRequest<'a>,
        redactor: &'a Redactor,
        target: &'a str,
    ) -> Self {
        Self {
            http: Http {
                request: HttpPart {
                    method: Method::new(request, redactor),
                    header: Headers::new(request, redactor),
                },
            },
            url: Url::of(target),
            toa: common.toa.as_ref(),
            connection: RequestConnection { id: Id(connection), request: request.number },
            incomplete: request
                .incomplete
                .map(|it| Incomplete { gap_bytes: it.gap_bytes, cause: it.cause.name() }),
            malformed: request.malformation.map(Malformation::name),
            resynchronized: request.certainty.resynchronized,
            reopened: request.certainty.reopened,
            conflicting: match (request.certainty.conflicting, connection.attribution.is_conflicting()) {
                (false, false) => None,
                (true, false) => Some("bytes"),
                (false, true) => Some("client"),
                (true, true) => Some("bytes and client"),
            },
            framing_fault: request.framing_fault().map(FramingFault::name),
        }
    }
}

/// The state of a connection.
pub(super) enum State<'a> {
    /// Seen for the first time.
    Opened,
    /// It begins with a PROXY protocol header.
    Proxy(ProxyVersion),
    /// The connection, or the rest of it, is neither HTTP/1 nor TLS.
    NotHttp {
        /// The reason.
        reason: NotHttp,
        /// Its first bytes, redacted and escaped.
        preview: &'a str,
    },
    /// Dropped from the table.
    Closed(Closed),
}

/// The start or end of a connection, or that it is not HTTP.
#[derive(Serialize)]
pub(super) struct ConnectionFields<'a> {
    toa: Option<&'a Toa>,
    connection: ConnectionState<'a>,
}

impl<'a> ConnectionFields<'a> {
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

/// The server name and ALPN protocols of a TLS `ClientHello`, which clients send in the clear.
#[derive(Serialize)]
pub(super) struct TlsFields<'a> {
    tls: TlsPart<'a>,
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
}

impl<'a> TlsFields<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, hello: &'a ClientHello) -> Self {
        let client = TlsClient {
            server_name: hello.server_name.as_deref().map(Text),
            alpn: hello.alpn.iter().map(|name| Text(name)).collect(),
        };
        Self { tls: TlsPart { client }, toa: common.toa.as_ref(), connection: OnlyId { id: Id(connection) } }
    }
}

/// Missing bytes that were given up.
#[derive(Serialize)]
pub(super) struct GapFields<'a> {
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
    gap: Bytes,
}

impl<'a> GapFields<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, bytes: u64) -> Self {
        Self { toa: common.toa.as_ref(), connection: OnlyId { id: Id(connection) }, gap: Bytes { bytes } }
    }
}

/// Bytes that arrived twice with different content.
#[derive(Serialize)]
pub(super) struct ConflictFields<'a> {
    toa: Option<&'a Toa>,
    connection: OnlyId<'a>,
    conflict: Bytes,
}

impl<'a> ConflictFields<'a> {
    pub(super) fn new(common: &'a Common<'a>, connection: &'a Connection, bytes: u64) -> Self {
        let connection = OnlyId { id: Id(connection) };
        Self { toa: common.toa.as_ref(), connection, conflict: Bytes { bytes } }
    }
}

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

#[derive(Serialize)]
struct Http<'a> {
    request: HttpPart<'a>,
}

#[derive(Serialize)]
struct HttpPart<'a> {
    method: Method<'a>,
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
    cause: &'static str,
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
