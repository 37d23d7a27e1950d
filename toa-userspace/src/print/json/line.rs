//! The lines of connections and requests, fields in the order in which they are written. They are nearly all of the
//! output, and a serializer for any structure would cost more than everything else that is done for a request.

use std::net::SocketAddr;

use toa_common::attribution::{Attribution, LearnedFrom};

use super::{
    doubts::DoubtsWriter,
    head,
    literal::{put, put_bool, put_name, put_number},
    value::json,
};
use crate::{
    address::ClientAddress,
    event::Event,
    http::{NotHttp, ProxyHeader, ProxyVersion, head::HttpRequest},
    pipeline::connection::Connection,
    print::{
        clock::Clock, digits, escape::escape_json, fields::Fields, interfaces::Interfaces, recent::Recent,
        redact::Redactor, view::View,
    },
    tls::ClientHello,
    workload::{Workload, WorkloadOf},
};

/// What determines how the events of a connection are written.
pub(super) struct Form {
    view: View,
    clock: Clock,
    /// The object `host`.
    host: Vec<u8>,
    interfaces: Interfaces,
    workload: Option<WorkloadOf>,
    ends: Recent<Ends>,
    /// Names and values of fields, as they are written.
    fields: Fields,
    doubts: DoubtsWriter,
}

/// The parts of a line that are the same for all lines of a connection.
#[derive(Debug, Default)]
struct Ends {
    /// The client and the network, up to the protocol.
    network: Vec<u8>,
    /// From the end of the network to the PROXY header.
    server: Vec<u8>,
    /// How the client was learned, and the connection up to its identifier.
    identity: Vec<u8>,
}

impl Form {
    /// Returns how to write events, with `host` as the object of that name.
    pub(super) fn new(
        view: View,
        host: Vec<u8>,
        interfaces: Interfaces,
        workload: Option<WorkloadOf>,
    ) -> Self {
        let (ends, fields, doubts) = (Recent::default(), Fields::default(), DoubtsWriter::default());
        Self { view, clock: Clock::rfc3339(), host, interfaces, workload, ends, fields, doubts }
    }

    /// Adds `ns` nanoseconds to the time of every event that is written from now on.
    pub(super) fn shift_times(&mut self, ns: i64) {
        self.clock.shift(ns);
    }

    /// Returns a time as it is written, in nanoseconds since the Unix epoch.
    pub(super) fn shifted(&self, time_ns: u64) -> u64 {
        self.clock.shifted(time_ns)
    }

