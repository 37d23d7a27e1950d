//! Writes results to stdout, in the format that the user selected.

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

use anyhow::Result;
use log::trace;
use toa_userspace::{
    address::OrUnknown,
    client_table::ClientTable,
    event::Event,
    ledger::losses::Loss,
    live::host::interfaces,
    pipeline::{Sink, connection::Connection, request_limit::FlushSink},
    print::{
        clients,
        json::{InterfaceName, Json},
        ledger::Summary,
        redact::Redactor,
        text::Text,
    },
};

use crate::{
    cli::results::{Format, ResultArgs},
    screen::Screen,
    stderr,
    stdout::{self, Blocked, Stdout},
    time_zone,
};

/// The printer of results.
pub(crate) struct Printer {
    lines: Lines,
    /// Whether requests and connections are printed as they come.
    prints_events: bool,
    /// The clients, if they are counted.
    clients: Option<ClientTable>,
    /// The terminal, if the table is shown while it grows.
    screen: Option<Screen>,
}

/// The formats.
enum Lines {
    /// Text, for people.
    Text(Text<Stdout>),
    /// JSON Lines, for machines.
    Json(Json<Stdout>),
}

impl Printer {
    /// Creates the printer that `args` selects. `interface_name` finds the names of interfaces.
    pub(crate) fn new(args: &ResultArgs, stdout: Stdout, interface_name: InterfaceName) -> Self {
        let redactor = if args.show_secrets { Redactor::show_secrets() } else { Redactor::default() };
        let lines = match args.output {
            Format::Text => Lines::Text(Text::new(stdout, redactor, time_zone::get())),
            Format::Json => Lines::Json(Json::new(stdout, redactor, interfaces::name(), interface_name)),
        };
        let is_live = args.only_clients && matches!(lines, Lines::Text(_)) && io::stdout().is_terminal();
        Self {
            lines,
            prints_events: !args.only_clients,
            clients: (args.only_clients || args.summary_by.is_some()).then(ClientTable::default),
            screen: is_live.then(Screen::default),
        }
    }

    /// Prints what comes last, as of `time_ns` nanoseconds since the Unix epoch: the table of clients if they are counted,
    /// and the ledger if the format has one. Returns the first error since the last flush.
    pub(crate) fn finish(&mut self, summary: &Summary<'_>, time_ns: u64) -> io::Result<()> {
        let Self { lines, clients, .. } = self;
        match (lines, clients) {
            (Lines::Text(text), Some(clients)) => {
                let table = clients::text(clients, usize::MAX);
                text.lines().add(|out| out.extend_from_slice(table.as_bytes()));
            }
            (Lines::Text(_), None) => {}
            (Lines::Json(json), clients) => {
                if let Some(clients) = clients {
                    json.clients(clients, time_ns);
                }
                json.ledger(summary, time_ns);
            }
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
        if let Some(clients) = &mut self.clients {
            clients.event(connection, event);
        }
        match &mut self.lines {
            _ if !self.prints_events => {}
            Lines::Text(text) => text.event(connection, event),
            Lines::Json(json) => json.event(connection, event),
        }
    }
}

/// A connection in a diagnostic: its client, server and peer.
struct Ends<'a>(&'a Connection);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(connection) = self;
        let client = OrUnknown(connection.client());
        write!(f, "{client} > {} (via {})", connection.server(), connection.peer())
    }
}

impl FlushSink for Printer {
    fn flush(&mut self) -> io::Result<()> {
        let lines = match &mut self.lines {
            Lines::Text(text) => text.lines(),
            Lines::Json(json) => json.lines(),
        };
        if let (Some(screen), Some(clients)) = (&mut self.screen, &self.clients)
            && let Some(text) =
                screen.update(Instant::now(), stderr::line_count(), || clients::text(clients, Screen::ROWS))
        {
            lines.add(|out| out.extend_from_slice(text.as_bytes()));
        }
        lines.flush()
    }

    fn shift_times(&mut self, ns: i64) {
        match &mut self.lines {
            Lines::Text(text) => text.shift_times(ns),
            Lines::Json(json) => json.shift_times(ns),
        }
    }

    fn loss(&mut self, loss: &Loss, time_ns: u64) {
        // In text, it is a line on stderr.
        if let (Lines::Json(json), true) = (&mut self.lines, self.prints_events) {
            json.loss(loss, time_ns);
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
