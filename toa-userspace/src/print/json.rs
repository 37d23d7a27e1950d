//! Results as JSON Lines for machines: one object per line, as described by `schema/toa-tc.schema.json`.
//!
//! Text that a client chose (method, target, names, values, preview) is escaped as in the text format, even where JSON
//! could carry it: `\xNN` for every byte that is not printable UTF-8, `\\` for a backslash. So a decoded line cannot
//! act on a terminal either, and the original bytes can be recovered. The text is also redacted as in the text format.

mod event;
mod head;
pub mod value;

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use super::redact::Redactor;
use crate::{
    event::Event,
    pipeline::{Sink, connection::Connection},
    print::ledger::Summary,
};
use event::{Common, ConflictFields, ConnectionFields, GapFields, Ledger, RequestFields, State, TlsFields};
use value::Protocol;

/// A function that finds the name of an interface by its index. It is called once per index, or again if very many are in use.
pub type InterfaceName = Box<dyn FnMut(u32) -> Option<String> + Send>;

/// Writes results as JSON Lines. Each line is one call of [`Write::write_all`], so that two are never mixed, and a
/// buffering writer flushes whole lines.
pub struct Json<W> {
    writer: W,
    redactor: Redactor,
    host_name: String,
    interfaces: Interfaces,
    /// Nanoseconds that are added to the time of each event.
    shift_ns: i64,
    /// The redacted target or preview. It is kept to reuse its memory.
    target: String,
    /// The line that is being written, kept for the same reason.
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> Json<W> {
    /// Creates a printer that writes to `writer`.
    pub fn new(writer: W, redactor: Redactor, host_name: String, interface_name: InterfaceName) -> Self {
        Self {
            writer,
            redactor,
            host_name,
            interfaces: Interfaces { lookup: interface_name, known: Vec::new() },
            shift_ns: 0,
            target: String::new(),
            buffer: Vec::new(),
            error: None,
        }
    }

    /// Adds `ns` nanoseconds to the time of every event that is printed from now on.
    pub fn shift_times(&mut self, ns: i64) {
        self.shift_ns = ns;
    }

    /// Returns the writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Takes the first error since the last call. Nothing more is written until it is taken.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Prints the ledger, which must be the last line, as of `time_ns` nanoseconds since the Unix epoch.
    pub fn ledger(&mut self, summary: &Summary<'_>, time_ns: u64) {
        let Self { writer, host_name, buffer, error, .. } = self;
        print(writer, buffer, error, &Ledger::new(summary, time_ns, host_name));
    }
}

/// Prints one line, unless an earlier one failed.
fn print(
    writer: &mut impl Write,
    buffer: &mut Vec<u8>,
    error: &mut Option<io::Error>,
    event: &impl Serialize,
) {
    if error.is_none() {
        buffer.clear();
        let line = serde_json::to_writer(&mut *buffer, event).map_err(io::Error::from);
        buffer.push(b'\n');
        *error = line.and_then(|()| writer.write_all(buffer)).err();
    }
}

impl<W: Write> Sink for Json<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let Self { writer, redactor, host_name, interfaces, shift_ns, target, buffer, error } = self;
        let interface = interfaces.name(connection.interface_index);
        let time_ns = match event {
            Event::Opened => connection.first_ns,
            Event::Request(request) => request.time_ns,
            _ => connection.last_ns,
        };
        let time_ns = time_ns.saturating_add_signed(*shift_ns);
        let protocol = match event {
            Event::Request(request) => Some(Protocol { name: "http", version: request.version() }),
            _ => None,
        };
        let common = &Common::new(connection, time_ns, host_name, interface, protocol);
        let mut state = |state: &State<'_>| {
            let fields = ConnectionFields::new(common, connection, state);
            print(writer, buffer, error, &common.line("connection", fields));
        };
        match event {
            Event::Opened => state(&State::Opened),
            Event::Proxy(version) => state(&State::Proxy(*version)),
            Event::Closed(reason) => state(&State::Closed(*reason)),
            Event::NotHttp { reason, preview } => {
                head::redact_preview(redactor, preview, target);
                state(&State::NotHttp { reason: *reason, preview: target });
            }
            Event::Request(request) => {
                head::redact_target(redactor, request.target(), target);
                let fields = RequestFields::new(common, connection, request, redactor, target);
                print(writer, buffer, error, &common.line("request", fields));
            }
            Event::Conflict { bytes } => {
                let fields = ConflictFields::new(common, connection, *bytes);
                print(writer, buffer, error, &common.line("conflict", fields));
            }
            Event::Gap { bytes } => {
                print(writer, buffer, error, &common.line("gap", GapFields::new(common, connection, *bytes)));
            }
            Event::Tls(hello) => {
                print(writer, buffer, error, &common.line("tls", TlsFields::new(common, connection, hello)));
            }
        }
    }
}

impl<W: fmt::Debug> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("writer", &self.writer).finish_non_exhaustive()
    }
}

/// A cache of the names of interfaces. There are few, so a linear search is enough.
struct Interfaces {
    lookup: InterfaceName,
    known: Vec<(u32, Option<String>)>,
}

/// Maximum number of names in the cache. A host has few interfaces; if they come and go, names are looked up again.
const MAX_NAMES: usize = 256;

impl Interfaces {
    fn name(&mut self, index: u32) -> Option<&str> {
        let position = self.known.iter().position(|(known, _)| *known == index);
        let position = position.unwrap_or_else(|| {
            if self.known.len() >= MAX_NAMES {
                self.known.clear();
            }
            self.known.push((index, (self.lookup)(index)));
            self.known.len().saturating_sub(1)
        });
        self.known.get(position).and_then(|(_, name)| name.as_deref())
    }
}

#[cfg(test)]
mod tests;
