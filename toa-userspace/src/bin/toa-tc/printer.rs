//! Writes results to stdout, in the format that the user selected.

use std::{
    env,
    error::Error,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

use anyhow::Result;
use jiff::tz::TimeZone;
use log::trace;
use regex::bytes::Regex;
use toa_userspace::{
    address::OrUnknown,
    event::Event,
    http::head::HttpRequest,
    ledger::losses::Loss,
    live::host::interfaces,
    pipeline::{Sink, connection::Connection, request_limit::FlushSink},
    print::{
        clock::TimeForm,
        field_choice::FieldChoice,
        group_by::GroupBy,
        hidden::Hidden,
        interfaces::InterfaceName,
        json::Json,
        ledger::Summary,
        once::Once,
        redact::Redactor,
        summary_table::SummaryTable,
        text::{Layout, Text},
        view::View,
    },
    workload::WorkloadOf,
};

use crate::{
    capture_file::{CaptureFile, NotWritten},
    cli::results::{Color, Format, ResultArgs, Shown, Time},
    otlp::Queue,
    screen::Screen,
    stderr,
    stdout::{self, Blocked, Stdout},
    terminal, time_zone,
    top::Top,
};

/// Most rows of a table in text, which is for people. JSON has all.
const MAX_ROWS: usize = 1000;

/// The printer of results.
pub(crate) struct Printer {
    lines: Lines,
    scope: Scope,
    /// What the heads of wanted requests match.
    grep: Option<Regex>,
    /// The groups of which only the first request is printed.
    once: Option<Once>,
    hidden: Hidden,
    tables: Vec<SummaryTable>,
    /// The terminal, if the first table is shown while it grows.
    screen: Option<Screen>,
    /// The same on the whole terminal.
    top: Option<Top>,
    capture: Option<CaptureFile>,
    /// What also gets the requests.
    otlp: Option<Json<Queue>>,
}

/// The formats.
enum Lines {
    /// Text, for people.
    Text(Text<Stdout>),
    /// JSON Lines, for machines.
    Json(Json<Stdout>),
}

/// What is printed as it comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
enum Scope {
    /// Requests and what else happens on connections.
    Everything,
    /// Requests that were chosen.
    Requests,
    /// Nothing but tables at the end.
    Tables,
    /// A capture, and nothing else.
    Packets,
}

/// What is found out about a connection when it is printed.
pub(crate) struct Lookups {
    /// Finds the names of interfaces.
    pub(crate) interface_name: InterfaceName,
    /// Finds the workloads of servers, if they are on this host.
    pub(crate) workload: Option<WorkloadOf>,
}

impl Printer {
    /// Creates the printer that `args` selects. The names of interfaces are printed in text if there may be several. Requests
    /// are also written to the queue `otlp`.
    pub(crate) fn new(
        args: &ResultArgs,
        stdout: Stdout,
        lookups: Lookups,
        has_several_interfaces: bool,
        capture: Option<CaptureFile>,
        otlp: Option<(Queue, Lookups)>,
    ) -> Self {
        let redactor = if args.show_secrets { Redactor::show_secrets() } else { Redactor::default() };
        let redactor = args.redact.iter().fold(redactor, |redactor, name| redactor.with_name(name));
        let fields = FieldChoice::new(args.headers.clone(), args.not_headers.clone());
        let table = |by: GroupBy| SummaryTable::new(by, redactor.clone());
        let client = (args.shown == Shown::Clients).then(GroupBy::client);
        let tables = client.into_iter().chain(args.summary_by.iter().cloned()).map(table).collect();
        let once = args.once_by.clone().map(|by| Once::new(by, redactor.clone()));
        let scope = match () {
            () if capture.as_ref().is_some_and(CaptureFile::is_stdout) => Scope::Packets,
            () if args.shown != Shown::Requests => Scope::Tables,
            () if args.grep.is_some() || once.is_some() => Scope::Requests,
            () => Scope::Everything,
        };
        let view = View { redactor, fields };
        let otlp = otlp.map(|(queue, Lookups { interface_name, workload })| {
            Json::new(queue, view.clone(), interfaces::name(), interface_name, workload)
        });
        let Lookups { interface_name, workload } = lookups;
        let lines = if args.output == Format::Json {
            Lines::Json(Json::new(stdout, view, interfaces::name(), interface_name, workload))
        } else {
            let layout = Layout {
                time: time_form(args.time),
                is_one_line: args.output == Format::Oneline,
                is_colored: is_colored(args.color),
                interface_name: has_several_interfaces.then_some(interface_name),
            };
            Lines::Text(Text::new(stdout, view, layout))
        };
        let screen = is_replacing(args).then(Screen::default);
        Self {
            lines,
            scope,
            grep: args.grep.clone(),
            once,
            hidden: Hidden::default(),
            tables,
            screen,
            top: None,
            capture,
            otlp,
        }
    }

    /// Shows the first table on the whole terminal while it grows, if `top` is given.
    pub(crate) fn with_top(self, top: Option<Top>) -> Self {
        Self { top, ..self }
    }

    /// Returns how many requests were not printed.
    pub(crate) fn hidden(&self) -> Hidden {
        self.hidden
    }

    /// Ends the table that was shown while it grew: the last one takes its place.
    pub(crate) fn end_screen(&mut self) {
        if let (Some(screen), Lines::Text(text)) = (self.screen.take(), &mut self.lines) {
            let end = screen.end(stderr::line_count(), terminal::size());
            text.lines().add(|out| out.extend_from_slice(end.as_bytes()));
            // What fails here also fails when the last table is written.
            let _ = text.lines().flush();
        }
    }

    /// Prints what comes last, as of `time_ns` nanoseconds since the Unix epoch: the tables, and the ledger if the format has
    /// one. Returns the first error since the last flush.
    pub(crate) fn finish(&mut self, summary: &Summary<'_>, time_ns: u64) -> io::Result<()> {
        let Self { lines, tables, scope, capture, .. } = self;
        if let Some(capture) = capture {
            capture.finish(summary, time_ns);
        }
        match lines {
            _ if *scope == Scope::Packets => {}
            Lines::Text(text) => {
                for (number, table) in tables.iter().enumerate() {
                    let table = text.summary(table, MAX_ROWS);
                    let is_first = number == 0 && *scope == Scope::Tables;
                    text.lines().add(|out| {
                        out.extend_from_slice(if is_first { b"" } else { b"\n" });
                        out.extend_from_slice(table.as_bytes());
                    });
                }
            }
            Lines::Json(json) => {
                for table in tables {
                    json.summary(table, time_ns);
                }
                json.ledger(summary, time_ns);
            }
        }
        self.flush()
    }
}

/// Returns whether the table is shown while it grows: each time in place of the one before, among other lines.
pub(crate) fn is_replacing(args: &ResultArgs) -> bool {
    let is_text = args.output != Format::Json;
    args.shown == Shown::Clients && is_text && io::stdout().is_terminal() && !terminal::is_dumb()
}

/// Returns the form of times in text.
fn time_form(time: Option<Time>) -> TimeForm {
    match time {
        None => TimeForm::OfDay(time_zone::get()),
        Some(Time::Local) => TimeForm::DateTime(time_zone::get()),
        Some(Time::Utc) => TimeForm::DateTime(TimeZone::UTC),
        Some(Time::Epoch) => TimeForm::Epoch,
        Some(Time::Delta) => TimeForm::Delta(time_zone::get()),
    }
}

/// Returns whether text is colored. For `NO_COLOR`, see no-color.org; a terminal of the type `dumb` has no colors.
fn is_colored(color: Color) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal() && !is_set("NO_COLOR") && !terminal::is_dumb(),
    }
}

