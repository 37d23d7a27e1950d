//! Diagnostics: lines on stderr that begin with `toa-tc:`, or with `-o json` are objects of the event `message`.
//!
//! While a run lasts, they are written by a thread of their own. If nobody reads stderr, only that thread is blocked, and
//! the run can still end.

mod queue;

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use env_logger::Target;
use log::{Level, LevelFilter};
use rustix::io::{Errno, write};
use toa_userspace::{
    live::host::{clock, interfaces, sandbox},
    print::{
        count::plural,
        escape::printable,
        json::message::{About, Message},
        ledger::Summary,
    },
};

use queue::Queue;

use crate::{cli::verbosity::VerbosityArgs, stdout, terminal};

/// How long a flush waits while nothing is written.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines to write, once the thread has been started.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// How many lines were written, other than those of diagnostics and the ledger.
static LINES: AtomicU64 = AtomicU64::new(0);

/// Whether only failures and losses are written.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// The latest line, and when it was written.
static LATEST: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// The host's name, if messages are written as JSON.
static HOST_NAME: OnceLock<String> = OnceLock::new();

/// Writes messages as JSON from now on.
pub(crate) fn use_json() {
    // Only once, before the first message.
    _ = HOST_NAME.set(interfaces::name());
}

/// Returns how many lines were written, other than those of diagnostics and the ledger.
pub(crate) fn line_count() -> u64 {
    LINES.load(Ordering::Relaxed)
}

/// Writes that something has failed.
pub(crate) fn error(text: fmt::Arguments<'_>) {
    message(Level::Error, text, About::default());
}

/// Writes that something may be missing or is not as the user may want it.
pub(crate) fn warning(text: fmt::Arguments<'_>) {
    message(Level::Warn, text, About::default());
}

/// Writes one line.
pub(crate) fn info(text: fmt::Arguments<'_>) {
    message(Level::Info, text, About::default());
}

/// Writes one line, unless only failures and losses are wanted.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    note_about(text, About::default());
}

/// Like [`note()`], and says in JSON what it is about.
pub(crate) fn note_about(text: fmt::Arguments<'_>, about: About<'_>) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        message(Level::Info, text, about);
    }
}

/// Writes one line, and says in JSON what it is about.
pub(crate) fn message(level: Level, text: fmt::Arguments<'_>, about: About<'_>) {
    LINES.fetch_add(1, Ordering::Relaxed);
    let text = text.to_string();
    push(formatted(level, &text, about));
    *LATEST.lock().unwrap_or_else(PoisonError::into_inner) =
        Some((Instant::now(), printable(&text).into_owned()));
}

/// Returns a line of text, or of JSON.
fn formatted(level: Level, text: &str, about: About<'_>) -> Vec<u8> {
    let text = &printable(text);
    match HOST_NAME.get() {
        None => format!("toa-tc: {text}\n").into_bytes(),
        Some(host_name) => Message { level, text, about }.line(clock::unix_ns(), host_name),
    }
}

/// Ends the line on which the terminal has shown `^C`, so that the next one begins at its start.
pub(crate) fn end_line() {
    let end = b"\n";
    match QUEUE.get() {
        Some(queue) if io::stderr().is_terminal() => queue.end_line(),
        // Nothing can be done if the terminal is gone.
        _ if io::stdout().is_terminal() && stdout::is_writable() => _ = write(io::stdout(), end),
        _ => {}
    }
}

/// Returns whether a line about the progress may be shown: on a terminal that shows nothing else, because the results go to
/// a file. They may be on the terminal if they go through a pipe.
pub(crate) fn shows_progress() -> bool {
    let is_alone = io::stderr().is_terminal() && !terminal::is_dumb() && stdout::is_stored();
    is_alone && !IS_QUIET.load(Ordering::Relaxed) && QUEUE.get().is_some()
}

/// Shows a line about the progress after all others, in place of the one before.
pub(crate) fn progress(text: fmt::Arguments<'_>) {
    if let Some(queue) = QUEUE.get() {
        let (columns, _) = terminal::size_of(io::stderr()).unwrap_or(terminal::USUAL);
        // Without the last column, in which the cursor would not move on.
        queue.show_progress(&terminal::cut(
            &format!("toa-tc: {text}"),
            usize::from(columns).saturating_sub(1),
        ));
    }
}

