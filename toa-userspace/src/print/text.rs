//! Requests, TLS connections and connections of other protocols, as text for people:
//!
//! ```text
//! 12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /orders?id=7 HTTP/1.1
//!     host: api.example
//! 12:01:02.123456 120.120.111.111:44209 > 10.9.0.2:443 (via 10.9.0.1:37609) TLS api.example (h2, http/1.1)
//! 12:01:02.123456 120.120.111.111:44210 > 10.9.0.2:80 (via 10.9.0.1:37610) not HTTP (other): SSH-2.0-•••
//! ```
//!
//! Fields are escaped and redacted, and their names are in lower case. [`super::json`] is the format for machines.

use std::{fmt, io::Write};

use super::{
    clock::{Clock, TimeForm},
    color::{Colored, Colors},
    count::plural,
    digits,
    escape::escape,
    fields::Fields,
    interfaces::{InterfaceName, Interfaces},
    lines::Lines,
    recent::Recent,
    redact::{FieldRedactor, Part, Redactor},
    summary,
    summary_table::SummaryTable,
    view::View,
};
use crate::{
    address::{ClientAddress, OrUnknown},
    event::Event,
    http::{
        NotHttp,
        head::{Cause, Field, HttpRequest, Incomplete, StreamPart},
    },
    pipeline::{Sink, connection::Connection},
    tls::ClientHello,
};

/// How text is laid out.
pub struct Layout {
    /// How times are written.
    pub time: TimeForm,
    /// Whether a request is one line, with its fields only if some were chosen.
    pub is_one_line: bool,
    /// Whether parts of lines are colored.
    pub is_colored: bool,
    /// The names of interfaces, if each line has one.
    pub interface_name: Option<InterfaceName>,
}

#[cfg(test)]
impl Layout {
    /// Times of day in a zone, and nothing that is not needed.
    pub(super) fn of_day(zone: jiff::tz::TimeZone) -> Self {
        Self { time: TimeForm::OfDay(zone), is_one_line: false, is_colored: false, interface_name: None }
    }
}

/// Writes requests as text.
pub struct Text<W> {
    lines: Lines<W>,
    form: Form,
}

/// What determines how a result is written.
struct Form {
    view: View,
    clock: Clock,
    is_one_line: bool,
    colors: Colors,
    interfaces: Option<Interfaces>,
    /// The client, server and peer, as in a line.
    ends: Recent<Vec<u8>>,
    /// Fields, as they are printed.
    fields: Fields,
}

impl<W: Write> Text<W> {
    /// Creates a printer that writes to `writer`.
    pub fn new(writer: W, view: impl Into<View>, layout: Layout) -> Self {
        let Layout { time, is_one_line, is_colored, interface_name } = layout;
        let form = Form {
            view: view.into(),
            clock: Clock::new(time),
            is_one_line,
            colors: if is_colored { Colors::of_terminal() } else { Colors::default() },
            interfaces: interface_name.map(Interfaces::new),
            ends: Recent::default(),
            fields: Fields::default(),
        };
        Self { lines: Lines::new(writer), form }
    }

    /// Returns a table with its first `max_rows` groups.
    pub fn summary(&self, groups: &SummaryTable, max_rows: usize) -> String {
        summary::text(groups, max_rows, &self.form.clock)
    }

    /// Adds `ns` nanoseconds to every time that is printed from now on.
    pub fn shift_times(&mut self, ns: i64) {
        self.form.clock.shift(ns);
    }

    /// Returns the lines that were not written yet.
    pub fn lines(&mut self) -> &mut Lines<W> {
        &mut self.lines
    }
}

impl<W: Write> Sink for Text<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let Self { lines, form } = self;
        match event {
            Event::Request(request) => lines.add(|out| form.request(connection, request, out)),
            Event::Tls(hello) => lines.add(|out| form.tls(connection, hello, out)),
            Event::NotHttp { reason, preview } => {
                lines.add(|out| form.other(connection, *reason, preview, out));
            }
            Event::Conflict { bytes } => lines.add(|out| form.conflict(connection, *bytes, out)),
            Event::Opened | Event::Proxy(_) | Event::Gap { .. } | Event::Closed(_) => {}
        }
    }
}

impl Form {
    /// Appends a request.
    fn request(&mut self, connection: &Connection, request: &HttpRequest<'_>, out: &mut Vec<u8>) {
        self.begin_line(connection, request.time_ns, out);
        let Self { view: View { redactor, fields: choice }, colors, fields, is_one_line, .. } = self;
        colors.request.put(out, |out| put_request_line(redactor, request, out));
        put_endpoint(connection, out);
        colors.mark.put(out, |out| put_marks(connection, request, out));
        if *is_one_line {
            let chosen =
                request.fields().filter(|field| !choice.is_everything() && choice.contains(field.name()));
            for field in chosen {
                fields.put(field, out, |out| put_assignment(redactor, &colors.name, field, out));
            }
        } else {
            let is_everything = choice.is_everything();
            for field in request.fields().filter(|field| is_everything || choice.contains(field.name())) {
                fields.put(field, out, |out| put_field(redactor, &colors.name, field, out));
            }
        }
        out.push(b'\n');
    }