impl Sink for Printer {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        let ends = Ends(connection);
        match event {
            Event::Opened => trace!("{ends}: open"),
            Event::Gap { bytes } => trace!("{ends}: gap of {bytes} bytes"),
            // Without the preview: diagnostics are not redacted.
            Event::NotHttp { reason, .. } => trace!("{ends}: not HTTP ({reason:?})"),
            Event::Closed(reason) => trace!("{ends}: closed ({})", reason.name()),
            Event::Proxy(version) => trace!("{ends}: PROXY protocol ({version:?})"),
            Event::Request(request) => {
                self.request(connection, request);
                return;
            }
            // The others are results, not diagnostics.
            _ => {}
        }
        self.tables.iter_mut().for_each(|table| table.event(connection, event));
        if self.scope == Scope::Everything {
            self.lines.event(connection, event);
        }
    }
}

impl Sink for Lines {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
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
        let client = OrUnknown(connection.client());
        write!(f, "{client} > {} (via {})", connection.server(), connection.peer())
    }
}

impl FlushSink for Printer {
    fn flush(&mut self) -> io::Result<()> {
        if let (Some(screen), Some(table), Lines::Text(text)) =
            (&mut self.screen, self.tables.first(), &mut self.lines)
            && let Some(shown) =
                screen.update(Instant::now(), stderr::line_count(), terminal::size(), |rows| {
                    text.summary(table, rows)
                })
        {
            text.lines().add(|out| out.extend_from_slice(shown.as_bytes()));
        }
        let drawn = match (&mut self.top, self.tables.first()) {
            (Some(top), Some(table)) => top.update(table),
            _ => Ok(()),
        };
        let capture = self.capture.as_mut().map_or(Ok(()), |capture| {
            capture.flush(|bytes| match &mut self.lines {
                Lines::Text(text) => text.lines().add(|out| out.extend_from_slice(bytes)),
                Lines::Json(json) => json.lines().add(|out| out.extend_from_slice(bytes)),
            })
        });
        let lines = match &mut self.lines {
            Lines::Text(text) => text.lines().flush(),
            Lines::Json(json) => json.lines().flush(),
        };
        if let Some(otlp) = &mut self.otlp {
            // It takes everything.
            let _ = otlp.lines().flush();
        }
        drawn.and(lines).and(capture)
    }