/// Erases that line.
pub(crate) fn end_progress() {
    if let Some(queue) = QUEUE.get() {
        queue.show_progress("");
    }
}

/// Writes what a run comes to: a sentence, and all counts if something was lost or diagnostics are wanted.
pub(crate) fn summary(summary: &Summary<'_>) {
    let is_quiet = IS_QUIET.load(Ordering::Relaxed);
    let is_verbose = log::max_level() > LevelFilter::Off;
    if !summary.is_lossless() {
        ledger(Level::Warn, &summary.to_string());
    } else if !is_quiet && (is_verbose || !summary.is_whole()) {
        ledger(Level::Info, &summary.to_string());
    } else if !is_quiet {
        ledger(Level::Info, &summary.brief());
    }
}

/// Writes lines that must not be dropped, such as a ledger.
pub(crate) fn ledger(level: Level, lines: &str) {
    let lines = lines.lines().map(|line| line.strip_prefix("toa-tc: ").unwrap_or(line));
    let lines: Vec<u8> = lines.flat_map(|line| formatted(level, line, About::default())).collect();
    match QUEUE.get() {
        Some(queue) => queue.push_in_any_case(lines),
        None => write_all(&lines),
    }
}

/// Writes lines by a thread from now on, and enables the diagnostics that are wanted, ours and the kernel program's.
pub(crate) fn start(verbosity: VerbosityArgs) {
    IS_QUIET.store(verbosity.quiet, Ordering::Relaxed);
    let queue = Arc::new(Queue::new(|dropped| {
        let text = format!("{} not written: stderr was blocked", plural(dropped, "line"));
        formatted(Level::Warn, &text, About::default())
    }));
    let lines = Arc::clone(&queue);
    // If there can be no thread, lines are written directly.
    let write = move || {
        sandbox::enter_thread();
        lines.write_to(write_all)
    };
    if thread::Builder::new().name("stderr".to_owned()).spawn(write).is_ok() {
        _ = QUEUE.set(queue);
    }
    let level = match verbosity.verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new()
        // Only our crates and the kernel program, which share this prefix, and no other libraries.
        .filter_module("toa_", level)
        .format(|out, record| {
            let level = record.level();
            let text = match HOST_NAME.get() {
                None => format!("{}: {}", level.as_str().to_lowercase(), record.args()),
                Some(_) => record.args().to_string(),
            };
            out.write_all(&formatted(level, &text, About::default()))
        })
        .target(Target::Pipe(Box::new(Diagnostics)))
        .init();
}

/// Keeps lines back from now on if stderr is a terminal, because something else fills it.
pub(crate) fn hold() {
    if let (Some(queue), true) = (QUEUE.get(), io::stderr().is_terminal()) {
        queue.flush(PATIENCE);
        queue.hold(true);
    }
}

/// Writes the lines that were kept back, and further ones.
pub(crate) fn release() {
    if let Some(queue) = QUEUE.get() {
        queue.hold(false);
    }
}

/// Returns the latest line that was written with [`message()`] since `start`, without its prefix, and when that was.
pub(crate) fn latest_since(start: Instant) -> Option<(Instant, String)> {
    let latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    latest.as_ref().filter(|(written, _)| *written >= start).cloned()
}

/// Waits until everything is written. Returns false if stderr took nothing for too long.
pub(crate) fn flush() -> bool {
    QUEUE.get().is_none_or(|queue| queue.flush(PATIENCE))
}

/// Where the log writes its lines.
struct Diagnostics;

impl Write for Diagnostics {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one line, or drops it if too much is waiting.
fn push(line: Vec<u8>) {
    match QUEUE.get() {
        Some(queue) => queue.push(line),
        None => write_all(&line),
    }
}

/// Writes to stderr without the lock of the standard library, which a blocked thread would keep.
fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(io::stderr(), bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Nothing can be done if stderr is gone.
            Err(_) => return,
        }
    }
}
