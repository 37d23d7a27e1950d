//! The command `attach`, in phases: prepare, attach, run until something ends it, finish.

pub(crate) mod existing;
mod interfaces;
mod no_match;
mod no_reader;
mod ready_file;
mod rings;
mod run_info;
mod sweep;
mod untrusted;

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context as _, Error, Result, anyhow};
use log::debug;
use toa_common::{config::Config, maps::PINNED, run_info::MAX_INTERFACES, wire::toa_pairs::ToaPairs};
use toa_userspace::{
    ledger::{counters::Snapshot, kernel::KernelLedger},
    live::{
        existing::rights,
        host::{
            clock::{self, WallClock},
            interfaces::interface_name,
            privileges,
            sock_diag::SockDiag,
            tcp,
        },
        maps::{Maps, balancers::Untrusted, bypass::BypassMap, counters::Counters},
        program::{
            attach::{Attached, Target, attach},
            load::{LoadOptions, Loaded},
            log::KernelLog,
        },
        rings::{
            Rings,
            reader::{self, Done},
        },
        runs::{map_id, pins::Pins},
    },
    pipeline::{Pipeline, request_limit::RequestLimit},
    print::{
        count::plural,
        ledger::{Equation, PACKETS_AFTER_GRO, PAYLOAD_BYTES, Summary},
    },
    rule::{Rule, balancers::Balancers},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use existing::{ExistingConnections, SharedFlows, follow_existing};
use interfaces::until_all_removed;
use no_match::report_no_match;
use no_reader::report_no_reader;
use rings::open_rings;
use run_info::publish;
use sweep::sweep;
use untrusted::report_untrusted;

use crate::{
    cli::{attach::AttachArgs, existing::Existing, select::SelectArgs},
    error::UsageError,
    printer::{self, Printer},
    signals::Signals,
    stderr,
    stdout::{self, Blocked, Stdout},
};

/// Runs the command.
pub(crate) fn run(args: AttachArgs) -> Result<()> {
    stderr::start(args.verbose);
    let rules = args.select.watched()?;
    let config = Box::new(args.select.config()?);
    if args.interfaces.len() > MAX_INTERFACES {
        return Err(UsageError(format!("at most {MAX_INTERFACES} interfaces are possible")).into());
    }
    let stdout = stdout::open()?;
    privileges::check()?;
    if let Some(existing) = args.existing {
        rights::check(existing == Existing::Force)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut run = Prepared::new(args, rules, config)?.attach(stdout)?;
        let failure = run.until_done().await;
        run.finish(failure).await
    });
    // Do not wait for a reader that is still blocked in writing.
    runtime.shutdown_background();
    result
}

/// A run before anything is attached.
struct Prepared {
    args: AttachArgs,
    rules: Vec<Rule>,
    config: Box<Config>,
    targets: Vec<Target>,
    loaded: Loaded,
    signals: Signals,
    pins: Option<(Pins, [u32; PINNED.len()])>,
    flows: Arc<SharedFlows>,
    counters: Counters,
    bypass: BypassMap,
    untrusted: Untrusted,
    rings: Rings,
    existing: Option<ExistingConnections>,
}

/// A run that is attached.
struct Run {
    args: AttachArgs,
    config: Box<Config>,
    targets: Vec<Target>,
    attached: Vec<(Target, Attached)>,
    /// Keeps the program loaded.
    _loaded: Loaded,
    signals: Signals,
    results: stdout::Reader,
    pins: Option<Pins>,
    flows: Arc<SharedFlows>,
    counters: Counters,
    untrusted: Untrusted,
    existing: Option<ExistingConnections>,
    reader: JoinHandle<io::Result<(Pipeline<BypassMap>, Printer)>>,
    stop: watch::Sender<bool>,
    done: mpsc::Receiver<Done>,
    /// Why results could not be written.
    unwritten: Option<io::Error>,
}

