//! The command `read`: prints the requests of watched clients from a capture file.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use toa_common::{config::Config, counters::Counter};
use toa_userspace::{
    capture::{classifier::Selection, replay::Replay},
    pipeline::request_limit::RequestLimit,
    print::{
        count::plural,
        ledger::Summary,
        no_match::{NoMatch, Source},
    },
};

use crate::{
    cli::read::ReadArgs,
    error::UsageError,
    printer::{self, Printer},
    signals::Signals,
    stderr,
};

/// How long a pipe may be silent before streams that wait for their beginning start with what they have.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Runs the command.
pub(crate) fn run(args: ReadArgs) -> Result<()> {
    stderr::start_log(args.verbose);
    let selection = Selection {
        config: args.select.config()?,
        rules: args.select.watched()?,
        balancers: args.select.balancers.clone(),
        any_flow: args.any_flow,
        max_flows: usize::try_from(args.bounds.flows)?,
    };
    if selection.rules.is_empty() && !selection.any_flow {
        return Err(
            UsageError("nothing is watched: give --ip, --port, --any or --any-flow".to_owned()).into()
        );
    }
    let input = open(&args.file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(read(args, selection, input));
    // Do not wait for a reader that is still blocked in writing.
    runtime.shutdown_background();
    result
}

/// Opens a capture, or stdin for `-`.
fn open(path: &Path) -> Result<File> {
    if path != Path::new("-") {
        return File::open(path).with_context(|| format!("cannot open {}", path.display()));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(UsageError("stdin is a terminal, not a capture".to_owned()).into());
    }
    Ok(File::from(stdin.as_fd().try_clone_to_owned().context("cannot read stdin")?))
}

async fn read(args: ReadArgs, selection: Selection, input: File) -> Result<()> {
    let mut signals = Signals::new()?;
    let (stopped, stop) = rustix::pipe::pipe()?;
    // On a thread of its own: it blocks in reading and in writing.
    let mut session =
        tokio::task::spawn_blocking(move || Session::new(&args, selection, input).run(&stopped));
    let ended = tokio::select! {
        ended = &mut session => Some(ended.context("a task failed")?),
        () = signals.recv() => {
            drop(stop);
            signals.join_within_grace(session).await?
        }
    };
    ended.unwrap_or_else(|| {
        printer::gave_up();
        Ok(())
    })
}

/// Why reading ended.
enum End {
    /// The capture ended, or the requested number of requests was printed.
    Done,
    /// A signal arrived.
    Interrupted,
    /// The results cannot be written.
    Output(io::Error),
    /// The capture cannot be read any further.
    Failed(anyhow::Error),
}

/// The replay of one capture.
struct Session {
    path: PathBuf,
    input: File,
    config: Config,
    replay: Replay,
    sink: RequestLimit<Printer>,
}

impl Session {
    fn new(args: &ReadArgs, selection: Selection, input: File) -> Self {
        let config = selection.config;
        let replay = Replay::new(selection, args.bounds.limits());
        let names = replay.names();
        let printer = Printer::new(&args.results, Box::new(move |interface| names.get(interface)));
        let sink = RequestLimit::new(printer, args.results.count);
        Self { path: args.file.clone(), input, config, replay, sink }
    }

    /// Reads to the end, or until the other end of `stopped` is closed, and reports the counts.
    fn run(mut self, stopped: &OwnedFd) -> Result<()> {
        let end = self.read(stopped);
        if matches!(end, End::Output(_)) {
            self.sink.silence();
        }
        self.replay.finish(&mut self.sink);
        let flushed = self.sink.flush();
        let Self { config, replay, sink, .. } = self;
        let (kernel, mut printer) = (replay.counters().ledger(), sink.into_inner());
        let summary = Summary { kernel: &kernel, pipeline: replay.ledger(), after_gro: false };
        // Input that is not a capture has no counts.
        if replay.packets() > 0 || !matches!(end, End::Failed(_)) {
            say(&replay, &summary, &config);
        }
        let written = flushed.and_then(|()| printer.ledger(&summary, replay.now_ns()));
        match (end, written) {
            (End::Failed(error), _) => Err(error),
            (End::Output(error), _) | (End::Done | End::Interrupted, Err(error)) => {
                printer::failure(error).map_or(Ok(()), Err)
            }
            (End::Done | End::Interrupted, Ok(())) => Ok(()),
        }
    }

    fn read(&mut self, stopped: &OwnedFd) -> End {
        let Self { path, input, replay, sink, .. } = self;
        let context = || format!("cannot read {}", path.display());
        loop {
            loop {
                match replay.step(sink) {
                    Ok(_) if sink.is_reached() => return End::Done,
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return End::Failed(anyhow::Error::new(error).context(context())),
                }
            }
            if let Err(error) = sink.flush() {
                return End::Output(error);
            }
            let filled = match wait(input, stopped, Some(&SILENCE)) {
                Ok(Wait::Ready) => replay.fill(input),
                Ok(Wait::Stopped) => return End::Interrupted,
                Ok(Wait::Silent) => {
                    replay.idle(sink);
                    if let Err(error) = sink.flush() {
                        return End::Output(error);
                    }
                    if sink.is_reached() {
                        return End::Done;
                    }
                    match wait(input, stopped, None) {
                        Ok(Wait::Stopped) => return End::Interrupted,
                        Ok(Wait::Ready | Wait::Silent) => replay.fill(input),
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            };
            match filled {
                Ok(0) => {
                    let end = replay.end().map_err(|error| anyhow::Error::new(error).context(context()));
                    return end.map_or_else(End::Failed, |()| End::Done);
                }
                Ok(_) => {}
                Err(error) => return End::Failed(anyhow::Error::new(error).context(context())),
            }
        }
    }
}

/// Reports the counts on stderr.
fn say(replay: &Replay, summary: &Summary<'_>, config: &Config) {
    // Nothing can be done if stderr is gone.
    _ = io::stderr().write_all(summary.to_string().as_bytes());
    let counters = replay.counters();
    for (count, noun, what) in [
        (replay.evicted(), "connection", "evicted: the table is full (--max-flows)"),
        (
            counters.get(Counter::Fragment),
            "IP fragment",
            "skipped: only the first of a packet has a TCP header",
        ),
        (counters.get(Counter::Truncated), "packet", "skipped: headers not fully captured"),
        (counters.get(Counter::Malformed), "packet", "skipped: lengths contradict each other"),
        (counters.get(Counter::ExtensionHeaders), "packet", "skipped: too many IPv6 extension headers"),
    ] {
        if count > 0 {
            stderr::line(format_args!("{} {what}", plural(count, noun)));
        }
    }
    if let Some(no_match) = NoMatch::new(&counters.traffic(), Source::Capture, config.pairs()) {
        stderr::line(format_args!("{no_match}"));
    }
}

/// Why waiting ended.
enum Wait {
    /// There is input to read, or the input has ended.
    Ready,
    /// Reading must stop.
    Stopped,
    /// There was no input for long enough.
    Silent,
}

/// Waits until there is input to read, the other end of `stopped` is closed, or `patience` has passed.
fn wait(input: &File, stopped: &OwnedFd, patience: Option<&Timespec>) -> io::Result<Wait> {
    let mut descriptors = [PollFd::new(input, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    let ready = loop {
        match poll(&mut descriptors, patience) {
            Err(Errno::INTR) => {}
            ready => break ready?,
        }
    };
    let [_, stop] = &descriptors;
    Ok(match ready {
        _ if !stop.revents().is_empty() => Wait::Stopped,
        0 => Wait::Silent,
        _ => Wait::Ready,
    })
}