    /// Appends the line of an event.
    pub(super) fn put_line(&mut self, connection: &Connection, event: &Event<'_>, out: &mut Vec<u8>) {
        let Self { view, clock, host, interfaces, workload, ends, fields, doubts } = self;
        let (interface, is_renamed) = interfaces.get(connection.interface_index);
        if is_renamed {
            *ends = Recent::default();
        }
        let ends = ends.get(connection, |ends| {
            let workload = workload.as_mut().and_then(|workload| workload(connection.server()));
            ends.write(connection, interface.map_or(b"null", |it| &it.json), workload.as_deref());
        });
        let Some(Ends { network, server, identity }) = ends else { return };
        let (name, time_ns) = match event {
            Event::Request(request) => ("request", request.time_ns),
            Event::Opened => ("connection", connection.first_ns),
            Event::Proxy(_) | Event::NotHttp { .. } | Event::Closed(_) => ("connection", connection.last_ns),
            Event::Tls(_) => ("tls", connection.last_ns),
            Event::Conflict { .. } => ("conflict", connection.last_ns),
            Event::Gap { .. } => ("gap", connection.last_ns),
        };
        put(out, r#"{"event":""#);
        put(out, name);
        put(out, r#"","timestamp":""#);
        clock.write(time_ns, out);
        put(out, r#"","host":"#);
        out.extend_from_slice(host);
        out.extend_from_slice(network);
        if let Event::Request(request) = event {
            put(out, r#"{"name":"http","version":"#);
            put_name(request.version(), out);
            out.push(b'}');
        } else {
            put(out, "null");
        }
        out.extend_from_slice(server);
        match event {
            Event::Request(request) => head::put(view, fields, request, out),
            Event::Tls(hello) => put_hello(hello, out),
            _ => {}
        }
        out.extend_from_slice(identity);
        match event {
            Event::Request(request) => {
                put_request_number(request, out);
                doubts.put(connection, request, out);
                if connection.is_decrypted {
                    put_tls(connection.hello.as_deref(), out);
                }
            }
            Event::Opened => put_state("open", None, out),
            Event::Proxy(version) => put_state("open", Some(version.name()), out),
            Event::Closed(reason) => put_state("closed", Some(reason.name()), out),
            Event::NotHttp { reason, preview } => put_preview(&view.redactor, *reason, preview, out),
            Event::Tls(_) => put(out, "\"}"),
            Event::Conflict { bytes } | Event::Gap { bytes } => put_bytes(name, *bytes, out),
        }
        put(out, "}\n");
    }
}

impl Ends {
    fn write(&mut self, connection: &Connection, interface: &[u8], workload: Option<&Workload>) {
        let Self { network, server, identity } = self;
        network.clear();
        put(network, r#","client":"#);
        put_client(connection.client(), network);
        put(network, r#","network":{"peer":"#);
        put_endpoint(connection.peer(), network);
        put(network, r#","interface":{"name":"#);
        network.extend_from_slice(interface);
        put(network, r#"},"protocol":"#);
        server.clear();
        put(server, r#"},"server":"#);
        put_endpoint(connection.server(), server);
        put(server, r#","workload":"#);
        server.append(&mut json(&workload));
        put(server, r#","proxy":"#);
        match &connection.proxy {
            None => put(server, "null"),
            Some(header) => put_proxy(header, server),
        }
        identity.clear();
        put(identity, r#","toa":"#);
        put_toa(&connection.attribution, identity);
        put(identity, r#","connection":{"id":""#);
        put_id(connection, identity);
    }
}

fn put_client(client: Option<ClientAddress>, out: &mut Vec<u8>) {
    let Some(ClientAddress { address, port }) = client else { return put(out, "null") };
    put(out, r#"{"address":""#);
    digits::push_address(address, out);
    put(out, r#"","port":"#);
    put_number(port.map(u32::from), out);
    out.push(b'}');
}

fn put_proxy(header: &ProxyHeader, out: &mut Vec<u8>) {
    put(
        out,
        match header.version {
            ProxyVersion::V1 => r#"{"version":1,"client":"#,
            ProxyVersion::V2 => r#"{"version":2,"client":"#,
        },
    );
    match header.client {
        None => put(out, "null"),
        Some(client) => put_endpoint(client, out),
    }
    put(out, r#","endpoint":"#);
    match &header.endpoint {
        None => put(out, "null}"),
        Some(endpoint) => {
            put(out, r#"{"provider":""#);
            put(out, endpoint.provider);
            put(out, r#"","id":""#);
            escape_json(&endpoint.id, out);
            put(out, "\"}}");
        }
    }
}

/// Appends how the client was learned.
fn put_toa(attribution: &Attribution, out: &mut Vec<u8>) {
    if !attribution.is_named() {
        return put(out, "null");
    }
    put(out, r#"{"kind":"#);
    match attribution.toa() {
        None => put(out, r#"null,"length":null"#),
        Some((kind, length)) => {
            digits::push(kind.into(), out);
            put(out, r#","length":"#);
            digits::push(length.into(), out);
        }
    }
    put(out, r#","learned_from":""#);
    put(out, attribution.learned_from().map_or("unknown", LearnedFrom::name));
    put(out, r#"","ambiguous":"#);
    put_bool(attribution.is_ambiguous(), out);
    out.push(b'}');
}

/// Appends the identifier of a connection: when it was learned, and its number within the run. It is unique on this host
/// until the next boot, or within the capture that is read.
fn put_id(connection: &Connection, out: &mut Vec<u8>) {
    digits::push_hex(connection.generation, out);
    out.push(b'-');
    digits::push(connection.id, out);
}

/// Ends the connection with its state.
fn put_state(state: &str, reason: Option<&str>, out: &mut Vec<u8>) {
    begin_state(state, reason, out);
    put(out, "null}");
}

/// Ends a connection that is not HTTP with its first bytes.
fn put_preview(redactor: &Redactor, reason: NotHttp, preview: &[u8], out: &mut Vec<u8>) {
    begin_state("open", Some(reason.name()), out);
    out.push(b'"');
    redactor.preview(preview, &mut |part| head::put_part(part, out));
    put(out, "\"}");
}

fn begin_state(state: &str, reason: Option<&str>, out: &mut Vec<u8>) {
    put(out, r#"","state":""#);
    put(out, state);
    put(out, r#"","reason":"#);
    put_name(reason, out);
    put(out, r#","preview":"#);
}

/// Ends the connection, and appends a number of bytes.
fn put_bytes(name: &str, bytes: u64, out: &mut Vec<u8>) {
    put(out, r#""},""#);
    put(out, name);
    put(out, r#"":{"bytes":"#);
    digits::push(bytes, out);
    out.push(b'}');
}

/// Ends the connection with the number of a request.
fn put_request_number(request: &HttpRequest<'_>, out: &mut Vec<u8>) {
    put(out, r#"","request":"#);
    digits::push(request.number, out);
    put(out, r#","stream":"#);
    put_number(request.stream.map(|stream| stream.id), out);
    out.push(b'}');
}

/// Appends the server name and ALPN protocols of a TLS `ClientHello`, which clients send in the clear.
fn put_hello(hello: &ClientHello, out: &mut Vec<u8>) {
    put(out, r#","tls":{"client":"#);
    put_client_hello(hello, out);
    out.push(b'}');
}

/// Appends that a request was read from TLS, and what its client offered there.
fn put_tls(hello: Option<&ClientHello>, out: &mut Vec<u8>) {
    put(out, r#","tls":true,"tls_client":"#);
    match hello {
        None => put(out, "null"),
        Some(hello) => put_client_hello(hello, out),
    }
}

fn put_client_hello(hello: &ClientHello, out: &mut Vec<u8>) {
    put(out, r#"{"server_name":"#);
    match &hello.server_name {
        None => put(out, "null"),
        Some(name) => put_text(name, out),
    }
    put(out, r#","alpn":["#);
    for (number, name) in hello.alpn.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        put_text(name, out);
    }
    put(out, "]}");
}

fn put_endpoint(endpoint: SocketAddr, out: &mut Vec<u8>) {
    put(out, r#"{"address":""#);
    digits::push_address(endpoint.ip(), out);
    put(out, r#"","port":"#);
    digits::push(endpoint.port().into(), out);
    out.push(b'}');
}

/// Appends bytes that a client chose as a string.
fn put_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_json(bytes, out);
    out.push(b'"');
}
