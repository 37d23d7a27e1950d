//! Writes results to stdout, in the format that the user selected.

use std::{
    error::Error,
    fmt,
    io::{self, BufWriter, Write as _},
};

use anyhow::Result;
use log::trace;
use toa_userspace::{
    event::Event,
    live::host::interfaces,
    pipeline::{Sink, connection::Connection, request_limit::FlushSink},
    print::{
        json::{InterfaceName, Json},
        ledger::Summary,
        redact::Redactor,
        text::Text,
    },
};

use crate::{
    cli::results::{Format, ResultArgs},
    stdout::{self, Blocked, Stdout},
    time_zone,
};

/// The printer of results.
pub(crate) enum Printer {
    /// Text, for people.
    Text(Text<BufWriter<Stdout>>),
    /// JSON Lines, for machines.
    Json(Json<BufWriter<Stdout>>),
}

impl Printer {
    /// Creates the printer that `args` selects. `interface_name` finds the names of interfaces.
    pub(crate) fn new(args: &ResultArgs, stdout: Stdout, interface_name: InterfaceName) -> Self {
        let redactor = if args.show_secrets { Redactor::show_secrets() } else { Redactor::default() };
        // Large enough for the output of one round of reading, after which it is flushed.
        let stdout = BufWriter::with_capacity(1 << 16, stdout);
        match args.output {
            Format::Text => Self::Text(Text::new(stdout, redactor, time_zone::get())),
            Format::Json => Self::Json(Json::new(stdout, redactor, interfaces::name(), interface_name)),
        }
    }

    /// Prints the ledger as the last line, if the format has one, as of `time_ns` nanoseconds since the Unix epoch.
    /// Returns the first error since the last flush.
    pub(crate) fn ledger(&mut self, summary: &Summary<'_>, time_ns: u64) -> io::Result<()> {
        if let Self::Json(json) = self {
            json.ledger(summary, time_ns);
        }
        self.flush()
    }
}

impl Sink for Printer {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let ends = Ends(connection);
        match event {
            Event::Opened => trace!("{ends}: open"),
            Event::Gap { bytes } => trace!("{ends}: gap of {bytes} bytes"),
            // Without the preview: diagnostics are not redacted.
            Event::NotHttp { reason, .. } => trace!("{ends}: not HTTP/1 ({reason:?})"),
            Event::Closed(reason) => trace!("{ends}: closed ({})", reason.name()),
            Event::Proxy(version) => trace!("{ends}: PROXY protocol ({version:?})"),
            // The others are results, not diagnostics.
            _ => {}
        }
        match self {
            Self::Text(text) => text.event(connection, event),
            Self::Json(json) => json.event(connection, event),
        }
    }
}

/// A connection in a diagnostic: its client, server and peer.
struct Ends<'a>(&'a Connection);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(connection) = self;
        write!(f, "{} > {} (via {})", connection.client(), connection.server(), connection.peer())
    }
}

impl FlushSink for Printer {
    fn flush(&mut self) -> io::Result<()> {
        let (error, writer) = match self {
            Self::Text(text) => (text.take_error(), text.writer()),
            Self::Json(json) => (json.take_error(), json.writer()),
        };
        error.map_or_else(|| writer.flush(), Err)
    }

    fn shift_times(&mut self, ns: i64) {
        match self {
            Self::Text(text) => text.shift_times(ns),
            Self::Json(json) => json.shift_times(ns),
        }
    }
}

/// Converts an error of writing to stdout. A closed pipe is not an error.
pub(crate) fn failure(error: io::Error) -> Option<anyhow::Error> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return None;
    }
    let is_blocked = error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Blocked>);
    let error = anyhow::Error::new(error);
    Some(if is_blocked { error } else { error.context("cannot write to stdout") })
}

/// Writes results; a closed pipe is not an error.
pub(crate) fn print(text: &str) -> Result<()> {
    stdout::check()?;
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to stdout"))
        }
        _ => Ok(()),
    }
}