impl Prepared {
    /// Loads the program, fills its maps, pins them and opens the rings.
    fn new(args: AttachArgs, rules: Vec<Rule>, config: Box<Config>) -> Result<Self> {
        let log_level = log::max_level().to_level().map(|level| match level {
            log::Level::Trace => aya_log::Level::Trace,
            _ => aya_log::Level::Debug,
        });
        let targets = find_targets(&args.interfaces)?;
        let pairs = tcp::ignored_options().into_iter().fold(*config.pairs(), ToaPairs::without_noted);
        let options =
            LoadOptions { config: config.with_pairs(pairs), max_flows: args.bounds.flows, log_level };
        let mut loaded = Loaded::new(targets.iter().map(Target::program), &options)?;
        // Before anything is pinned: a signal that is not handled would leave the pins in place.
        let signals = Signals::new()?;
        if log_level.is_some() {
            tokio::spawn(KernelLog::new(&mut loaded)?.read());
        }
        let pins = pin(&loaded);
        let Maps { mut watch, flows, counters, bypass, mut balancers, untrusted } = Maps::take(&mut loaded)?;
        watch.add(&rules).context("cannot write the rules")?;
        balancers.add(&args.select.balancers)?;
        let rings = open_rings(&loaded, args.ring_size)?;
        let flows = Arc::new(SharedFlows::new(flows));
        let existing = args.existing.map(|_| {
            let balancers = Balancers::new(&args.select.balancers);
            ExistingConnections::new(watch, Arc::clone(&flows), &config, balancers)
        });
        let existing = existing.transpose()?;
        Ok(Self {
            args,
            rules,
            config,
            targets,
            loaded,
            signals,
            pins,
            flows,
            counters,
            bypass,
            untrusted,
            rings,
            existing,
        })
    }

    /// Attaches to all interfaces, reports that, and starts the reader.
    fn attach(self, (stdout, results): (Stdout, stdout::Reader)) -> Result<Run> {
        let Self { args, rules, config, targets, mut loaded, pins, .. } = self;
        let mut attached = Vec::new();
        for target in &targets {
            debug!("{} has index {} and gets {}", target.interface(), target.index(), target.program());
            attached.push((target.clone(), attach(&mut loaded, target)?));
        }
        for (target, attached) in &attached {
            announce(target, attached, &rules);
        }
        let published = pins.as_ref().map(|(pins, ids)| publish(pins, *ids, &attached));
        if let Some(Err(error)) = &published {
            cannot_be_seen(error);
        }
        hint(&args.select, &rules, matches!(published, Some(Ok(()))));
        if let Some(path) = &args.ready_file {
            ready_file::create(path)?;
        }

        let (stop, stopped) = watch::channel(false);
        let (finding, done) = mpsc::channel(1);
        let clock = WallClock::start();
        let pipeline = Pipeline::with_bypass(args.bounds.limits(), clock.offset_ns(), self.bypass);
        let printer = Printer::new(&args.results, stdout, Box::new(interface_name));
        let sink = RequestLimit::new(printer, args.results.count);
        let read = reader::read(self.rings, pipeline, clock, sink, stopped, finding);
        // On a thread of its own: a worker that is blocked in writing could serve neither signals nor timers.
        let handle = Handle::current();
        let reader = tokio::task::spawn_blocking(move || handle.block_on(read));
        Ok(Run {
            args,
            config,
            targets,
            attached,
            _loaded: loaded,
            signals: self.signals,
            results,
            pins: pins.map(|(pins, _)| pins),
            flows: self.flows,
            counters: self.counters,
            untrusted: self.untrusted,
            existing: self.existing,
            reader,
            stop,
            done,
            unwritten: None,
        })
    }
}

impl Run {
    /// Waits until something ends the run. Returns the reason if it is a failure other than of writing results.
    async fn until_done(&mut self) -> Option<Error> {
        let Self { args, config, targets, attached, signals, flows, counters, untrusted, done, .. } = self;
        let pins = self.pins.as_ref();
        tokio::select! {
            () = signals.recv() => None,
            () = elapsed(args.duration) => None,
            () = stdout::reader_gone() => None,
            () = until_all_removed(attached) => Some(anyhow!("no interface is left")),
            never = report_no_match(counters, targets, config.pairs()) => match never {},
            never = report_no_reader(counters) => match never {},
            never = sweep(flows, counters, pins, args.bounds.flows) => match never {},
            never = follow_existing(self.existing.take(), pins) => match never {},
            never = report_untrusted(untrusted), if config.restricts_balancers() => match never {},
            finding = done.recv() => {
                self.unwritten = finding.and_then(Done::error);
                None
            }
        }
    }