    /// Appends the server name and ALPN protocols of a TLS `ClientHello`.
    fn tls(&mut self, connection: &Connection, hello: &ClientHello, out: &mut Vec<u8>) {
        self.begin_line(connection, connection.last_ns, out);
        self.colors.mark.put(out, |out| out.extend_from_slice(b"TLS"));
        if let Some(name) = &hello.server_name {
            out.push(b' ');
            escape(name, out);
        }
        for (number, name) in hello.alpn.iter().enumerate() {
            out.extend_from_slice(if number == 0 { b" (" } else { b", " });
            escape(name, out);
        }
        out.extend_from_slice(if hello.alpn.is_empty() { b"" } else { b")" });
        put_endpoint(connection, out);
        out.push(b'\n');
    }

    /// Appends that bytes of a connection arrived twice with different content.
    fn conflict(&mut self, connection: &Connection, bytes: u64, out: &mut Vec<u8>) {
        self.begin_line(connection, connection.last_ns, out);
        let bytes = plural(bytes, "byte");
        self.colors.mark.put(out, |out| {
            put_fmt(out, format_args!("conflict: {bytes} arrived again with different content"));
        });
        out.push(b'\n');
    }

    /// Appends the first bytes of a connection that is neither HTTP nor TLS, or not any more.
    fn other(&mut self, connection: &Connection, reason: NotHttp, preview: &[u8], out: &mut Vec<u8>) {
        self.begin_line(connection, connection.last_ns, out);
        self.colors.mark.put(out, |out| put_fmt(out, format_args!("not HTTP ({}):", reason.name())));
        out.push(b' ');
        self.view.redactor.preview(preview, &mut |part| put(out, part));
        out.push(b'\n');
    }

    /// Begins a line with the time, the interface if that is wanted, the client, the server and the peer.
    fn begin_line(&mut self, connection: &Connection, time_ns: u64, out: &mut Vec<u8>) {
        let Self { clock, colors, interfaces, ends, .. } = self;
        colors.time.put(out, |out| clock.write(time_ns, out));
        if let Some(interfaces) = interfaces {
            let (interface, _) = interfaces.get(connection.interface_index);
            out.push(b' ');
            match interface.and_then(|interface| interface.name.as_deref()) {
                None => out.push(b'-'),
                Some(name) => escape(name.as_bytes(), out),
            }
        }
        let ends = ends.get(connection, |ends| {
            ends.clear();
            put_ends(connection, &colors.client, ends);
        });
        out.extend_from_slice(ends.map(Vec::as_slice).unwrap_or_default());
    }
}

/// Appends the client, the server and the peer.
fn put_ends(connection: &Connection, color: &Colored, out: &mut Vec<u8>) {
    out.push(b' ');
    let client = connection.client();
    color.put(out, |out| match client.and_then(ClientAddress::socket) {
        Some(client) => digits::push_endpoint(client, out),
        None => put_fmt(out, format_args!("{}", OrUnknown(client))),
    });
    out.extend_from_slice(b" > ");
    digits::push_endpoint(connection.server(), out);
    out.extend_from_slice(b" (via ");
    digits::push_endpoint(connection.peer(), out);
    out.extend_from_slice(b") ");
}

/// Appends the method, the target and the version.
fn put_request_line(redactor: &Redactor, request: &HttpRequest<'_>, out: &mut Vec<u8>) {
    redactor.method(request.method(), &mut |part| put(out, part));
    out.push(b' ');
    let target = out.len();
    redactor.target(request.target(), &mut |part| put(out, part));
    let may_have_spaces = request.malformation.is_some() || request.incomplete.is_some();
    if may_have_spaces || request.stream.is_some() {
        escape_spaces(out, target);
    }
    if let Some(version) = request.version() {
        out.extend_from_slice(b" HTTP/");
        out.extend_from_slice(version.as_bytes());
    }
}

/// Appends the endpoint of a private link, if a PROXY header names it.
fn put_endpoint(connection: &Connection, out: &mut Vec<u8>) {
    if let Some(endpoint) = connection.proxy.as_ref().and_then(|header| header.endpoint.as_ref()) {
        out.extend_from_slice(b" [");
        out.extend_from_slice(endpoint.provider.as_bytes());
        out.extend_from_slice(b" endpoint ");
        escape(&endpoint.id, out);
        out.push(b']');
    }
}

