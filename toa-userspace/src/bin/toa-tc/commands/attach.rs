//! The command `attach`, in phases: prepare, attach, run until something ends it, finish.

pub(crate) mod existing;
mod interfaces;
mod no_match;
mod run_info;
mod sweep;
mod untrusted;

use std::{
    fs,
    io::{self, Write as _},
    os::fd::AsFd as _,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use aya::maps::Map;
use log::debug;
use toa_common::{config::Config, maps::PINNED};
use toa_userspace::{
    ledger::Ledger,
    live::{
        existing::rights,
        host::{clock, interfaces::interface_name, privileges, sock_diag::SockDiag},
        maps::{Maps, balancers::Untrusted, bypass::BypassMap, counters::Counters},
        program::{
            attach::{Attached, Target, attach},
            load::{LoadOptions, Loaded},
            log::KernelLog,
        },
        rings::{
            self, PerfError, Rings,
            reader::{self, Done},
        },
        runs::{map_id, pins::Pins},
    },
    pipeline::{Pipeline, request_limit::RequestLimit},
    print::{count::plural, ledger::Summary},
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
use run_info::publish;
use sweep::sweep;
use untrusted::report_untrusted;

use crate::{
    cli::{attach::AttachArgs, existing::Existing, select::SelectArgs},
    printer::{self, Printer},
    signals::Signals,
    stderr,
};

/// Runs the command.
pub(crate) fn run(args: AttachArgs) -> Result<()> {
    stderr::start_log(args.verbose);
    let rules = args.select.watched()?;
    let config = Box::new(args.select.config()?);
    privileges::check()?;
    if let Some(existing) = args.existing {
        rights::check(existing == Existing::Force)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut run = Prepared::new(args, rules, config)?.attach()?;
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
    pins: Option<Pins>,
    flows: Arc<SharedFlows>,
    counters: Counters,
    untrusted: Untrusted,
    existing: Option<ExistingConnections>,
    reader: JoinHandle<io::Result<(Ledger, Printer)>>,
    stop: watch::Sender<bool>,
    done: mpsc::Receiver<Done>,
    clock_offset_ns: u64,
}

impl Prepared {
    /// Loads the program, fills its maps, pins them and opens the rings.
    fn new(args: AttachArgs, rules: Vec<Rule>, config: Box<Config>) -> Result<Self> {
        let log_level = log::max_level().to_level().map(|level| match level {
            log::Level::Trace => aya_log::Level::Trace,
            _ => aya_log::Level::Debug,
        });
        let targets = find_targets(&args.interfaces)?;
        let options = LoadOptions { config: *config, max_flows: args.bounds.flows, log_level };
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
    fn attach(self) -> Result<Run> {
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
            fs::write(path, b"").with_context(|| format!("cannot create {}", path.display()))?;
        }

        let (stop, stopped) = watch::channel(false);
        let (finding, done) = mpsc::channel(1);
        let clock_offset_ns = clock::unix_offset_ns();
        let pipeline = Pipeline::with_bypass(args.bounds.limits(), clock_offset_ns, self.bypass);
        let printer = Printer::new(&args.results, Box::new(interface_name));
        let sink = RequestLimit::new(printer, args.results.count);
        let read = reader::read(self.rings, pipeline, clock_offset_ns, sink, stopped, finding);
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
            pins: pins.map(|(pins, _)| pins),
            flows: self.flows,
            counters: self.counters,
            untrusted: self.untrusted,
            existing: self.existing,
            reader,
            stop,
            done,
            clock_offset_ns,
        })
    }
}

impl Run {
    /// Waits until something ends the run. Returns the reason if it is a failure.
    async fn until_done(&mut self) -> Option<anyhow::Error> {
        let Self { args, config, targets, attached, signals, flows, counters, untrusted, done, .. } = self;
        let pins = self.pins.as_ref();
        tokio::select! {
            () = signals.recv() => None,
            () = elapsed(args.duration) => None,
            () = until_all_removed(attached) => Some(anyhow!("no interface is left")),
            never = report_no_match(counters, targets, config.pairs()) => match never {},
            never = sweep(flows, counters, pins, args.bounds.flows) => match never {},
            never = follow_existing(self.existing.take(), pins) => match never {},
            never = report_untrusted(untrusted), if config.restricts_balancers() => match never {},
            finding = done.recv() => match finding {
                Some(Done::Output(error)) => printer::failure(error),
                _ => None,
            },
        }
    }

    /// Detaches, reads the rest of the rings, and prints the ledger.
    async fn finish(mut self, failure: Option<anyhow::Error>) -> Result<()> {
        // Detach first, then read the rings, and read the counters last, so that every packet is counted.
        drop(self.attached);
        // The receiver is dropped early only if the reader failed, which is reported below.
        let _ = self.stop.send(true);
        let read = self.signals.join_within_grace(self.reader).await?;
        drop(self.pins);
        let mut written = None;
        if let Some(read) = read {
            let (ledger, mut printer) = read.context("cannot read the rings")?;
            let kernel = self.counters.read()?.ledger();
            let summary = Summary { kernel: &kernel, pipeline: &ledger, after_gro: true }.to_string();
            _ = io::stderr().write_all(summary.as_bytes());
            let time_ns = clock::monotonic_ns() + self.clock_offset_ns;
            let last_line = tokio::task::spawn_blocking(move || {
                printer.ledger(&Summary { kernel: &kernel, pipeline: &ledger, after_gro: true }, time_ns)
            });
            written = self.signals.join_within_grace(last_line).await?;
        }
        let failure = match written {
            None => {
                printer::gave_up();
                failure
            }
            Some(Err(error)) => failure.or_else(|| printer::failure(error)),
            Some(Ok(())) => failure,
        };
        failure.map_or(Ok(()), Err)
    }
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

fn cannot_be_seen(error: &anyhow::Error) {
    stderr::line(format_args!("watch, status and flows will not see this run: {error:#}"));
}

fn open_rings(loaded: &Loaded, bytes: Option<usize>) -> Result<Rings> {
    let Map::PerfEventArray(map) = loaded.map("EVENTS")? else {
        anyhow::bail!("EVENTS is not a perf event array");
    };
    let bytes = bytes.unwrap_or_else(rings::default_ring_bytes);
    debug!("a ring of {bytes} bytes per CPU");
    Rings::open(map.fd().as_fd(), bytes).map_err(|error| {
        let is_limit =
            matches!(&error, PerfError::Ring { source, .. } if source.raw_os_error() == Some(libc::EPERM));
        let error = anyhow::Error::new(error);
        if is_limit {
            error.context("the rings are too large for this user: try a smaller --ring-size")
        } else {
            error
        }
    })
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