    /// Detaches, reads the rest of the rings, and prints the ledger.
    async fn finish(mut self, failure: Option<Error>) -> Result<()> {
        // Detach first, then read the rings, and read the counters last, so that every packet is counted.
        drop(self.attached);
        // The receiver is dropped early only if the reader failed, which is reported below.
        let _ = self.stop.send(true);
        let read = self.signals.join(self.reader, &mut self.results).await;
        drop(self.pins);
        let counters = self.counters.read()?;
        let read = read.and_then(|read| read.context(stdout::GAVE_UP)?.context("cannot read the rings"));
        let (pipeline, mut printer) = match read {
            Ok(read) => read,
            Err(error) => {
                stderr::ledger(half(&counters.ledger()));
                return fail([failure, Some(error)]);
            }
        };
        stderr::ledger(summary(&counters, &pipeline).to_string());
        let last_line = tokio::task::spawn_blocking(move || {
            printer.ledger(&summary(&counters, &pipeline), clock::unix_ns())
        });
        let written = self.signals.join(last_line, &mut self.results).await?;
        // What the reader found too late to end the run.
        let found = || self.done.try_recv().ok().and_then(Done::error);
        let last = || written.map_or_else(|| Some(io::Error::other(Blocked)), Result::err);
        // The first error is the cause of later ones.
        let unwritten = self.unwritten.or_else(found).or_else(last);
        fail([failure, unwritten.and_then(printer::failure)])
    }
}

/// Returns the counts of the whole run.
fn summary<'a>(counters: &'a Snapshot, pipeline: &'a Pipeline<BypassMap>) -> Summary<'a> {
    Summary { counters, pipeline: pipeline.ledger(), examples: pipeline.examples(), after_gro: true }
}

/// Returns the kernel's half of the ledger.
fn half(kernel: &KernelLedger) -> String {
    let (packets, bytes) = (kernel.packets(), kernel.bytes());
    format!(
        "toa-tc: {PACKETS_AFTER_GRO}: {}\ntoa-tc: {PAYLOAD_BYTES}: {}\n\
         toa-tc: the counts of requests, connections and gaps are missing\n",
        Equation(&packets),
        Equation(&bytes)
    )
}

/// Returns the last of these errors, after reporting the others.
fn fail(errors: impl IntoIterator<Item = Option<Error>>) -> Result<()> {
    let mut errors = errors.into_iter().flatten().peekable();
    while let Some(error) = errors.next() {
        if errors.peek().is_none() {
            return Err(error);
        }
        stderr::line(format_args!("{error:#}"));
    }
    Ok(())
}

/// Finds the interfaces. An interface that is named twice, or by two of its names, counts once.
fn find_targets(names: &[String]) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for name in names {
        let target = Target::find(name)?;
        if targets.iter().all(|known| known.index() != target.index()) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// Pins the maps and returns their IDs, or reports why other commands will not see this run.
fn pin(loaded: &Loaded) -> Option<(Pins, [u32; PINNED.len()])> {
    let pinned = || -> Result<_> {
        let pins = Pins::new()?;
        let mut ids = [0; PINNED.len()];
        for (spec, id) in PINNED.iter().zip(&mut ids) {
            let map = loaded.map(spec.name)?;
            *id = map_id(map)?;
            pins.pin(spec.name, map)?;
        }
        Ok((pins, ids))
    };
    pinned().inspect_err(cannot_be_seen).ok()
}

fn cannot_be_seen(error: &Error) {
    stderr::line(format_args!("watch, status and flows will not see this run: {error:#}"));
}

fn announce(target: &Target, attached: &Attached, rules: &[Rule]) {
    let (interface, mode) = (target.interface(), attached.mode.describe());
    stderr::line(format_args!("attached to {interface} ({mode}), {}", plural(rules.len(), "rule")));
}

/// Points out probable mistakes.
fn hint(select: &SelectArgs, rules: &[Rule], can_change: bool) {
    if rules.is_empty() && can_change {
        stderr::line(format_args!("nothing is watched yet: add a client with toa-tc watch add IP"));
    } else if rules.is_empty() {
        stderr::line(format_args!("nothing is watched: give --ip, --port or --any"));
    }
    if !select.any {
        hint_at_listening(&select.client_ports());
    }
}

/// Points out client ports on which this host listens: a port that clients connect to is rarely one that they connect
/// from.
fn hint_at_listening(ports: &[u16]) {
    // If listeners cannot be listed, there is no hint.
    let listeners =
        if ports.is_empty() { Ok(Vec::new()) } else { SockDiag::new().and_then(|mut it| it.listeners()) };
    let listeners = listeners.unwrap_or_default();
    for port in ports.iter().filter(|port| listeners.iter().any(|listener| listener.port == **port)) {
        stderr::line(format_args!(
            "this host listens on port {port}, but --port means the client's port: for connections to port {port}, use \
             --server-port {port} (and --any for every client)"
        ));
    }
}

async fn elapsed(duration: Option<jiff::SignedDuration>) {
    match duration.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}
