//! The command `read`: prints the requests of watched clients from capture files.

mod inputs;
mod progress;

use std::{fs::File, io, os::fd::OwnedFd};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};
use toa_common::config::Config;
use toa_userspace::{
    capture::{LinkNumber, classifier::Selection, replay::Replay},
    pipeline::request_limit::RequestLimit,
    print::{
        count::plural,
        ledger::Summary,
        no_match::{NoMatch, Source},
    },
};

use super::hint_at_ports;
use crate::{
    cli::read::ReadArgs,
    error::NothingFound,
    printer::{self, Lookups, Printer},
    rule_list,
    signals::Signals,
    stderr,
    stdout::{self, Stdout},
};
use inputs::{Inputs, Step};
use progress::Progress;

/// How long a pipe may be silent before streams that wait for their beginning start with what they have.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// No time.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Most unsupported link types that are reported with a line each. A capture has few, unless someone made it up.
const MAX_LINK_TYPES: usize = 8;

/// Runs the command.
pub(crate) fn run(args: ReadArgs) -> Result<()> {
    stderr::start(args.verbosity);
    args.select.check_stdin("FILE", args.files.iter().any(|file| rule_list::is_stdin(file)))?;
    let (config, rules) = (args.select.config()?, args.select.watched()?);
    hint_at_ports(&rules);
    let selection = Selection {
        // Without a rule, everything is of interest.
        config: if rules.is_empty() { config.following_any() } else { config },
        rules,
        balancers: args.select.balancers.clone(),
        max_flows: usize::try_from(args.bounds.flows)?,
    };
    let inputs = Inputs::open(&args.files)?;
    let stdout = stdout::open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(read(args, selection, inputs, stdout));
    // Do not wait for a reader that is still blocked in writing.
    runtime.shutdown_background();
    result
}

async fn read(
    args: ReadArgs,
    selection: Selection,
    inputs: Inputs,
    (stdout, mut results): (Stdout, stdout::Reader),
) -> Result<()> {
    let mut signals = Signals::new(true)?;
    let (stopped, stop) = rustix::pipe::pipe()?;
    // On a thread of its own: it blocks in reading and in writing.
    let mut session =
        tokio::task::spawn_blocking(move || Session::new(&args, selection, inputs, stdout).run(&stopped));
    let ended = tokio::select! {
        ended = &mut session => Some(ended.context("a task failed")?),
        is_interrupt = signals.recv() => {
            if is_interrupt {
                stderr::end_line();
            }
            drop(stop);
            signals.join(session, &mut results).await?
        }
    };
    ended.context(stdout::GAVE_UP)?
}

/// Why reading ended.
enum End {
    /// All captures ended, or the requested number of requests was printed.
    Done,
    /// A signal arrived.
    Interrupted,
    /// The results cannot be written.
    Output(io::Error),
}

/// The replay of captures.
struct Session {
    inputs: Inputs,
    /// Why captures could not be read to their end.
    failures: Vec<anyhow::Error>,
    config: Config,
    replay: Replay,
    sink: RequestLimit<Printer>,
    progress: Option<Progress>,
}

impl Session {
    fn new(args: &ReadArgs, selection: Selection, inputs: Inputs, stdout: Stdout) -> Self {
        let config = selection.config;
        let replay = Replay::new(selection, args.bounds.limits());
        let names = inputs.names();
        let interface_name = Box::new(move |interface| names.get(interface));
        let lookups = Lookups { interface_name, workload: None };
        let printer = Printer::new(&args.results, stdout, lookups, false, None, None);
        let sink = RequestLimit::new(printer, args.results.count);
        let progress = Progress::new(inputs.size());
        Self { inputs, failures: Vec::new(), config, replay, sink, progress }
    }

    /// Reads to the end, or until the other end of `stopped` is closed, and reports the counts.
    fn run(mut self, stopped: &OwnedFd) -> Result<()> {
        let end = self.read(stopped);
        if matches!(end, End::Output(_)) {
            self.sink.silence();
        }
        self.replay.finish(&mut self.sink);
        let flushed = self.sink.flush();
        let Self { inputs, mut failures, config, replay, sink, progress } = self;
        drop(progress);
        let is_nothing = sink.passed() == 0;
        let mut printer = sink.into_inner();
        let summary = Summary {
            counters: replay.counters(),
            pipeline: replay.ledger(),
            examples: replay.examples(),
            evicted: replay.evicted(),
            after_gro: false,
            hidden: printer.hidden(),
            is_unwritten: false,
        };
        let written = flushed.and_then(|()| printer.finish(&summary, replay.now_ns()));
        // The first error is the cause of later ones.
        let (is_interrupted, unwritten) = match end {
            End::Output(error) => (false, Some(error)),
            End::Done => (false, written.err()),
            End::Interrupted => (true, written.err()),
        };
        let is_output_closed = unwritten.is_some();
        let unwritten = unwritten.and_then(printer::failure);
        // Input that is not a capture has no counts.
        if replay.packets() > 0 || failures.is_empty() {
            say(&inputs, &replay, &Summary { is_unwritten: unwritten.is_some(), ..summary });
            say_no_match(&replay, &config);
        }
        let last = failures.pop();
        for failure in failures {
            stderr::error(format_args!("{failure:#}"));
        }
        match last.or(unwritten) {
            Some(failure) => Err(failure),
            None if is_interrupted || is_output_closed => Ok(()),
            None => Ok(NothingFound::check(is_nothing)?),
        }
    }

