//! Requests, TLS connections and connections of other protocols, as text for people:
//!
//! ```text
//! 12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /orders?id=7 HTTP/1.1
//!     host: api.example
//! 12:01:02.123456 120.120.111.111:44209 > 10.9.0.2:443 (via 10.9.0.1:37609) TLS api.example (h2, http/1.1)
//! 12:01:02.123456 120.120.111.111:44210 > 10.9.0.2:80 (via 10.9.0.1:37610) not HTTP/1 (other): SSH-2.0-•••
//! ```
//!
//! Fields are escaped and redacted, and their names are in lower case. [`super::json`] is the format for machines.

use std::io::{self, Write};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    count::plural,
    escape::escape,
    redact::{Part, Redactor},
};
use crate::{
    event::Event,
    http::{
        NotHttp,
        head::{Cause, HttpRequest, Incomplete},
    },
    pipeline::{Sink, connection::Connection},
    tls::ClientHello,
};

/// Nanoseconds per second.
const SECOND_NS: u64 = 1_000_000_000;

/// Writes requests as text. Each is one call of [`Write::write_all`], so that two are never mixed, and a buffering
/// writer flushes whole requests.
#[derive(Debug)]
pub struct Text<W> {
    writer: W,
    redactor: Redactor,
    clock: Clock,
    /// The request that is being written. It is kept to reuse its memory.
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> Text<W> {
    /// Creates a printer that writes to `writer`, with times in `zone`. If that is [`TimeZone::unknown`], times have
    /// their offset.
    pub fn new(writer: W, redactor: Redactor, zone: TimeZone) -> Self {
        Self { writer, redactor, clock: Clock::new(zone), buffer: Vec::new(), error: None }
    }

    /// Adds `ns` nanoseconds to every time that is printed from now on.
    pub fn shift_times(&mut self, ns: i64) {
        self.clock.shift_ns = ns;
    }

    /// Returns the writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Takes the first error since the last call. Nothing more is written until it is taken.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Prints a request.
    pub fn print(&mut self, connection: &Connection, request: &HttpRequest<'_>) -> io::Result<()> {
        let Self { writer, redactor, clock, buffer: out, .. } = self;
        begin_line(clock, connection, request.time_ns, out)?;
        redactor.method(request.method(), &mut |part| put(out, part));
        out.push(b' ');
        let target = out.len();
        redactor.target(request.target(), &mut |part| put(out, part));
        escape_spaces(out, target);
        if let Some(version) = request.version() {
            write!(out, " HTTP/{version}")?;
        }
        put_marks(connection, request, out)?;
        out.push(b'\n');
        for field in request.fields() {
            out.extend_from_slice(b"    ");
            let name = out.len();
            escape(&redactor.name(field.name), out);
            out.get_mut(name..).unwrap_or_default().make_ascii_lowercase();
            out.extend_from_slice(b": ");
            redactor.value(field.name, field.value, &mut |part| put(out, part));
            out.push(b'\n');
        }
        writer.write_all(out)
    }

    /// Prints the server name and ALPN protocols of a TLS `ClientHello`.
    fn print_tls(&mut self, connection: &Connection, hello: &ClientHello) -> io::Result<()> {
        let Self { writer, clock, buffer: out, .. } = self;
        begin_line(clock, connection, connection.last_ns, out)?;
        out.extend_from_slice(b"TLS");
        if let Some(name) = &hello.server_name {
            out.push(b' ');
            escape(name, out);
        }
        for (number, name) in hello.alpn.iter().enumerate() {
            out.extend_from_slice(if number == 0 { b" (" } else { b", " });
            escape(name, out);
        }
        out.extend_from_slice(if hello.alpn.is_empty() { b"\n" } else { b")\n" });
        writer.write_all(out)
    }

    /// Prints that bytes of a connection arrived twice with different content.
    fn print_conflict(&mut self, connection: &Connection, bytes: u64) -> io::Result<()> {
        let Self { writer, clock, buffer: out, .. } = self;
        begin_line(clock, connection, connection.last_ns, out)?;
        writeln!(out, "conflict: {} arrived again with different content", plural(bytes, "byte"))?;
        writer.write_all(out)
    }

    /// Prints the first bytes of a connection that is neither HTTP/1 nor TLS.
    fn print_other(&mut self, connection: &Connection, reason: NotHttp, preview: &[u8]) -> io::Result<()> {
        let Self { writer, redactor, clock, buffer: out, .. } = self;
        begin_line(clock, connection, connection.last_ns, out)?;
        write!(out, "not HTTP/1 ({}): ", reason.name())?;
        redactor.preview(preview, &mut |part| put(out, part));
        out.push(b'\n');
        writer.write_all(out)
    }
}

/// Appends what the reader should know about a request before believing it.
fn put_marks(connection: &Connection, request: &HttpRequest<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    if request.certainty.resynchronized {
        out.extend_from_slice(b" [resynchronized]");
    }
    match request.incomplete {
        Some(Incomplete { cause: Cause::Gap, gap_bytes }) => {
            write!(out, " [incomplete: gap of {}]", plural(gap_bytes, "byte"))?;
        }
        Some(Incomplete { cause, .. }) => write!(out, " [incomplete: {}]", cause.name())?,
        None => {}
    }
    if let Some(malformation) = request.malformation {
        write!(out, " [malformed: {}]", malformation.name())?;
    }
    if let Some(fault) = request.framing_fault() {
        write!(out, " [{}]", fault.name())?;
    }
    if request.certainty.reopened {
        out.extend_from_slice(b" [reopened]");
    }
    if request.certainty.conflicting {
        out.extend_from_slice(b" [conflicting bytes]");
    }
    if connection.attribution.is_conflicting() {
        out.extend_from_slice(b" [conflicting client]");
    }
    Ok(())
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

/// Appends a part to `out`.
fn put(out: &mut Vec<u8>, part: Part<'_>) {
    match part {
        Part::Shown(bytes) => escape(bytes, out),
        Part::Hidden(mask) => out.extend_from_slice(mask.as_bytes()),
    }
}

/// Begins a line with the time, the client, the server and the peer.
fn begin_line(clock: &mut Clock, connection: &Connection, time_ns: u64, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    clock.write(time_ns, out)?;
    let (client, server, peer) = (connection.client(), connection.server(), connection.peer());
    write!(out, " {client} > {server} (via {peer}) ")
}

impl<W: Write> Sink for Text<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if self.error.is_none() {
            let printed = match event {
                Event::Request(request) => self.print(connection, request),
                Event::Tls(hello) => self.print_tls(connection, hello),
                Event::NotHttp { reason, preview } => self.print_other(connection, *reason, preview),
                Event::Conflict { bytes } => self.print_conflict(connection, *bytes),
                Event::Opened | Event::Proxy(_) | Event::Gap { .. } | Event::Closed(_) => Ok(()),
            };
            self.error = printed.err();
        }
    }
}