    fn packet(&mut self, sample: &[u8], clock_offset_ns: u64) {
        if let Some(capture) = &mut self.capture {
            capture.packet(sample, clock_offset_ns);
        }
    }

    fn shift_times(&mut self, ns: i64) {
        if let Some(top) = &mut self.top {
            top.shift_times(ns);
        }
        match &mut self.lines {
            Lines::Text(text) => text.shift_times(ns),
            Lines::Json(json) => json.shift_times(ns),
        }
        if let Some(otlp) = &mut self.otlp {
            otlp.shift_times(ns);
        }
    }

    fn loss(&mut self, loss: &Loss, time_ns: u64) {
        if let Some(top) = &mut self.top {
            top.loss(loss);
        }
        // In other text, it is a line on stderr.
        if let (Lines::Json(json), true) = (&mut self.lines, self.scope < Scope::Tables) {
            json.loss(loss, time_ns);
        }
    }

    fn request(&mut self, connection: &Connection, request: &HttpRequest<'_>) -> bool {
        if self.grep.as_ref().is_some_and(|regex| !regex.is_match(request.raw())) {
            self.hidden.grep = self.hidden.grep.saturating_add(1);
            return false;
        }
        let event = Event::Request(request);
        self.tables.iter_mut().for_each(|table| table.event(connection, &event));
        if self.once.as_mut().is_some_and(|once| !once.is_first(connection, request)) {
            self.hidden.once_by = self.hidden.once_by.saturating_add(1);
            return false;
        }
        if self.scope < Scope::Tables {
            self.lines.event(connection, &event);
        }
        if let Some(otlp) = &mut self.otlp {
            otlp.event(connection, &event);
        }
        true
    }
}

/// Converts an error of writing to stdout. A closed pipe is not an error.
pub(crate) fn failure(error: io::Error) -> Option<anyhow::Error> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return None;
    }
    if let Some(NotWritten { .. }) = error.get_ref().and_then(|error| error.downcast_ref()) {
        return Some(error.into());
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