    fn read(&mut self, stopped: &OwnedFd) -> End {
        loop {
            let Self { inputs, replay, sink, .. } = self;
            match inputs.step(|packet| replay.packet(packet, sink)) {
                Ok(Step::Packet) if sink.is_reached() => return End::Done,
                Ok(Step::Packet) => {}
                Ok(Step::NeedsInput(number)) => {
                    if let Err(end) = self.fill(number, stopped) {
                        return end;
                    }
                }
                Ok(Step::Done) => return End::Done,
                Err(error) => self.failures.push(error),
            }
        }
    }

    /// Reads input for the capture with this number, and prints what is complete if that has to wait.
    fn fill(&mut self, number: usize, stopped: &OwnedFd) -> Result<(), End> {
        let Self { inputs, replay, sink, failures, progress, .. } = self;
        if let Some(progress) = progress {
            progress.show(|| inputs.position(), sink.passed());
        }
        let Some(input) = inputs.get(number) else { return Ok(()) };
        let mut waited = wait(input.file(), stopped, Some(&NOW));
        if let (Ok(Wait::Silent), false) = (&waited, input.is_ready()) {
            sink.flush().map_err(End::Output)?;
            waited = wait(input.file(), stopped, Some(&SILENCE));
        }
        let filled = match waited {
            Ok(Wait::Stopped) => return Err(End::Interrupted),
            Ok(Wait::Ready) => input.fill(),
            Ok(Wait::Silent) if input.is_ready() => input.fill(),
            Ok(Wait::Silent) => {
                replay.idle(sink);
                sink.flush().map_err(End::Output)?;
                if sink.is_reached() {
                    return Err(End::Done);
                }
                match wait(input.file(), stopped, None) {
                    Ok(Wait::Stopped) => return Err(End::Interrupted),
                    Ok(Wait::Ready | Wait::Silent) => input.fill(),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        match filled {
            Ok(0) => failures.extend(inputs.end(number).err()),
            Ok(_) => {}
            Err(error) => failures.push(inputs.fail(number, error)),
        }
        Ok(())
    }
}

/// Reports the counts on stderr.
fn say(inputs: &Inputs, replay: &Replay, summary: &Summary<'_>) {
    stderr::summary(summary);
    if replay.evicted() > 0 {
        let evicted = plural(replay.evicted(), "open connection");
        stderr::warning(format_args!("{evicted} evicted: the table is full (--max-flows)"));
    }
    for ((tunnel, is_read), count) in replay.tunnels().counts() {
        let packets = plural(*count, "packet");
        if *is_read {
            stderr::info(format_args!("{packets} of tunnels ({tunnel}): the packets inside were read"));
        } else {
            stderr::warning(format_args!(
                "{packets} of tunnels ({tunnel}) skipped: the packets inside cannot be read"
            ));
        }
    }
    let skipped = inputs.skipped();
    for (link_type, count) in skipped.iter().take(MAX_LINK_TYPES) {
        let (packets, link_type) = (plural(*count, "packet"), LinkNumber(*link_type));
        stderr::warning(format_args!("{packets} of unsupported link type {link_type} skipped"));
    }
    let further: u64 = skipped.values().skip(MAX_LINK_TYPES).sum();
    if further > 0 {
        stderr::warning(format_args!("{} of further link types skipped", plural(further, "packet")));
    }
}

/// Explains on stderr why nothing has matched, if that is so.
fn say_no_match(replay: &Replay, config: &Config) {
    let counters = replay.counters();
    let mut traffic = counters.traffic();
    let source = if config.follows_any() { Source::CapturesOfAnyFlow } else { Source::Captures };
    let ledger = replay.ledger();
    if ledger.unwatched_connections > 0 && ledger.unwatched_connections == ledger.connections {
        // Whatever was followed had an unwatched client.
        traffic.learned = 0;
    }
    if let Some(no_match) = NoMatch::new(&traffic, source, config.pairs(), replay.clients()) {
        stderr::note(format_args!("{no_match}"));
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

/// Waits until there is input to read, `patience` has passed, or reading must stop: the other end of `stopped` is closed,
/// or that of stdout.
fn wait(input: &File, stopped: &OwnedFd, patience: Option<&Timespec>) -> io::Result<Wait> {
    let stdout = io::stdout();
    let mut descriptors = [
        PollFd::new(input, PollFlags::IN),
        PollFd::new(stopped, PollFlags::IN),
        // Errors are reported even if no event is asked for.
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    let ready = retry_on_intr(|| poll(&mut descriptors, patience))?;
    let [_, stop, gone] = &descriptors;
    Ok(match ready {
        _ if !stop.revents().is_empty() || !gone.revents().is_empty() => Wait::Stopped,
        0 => Wait::Silent,
        _ => Wait::Ready,
    })
}
