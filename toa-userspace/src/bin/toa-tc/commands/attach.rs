//! The command `attach`, in phases: prepare, attach, run until something ends it, finish.

mod activity;
mod connections;
mod cpus;
mod duration;
mod exchange;
pub(crate) mod existing;
mod files;
mod finish;
mod hints;
mod interfaces;
mod losses;
mod metrics;
mod no_match;
mod outcome;
mod pins;
mod progress;
mod ready_file;
mod rings;
mod rule_changes;
mod run_info;
mod scan_thread;
mod senders;
mod settings;
mod sink;
mod sweep;
mod tls;
mod top;
mod tunnels;
mod until_done;
mod untrusted;

use std::{io, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use log::LevelFilter;
use sd_notify::NotifyState;
use toa_common::{config::Config, maps::PINNED, run_info::MAX_INTERFACES, wire::toa_pairs::ToaPairs};
use toa_userspace::{
    ledger::{
        Ledger,
        losses::{Loss, REASONS},
    },
    live::{
        existing::rights,
        host::{
            clock::WallClock,
            links::LinkChanges,
            namespace, priority, privileges,
            sandbox::{self, Duties},
            tcp,
        },
        maps::{Maps, balancers::Untrusted, bypass::BypassMap, clients::Clients, counters::Counters},
        program::{
            attachments::Attachments,
            load::{LoadOptions, Loaded},
            log::KernelLog,
        },
        rings::{
            Ring, Rings,
            cpus::Cpus,
            opener::Opener,
            reader::{self, Channels, Done},
        },
        runs::{Runs, pin_directories::PinDirectories, pins::Pins},
        tls::layout::layout,
    },
    pipeline::Pipeline,
    rule::{Rule, balancers::Balancers, matcher::Matcher},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use connections::TableConnections;
use existing::{ExistingConnections, SharedFlows};
use files::open_files;
use hints::hint;
use metrics::{Metrics, MetricsSocket};
use pins::{cannot_be_seen, pin};
use rings::open_rings;
use run_info::publish;
use sink::sink;
use tls::Plaintext;

use super::{
    balancer_table::BalancerTable,
    leftovers::{remove_filters, remove_pins},
};
use crate::{
    capture_file::Destination,
    cli::{attach::AttachArgs, existing::Existing, results::Shown},
    error::UsageError,
    otlp::Exporter,
    output_file::{OutputFile, OutputFiles},
    printer::Printer,
    rule_list,
    signals::Signals,
    stderr,
    stdout::{self, Stdout},
    top::Session,
};

/// Runs the command.
pub(crate) fn run(args: AttachArgs) -> Result<()> {
    // Before there are threads.
    let opener = Opener::start();
    stderr::start(args.verbosity);
    args.select.check_stdin("--connections", args.connections.as_deref().is_some_and(rule_list::is_stdin))?;
    let mut rules = args.select.watched()?;
    if args.results.shown != Shown::Requests && rules.is_empty() && !args.select.any_flow {
        rules.push(Rule::Any);
    }
    let config = Box::new(args.config()?);
    if args.interfaces.len() > MAX_INTERFACES {
        return Err(UsageError(format!("at most {MAX_INTERFACES} interfaces are possible")).into());
    }
    let directories = args.pins.directories()?;
    let table = args.connections.as_deref().map(BalancerTable::open).transpose()?;
    let (files, capture) = open_files(&args)?;
    let metrics = args.metrics.map(MetricsSocket::open).transpose()?;
    let stdout = stdout::open()?;
    let otlp = args.otlp.as_ref().map(Exporter::start).transpose()?;
    let inputs = Inputs { opener, table, files, capture, metrics, otlp };
    privileges::check()?;
    if let Some(name) = &args.netns {
        // Before the runtime starts threads, and before anything is opened there.
        namespace::enter(name)?;
    }
    if let Some(existing) = args.existing {
        rights::check(existing == Existing::Force)?;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // The main thread attaches and detaches; the others need nothing for what they do.
    let runtime = runtime.worker_threads(2).enable_all().on_thread_start(sandbox::enter_thread).build()?;
    let result = runtime.block_on(async {
        let mut run = Prepared::new(args, rules, config, &directories, inputs)?.attach(stdout)?;
        let failure = run.until_done().await;
        stderr::end_progress();
        Box::pin(run.finish(failure)).await
    });
    // Do not wait for a reader that is still blocked in writing.
    runtime.shutdown_background();
    result
}

/// What a run opens before it enters another network namespace.
struct Inputs {
    opener: io::Result<Opener>,
    table: Option<BalancerTable>,
    files: Vec<OutputFile>,
    capture: Option<Destination>,
    metrics: Option<MetricsSocket>,
    otlp: Option<Exporter>,
}

/// A run before anything is attached.
struct Prepared {
    args: AttachArgs,
    rules: Vec<Rule>,
    config: Box<Config>,
    attachments: Attachments,
    loaded: Loaded,
    signals: Signals,
    pins: Option<(Pins, [u32; PINNED.len()])>,
    flows: Arc<SharedFlows>,
    counters: Counters,
    bypass: BypassMap,
    untrusted: Untrusted,
    clients: Clients,
    rings: Rings,
    cpus: Option<Cpus>,
    table: Option<TableConnections>,
    existing: Option<ExistingConnections>,
    plaintext: Option<Plaintext>,
    metrics: Option<Metrics>,
    files: OutputFiles,
    capture: Option<Destination>,
    otlp: Option<Exporter>,
}

/// A run that is attached.
struct Run {
    args: AttachArgs,
    config: Box<Config>,
    attachments: Attachments,
    /// Notifications that interfaces have changed, if there are any.
    link_changes: Option<LinkChanges>,
    loaded: Loaded,
    signals: Signals,
    results: stdout::Reader,
    pins: Option<Pins>,
    flows: Arc<SharedFlows>,
    counters: Counters,
    untrusted: Untrusted,
    clients: Clients,
    table: Option<TableConnections>,
    existing: Option<ExistingConnections>,
    plaintext: Option<Plaintext>,
    metrics: Option<Metrics>,
    reader: JoinHandle<io::Result<(Pipeline<BypassMap>, Printer)>>,
    stop: watch::Sender<bool>,
    done: mpsc::Receiver<Done>,
    cpus: Option<Cpus>,
    files: OutputFiles,
    otlp: Option<Exporter>,
    rings: mpsc::Sender<Ring>,
    losses: mpsc::Sender<Loss>,
    pipeline: watch::Receiver<Ledger>,
    top: Option<Session>,
    /// Why results could not be written.
    unwritten: Option<io::Error>,
}

impl Prepared {
    /// Loads the program, fills its maps, pins them and opens the rings.
    fn new(
        args: AttachArgs,
        rules: Vec<Rule>,
        config: Box<Config>,
        directories: &PinDirectories,
        inputs: Inputs,
    ) -> Result<Self> {
        let Inputs { opener, table, files, capture, metrics, otlp } = inputs;
        let log_level = (log::max_level() == LevelFilter::Trace).then_some(aya_log::Level::Trace);
        let attachments = Attachments::find(&args.interfaces, args.netlink)?;
        let pairs = tcp::ignored_options().into_iter().fold(*config.pairs(), ToaPairs::without_noted);
        let libraries = args.tls.as_ref().map(|server| tls::find(server, &config)).transpose()?;
        let plaintext = libraries.as_ref().map(|_| layout()).transpose()?;
        let max_flows = args.bounds.flows;
        let options = LoadOptions { config: config.with_pairs(pairs), max_flows, log_level, plaintext };
        let mut loaded = Loaded::new(attachments.programs()?, &options)?;
        // Before anything is pinned: a signal that is not handled would leave the pins in place.
        let signals = Signals::new(files.is_empty())?;
        let files = OutputFiles::new(files)?;
        if log_level.is_some() {
            tokio::spawn(KernelLog::new(&mut loaded)?.read());
        }
        // Without a BPF file system, there are no runs to be found; a filter shows by itself whether its run lives.
        let mut runs = Runs::find(directories).unwrap_or_default();
        remove_pins(&mut runs);
        remove_filters(&runs, &[]);
        let pins = pin(&loaded, directories);
        let Maps { mut watch, flows, counters, bypass, mut balancers, untrusted, clients } =
            Maps::take(&mut loaded)?;
        let every = config.follows_any() && rules.is_empty();
        watch.add(if every { &[Rule::Any] } else { &rules }).context("cannot write the rules")?;
        balancers.add(&args.select.balancers)?;
        let (rings, cpus) = open_rings(&loaded, args.ring_size, opener)?;
        let flows = Arc::new(SharedFlows::new(flows));
        let (watch, trusted) = (Arc::new(watch), Balancers::new(&args.select.balancers));
        let table = table.map(|table| {
            let (watch, shared) = (Arc::clone(&watch), Arc::clone(&flows));
            TableConnections { table, watch, shared, config: config.clone(), balancers: trusted.clone() }
        });
        let metrics = metrics.map(|socket| Metrics::new(socket, Arc::clone(&watch), Arc::clone(&flows)));
        let existing =
            args.existing.map(|_| ExistingConnections::new(watch, Arc::clone(&flows), &config, trusted));
        let existing = existing.transpose()?;
        let is_old_followed = existing.is_some() || table.is_some() || config.follows_any();
        let attach = |libraries| tls::attach(&mut loaded, &libraries, is_old_followed);
        let plaintext = libraries.map(attach).transpose()?;
        Ok(Self {
            args,
            rules,
            config,
            attachments,
            loaded,
            signals,
            pins,
            flows,
            counters,
            bypass,
            untrusted,
            clients,
            rings,
            cpus,
            table,
            existing,
            plaintext,
            metrics,
            files,
            capture,
            otlp,
        })
    }

    /// Attaches to all interfaces, reports that, and starts the reader.
    fn attach(self, (stdout, results): (Stdout, stdout::Reader)) -> Result<Run> {
        let Self { args, rules, config, mut attachments, mut loaded, pins, .. } = self;
        let link_changes = interfaces::start(&mut attachments, &mut loaded, &rules, &config)?;
        let published =
            pins.as_ref().map(|(pins, ids)| publish(pins, *ids, attachments.attached(), &args, &config));
        if let Some(Err(error)) = &published {
            cannot_be_seen(error);
        }
        hint(&args.select, &rules, matches!(published, Some(Ok(()))));
        if let Some(path) = &args.ready_file {
            ready_file::create(path)?;
        }
        let (stop, stopped) = watch::channel(false);
        let (finding, done) = mpsc::channel(1);
        let (rings, new_rings) = mpsc::channel(1);
        let (losses, new_losses) = mpsc::channel(REASONS);
        let (ledger, seen) = watch::channel(Ledger::default());
        let channels =
            Channels { stop: stopped, done: finding, rings: new_rings, losses: new_losses, ledger };
        let clock = WallClock::start();
        let mut limits = args.bounds.limits();
        if config.copies_whole() {
            limits.bypass_bytes = u64::MAX;
        }
        let mut pipeline = Pipeline::with_bypass(limits, clock.offset_ns(), self.bypass);
        if config.follows_any() && !rules.is_empty() {
            pipeline = pipeline.with_rules(Matcher::new(&rules));
        }
        let (session, top) = top::open(&args, &rules, &config, &stdout)?.unzip();
        let otlp = self.otlp.as_ref();
        let sink = sink(&args, &attachments, stdout, self.capture, self.files.all(), otlp, top)?;
        // For the reader: while it waits for a CPU, the rings fill up.
        let priority = priority::Raised::raise();
        // After everything that needs more, and before the first packet is parsed.
        sandbox::enter(&Duties {
            reads_sockets: self.existing.is_some(),
            serves: self.metrics.is_some(),
            connects: None,
            outputs: self.files.all().iter().map(OutputFile::directory).collect(),
            rotates: args.rotation.is_some(),
            pins: pins.as_ref().and_then(|(pins, _)| pins.changed_directory().map(Path::to_owned)),
        });
        // Without a service manager, this does nothing. If it cannot be told, it reports that itself.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let own_rings = self.rings;
        // On a thread of its own: a worker that is blocked in writing could serve neither signals nor timers.
        let read = move || {
            let (pipeline, mut printer) = reader::read(own_rings, pipeline, clock, sink, channels)?;
            printer.end_screen();
            Ok((pipeline, printer))
        };
        let reader = tokio::task::spawn_blocking(read);
        drop(priority);
        Ok(Run {
            args,
            config,
            attachments,
            link_changes,
            loaded,
            signals: self.signals,
            results,
            pins: pins.map(|(pins, _)| pins),
            flows: self.flows,
            counters: self.counters,
            untrusted: self.untrusted,
            clients: self.clients,
            table: self.table,
            existing: self.existing,
            plaintext: self.plaintext,
            metrics: self.metrics,
            reader,
            stop,
            done,
            cpus: self.cpus,
            files: self.files,
            otlp: self.otlp,
            rings,
            losses,
            pipeline: seen,
            top: session,
            unwritten: None,
        })
    }
}