/// Writes times of day. The time zone is consulted once per second of output.
#[derive(Debug)]
struct Clock {
    zone: TimeZone,
    /// Nanoseconds that are added to each time.
    shift_ns: i64,
    second: Option<u64>,
    /// `HH:MM:SS` of `second`.
    text: Vec<u8>,
    /// The offset from UTC if a reader cannot know it.
    offset: &'static str,
}

impl Clock {
    fn new(zone: TimeZone) -> Self {
        // An unknown zone acts like UTC.
        let offset = if zone.is_unknown() { "+00:00" } else { "" };
        Self { zone, shift_ns: 0, second: None, text: Vec::new(), offset }
    }

    /// Appends `HH:MM:SS.micros` to `out`, and the offset if the zone is unknown.
    fn write(&mut self, time_ns: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let time_ns = time_ns.saturating_add_signed(self.shift_ns);
        let second = time_ns / SECOND_NS;
        if self.second != Some(second) {
            // 2^64 ns are 585 years, which is within the range of a timestamp.
            let since_epoch = i64::try_from(second).unwrap_or(0);
            let time = Timestamp::from_second(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH);
            let time = self.zone.to_datetime(time);
            self.text.clear();
            write!(self.text, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
            self.second = Some(second);
        }
        out.extend_from_slice(&self.text);
        write!(out, ".{:06}{}", time_ns % SECOND_NS / 1000, self.offset)
    }
}

#[cfg(test)]
mod tests;
