//! Responsible for requests as text for people:
//!
//! ```text
//! 12:01:02.123456 120.120.111.111:44208 > 10.9.0.2:80 (via 10.9.0.1:37608) GET /orders?id=7 HTTP/1.1
//!     host: api.example
//! ```
//!
//! Not responsible for machines: fields are escaped and redacted, names in lower case.

use std::io::{self, Write};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    escape::escape,
    redact::{Part, Redactor},
};
use crate::{
    http::head::HttpRequest,
    pipeline::{Event, Sink},
    stream::connection::Connection,
};

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Writes requests as text. Each is one call of [`Write::write_all`], so that two are never mixed, and a
/// writer that buffers flushes whole requests.
#[derive(Debug)]
pub struct Text<W> {
    writer: W,
    redactor: Redactor,
    clock: Clock,
    /// The request being written; kept, so that there is nothing to allocate.
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> Text<W> {
    /// Prints to `writer`, with times in `zone`.
    pub fn new(writer: W, redactor: Redactor, zone: TimeZone) -> Self {
        Self { writer, redactor, clock: Clock::new(zone), buffer: Vec::new(), error: None }
    }

    /// The writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// The first error since the last call. As long as there is one, nothing more is written.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Prints a request.
    pub fn print(&mut self, connection: &Connection, request: &HttpRequest<'_>) -> io::Result<()> {
        let Self { writer, redactor, clock, buffer: out, .. } = self;
        let put = |out: &mut Vec<u8>, part: Part<'_>| match part {
            Part::Shown(bytes) => escape(bytes, out),
            Part::Hidden(mask) => out.extend_from_slice(mask.as_bytes()),
        };
        out.clear();
        clock.write(request.time_ns, out)?;
        let (client, server, peer) = (connection.client(), connection.server(), connection.peer());
        write!(out, " {client} > {server} (via {peer}) ")?;
        escape(request.method(), out);
        out.push(b' ');
        redactor.target(request.target(), &mut |part| put(out, part));
        write!(out, " HTTP/{}", request.version())?;
        if let Some(gap_bytes) = request.incomplete {
            write!(out, " [incomplete: gap of {gap_bytes} bytes]")?;
        }
        if let Some(fault) = request.framing_fault {
            write!(out, " [{}]", fault.name())?;
        }
        out.push(b'\n');
        for field in request.fields() {
            out.extend_from_slice(b"    ");
            let name = out.len();
            escape(field.name, out);
            out.get_mut(name..).unwrap_or_default().make_ascii_lowercase();
            out.extend_from_slice(b": ");
            redactor.value(field.name, field.value, &mut |part| put(out, part));
            out.push(b'\n');
        }
        writer.write_all(out)
    }
}

impl<W: Write> Sink for Text<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if let (Event::Request(request), None) = (event, &self.error) {
            self.error = self.print(connection, request).err();
        }
    }
}

/// Writes times of day. The zone is asked once per second of output.
#[derive(Debug)]
struct Clock {
    zone: TimeZone,
    second: Option<u64>,
    /// `HH:MM:SS` of it.
    text: Vec<u8>,
}

impl Clock {
    fn new(zone: TimeZone) -> Self {
        Self { zone, second: None, text: Vec::new() }
    }

    /// Adds `HH:MM:SS.micros` to `out`.
    fn write(&mut self, time_ns: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let second = time_ns / SECOND_NS;
        if self.second != Some(second) {
            // 2^64 ns are 585 years, which is within what a timestamp can be.
            let since_epoch = i64::try_from(second).unwrap_or(0);
            let time = Timestamp::from_second(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH);
            let time = self.zone.to_datetime(time);
            self.text.clear();
            write!(self.text, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
            self.second = Some(second);
        }
        out.extend_from_slice(&self.text);
        write!(out, ".{:06}", time_ns % SECOND_NS / 1000)
    }
}

#[cfg(test)]
mod tests;