/// Appends whether a request was read from TLS, and what the reader should know about it before believing it.
fn put_marks(connection: &Connection, request: &HttpRequest<'_>, out: &mut Vec<u8>) {
    if connection.is_decrypted {
        out.extend_from_slice(b" [TLS]");
    }
    if request.certainty.resynchronized {
        out.extend_from_slice(b" [resynchronized]");
    }
    match request.incomplete {
        Some(Incomplete { cause: Cause::Gap, gap_bytes }) => {
            put_fmt(out, format_args!(" [incomplete: gap of {}]", plural(gap_bytes, "byte")));
        }
        Some(Incomplete { cause, .. }) => put_fmt(out, format_args!(" [incomplete: {}]", cause.name())),
        None => {}
    }
    if let Some(malformation) = request.malformation {
        put_fmt(out, format_args!(" [malformed: {}]", malformation.name()));
    }
    if let Some(fault) = request.framing_fault() {
        put_fmt(out, format_args!(" [{}]", fault.name()));
    }
    if let Some(StreamPart { unknown_fields: count @ 1.., .. }) = request.stream {
        put_fmt(out, format_args!(" [{}]", plural(u64::from(count), "unknown field")));
    }
    if request.certainty.reopened {
        out.extend_from_slice(b" [reopened]");
    }
    if request.certainty.possibly_unread {
        out.extend_from_slice(b" [possibly unread]");
    }
    if request.certainty.conflicting {
        out.extend_from_slice(b" [conflicting bytes]");
    }
    if connection.attribution.is_conflicting() {
        out.extend_from_slice(b" [conflicting client]");
    }
}

/// Escapes the spaces in `out` from `start` on: those of a target, which would look like the end of it.
fn escape_spaces(out: &mut Vec<u8>, start: usize) {
    if memchr::memchr(b' ', out.get(start..).unwrap_or_default()).is_some() {
        let target = out.split_off(start);
        for (number, part) in target.split(|byte| *byte == b' ').enumerate() {
            if number > 0 {
                out.extend_from_slice(br"\x20");
            }
            out.extend_from_slice(part);
        }
    }
}

/// Escapes what would end a name in `out` from `start` on: a malformed name may have it.
fn escape_delimiters(out: &mut Vec<u8>, start: usize) {
    if memchr::memchr3(b' ', b'=', b'"', out.get(start..).unwrap_or_default()).is_some() {
        for byte in out.split_off(start) {
            match byte {
                b' ' => out.extend_from_slice(br"\x20"),
                b'=' => out.extend_from_slice(br"\x3d"),
                b'"' => out.extend_from_slice(br"\x22"),
                byte => out.push(byte),
            }
        }
    }
}

/// Appends a field on a line of its own.
fn put_field(redactor: &Redactor, color: &Colored, field: Field<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n    ");
    let shown = redactor.field(field.name());
    color.put(out, |out| put_name(&shown, out));
    out.extend_from_slice(b": ");
    shown.value(field.value(), &mut |part| put(out, part));
}

/// Appends a field as `name=value`. The value is quoted if it could be taken for another or for several.
fn put_assignment(redactor: &Redactor, color: &Colored, field: Field<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    let shown = redactor.field(field.name());
    color.put(out, |out| {
        let start = out.len();
        put_name(&shown, out);
        escape_delimiters(out, start);
    });
    out.push(b'=');
    let start = out.len();
    shown.value(field.value(), &mut |part| put(out, part));
    let value = out.get(start..).unwrap_or_default();
    if value.is_empty() || memchr::memchr3(b' ', b'"', b'=', value).is_some() {
        let value = out.split_off(start);
        out.push(b'"');
        for (number, part) in value.split(|byte| *byte == b'"').enumerate() {
            if number > 0 {
                out.extend_from_slice(br#"\""#);
            }
            out.extend_from_slice(part);
        }
        out.push(b'"');
    }
}

/// Appends the name of a field to `out`.
fn put_name(field: &FieldRedactor<'_>, out: &mut Vec<u8>) {
    if let Some(word) = field.word() {
        out.extend_from_slice(word);
    } else {
        let start = out.len();
        escape(&field.name(), out);
        out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    }
}

/// Appends a part to `out`.
fn put(out: &mut Vec<u8>, part: Part<'_>) {
    match part {
        Part::Shown(bytes) => escape(bytes, out),
        Part::Plain(bytes) => out.extend_from_slice(bytes),
        Part::Hidden(mask) => out.extend_from_slice(mask.as_bytes()),
    }
}

/// Appends formatted text.
fn put_fmt(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
