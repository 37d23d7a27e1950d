//! Responsible for the command `attach`, from its arguments to its last line. Not responsible for the parts that
//! do the work.

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
use toa_common::config::Config;
use toa_userspace::{
    live::{
        existing::rights,
        host::{clock, interfaces::interface_name, privileges, sock_diag::SockDiag},
        maps::{
            balancers::{self, Untrusted},
            bypass::BypassMap,
            counters::Counters,
            flows::Flows,
            watch::Watch,
        },
        program::{
            attach::{Attached, Target, attach},
            load::{LoadOptions, Loaded},
            log::KernelLog,
        },
        rings::{
            self, PerfError, Rings,
            reader::{self, Done},
        },
        runs::{
            map_id,
            pins::{PINNED, Pins},
        },
    },
    pipeline::{Pipeline, request_limit::RequestLimit},
    print::ledger::Summary,
    rule::{Rule, balancers::Balancers},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::sleep,
};

use existing::{Shared, follow_existing};
use interfaces::all_gone;
use no_match::explain;
use run_info::publish;
use sweep::sweep;
use untrusted::distrust;

use crate::{
    cli::{attach::AttachArgs, existing::Existing as ExistingArg, select::SelectArgs},
    printer::{self, Printer},
    signals::Interrupts,
    stderr,
};

/// Runs the command.
pub(crate) fn run(args: AttachArgs) -> Result<()> {
    stderr::start_log(args.verbose);
    let rules = args.select.watched()?;
    let config = args.select.config()?;
    privileges::check()?;
    if let Some(existing) = args.existing {
        rights::check(existing == ExistingArg::Force)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(attach_and_read(args, rules, &config));
    // A reader that is still blocked in writing must not keep us.
    runtime.shutdown_background();
    result
}

async fn attach_and_read(args: AttachArgs, rules: Vec<Rule>, config: &Config) -> Result<()> {
    let log_level = log::max_level().to_level().map(|level| match level {
        log::Level::Trace => aya_log::Level::Trace,
        _ => aya_log::Level::Debug,
    });
    let targets = find_targets(&args.interfaces)?;
    let options = LoadOptions { config: *config, max_flows: args.bounds.flows, log_level };
    let mut loaded = Loaded::new(targets.iter().map(Target::program), &options)?;
    // Before the signals could end us, and before anything is pinned.
    let mut interrupts = Interrupts::new()?;
    if log_level.is_some() {
        tokio::spawn(KernelLog::new(&mut loaded)?.read());
    }

    let (pins, map_ids) = pin(&loaded).unzip();
    let mut watch =
        Watch::new(loaded.take_map("WATCH")?, loaded.take_map("PREFIXES")?, loaded.take_map("SHAPES")?)?;
    watch.add(&rules).context("cannot write the rules")?;
    balancers::write(loaded.take_map("BALANCERS")?, &args.select.balancers)?;
    let untrusted = Untrusted::new(loaded.take_map("UNTRUSTED")?)?;
    let flows = Flows::new(loaded.take_map("FLOWS")?)?;
    let shared = Arc::new(Shared { flows: flows.into(), begun: 0.into() });
    let counters = Counters::new(loaded.take_map("COUNTERS")?)?;
    let bypass = BypassMap::new(loaded.take_map("BYPASS")?)?;
    let rings = open_rings(&loaded, args.ring_size)?;
    let existing = args
        .existing
        .map(|_| {
            existing::Existing::new(
                watch,
                Arc::clone(&shared),
                config,
                Balancers::new(&args.select.balancers),
            )
        })
        .transpose()?;

    let mut attached = Vec::new();
    for target in &targets {
        debug!("{} has index {} and gets {}", target.interface(), target.index(), target.program());
        attached.push((target.clone(), attach(&mut loaded, target)?));
    }
    for (target, attached) in &attached {
        announce(target, attached, &rules);
    }
    let published = pins.as_ref().zip(map_ids).map(|(pins, ids)| publish(pins, ids, &attached));
    if let Some(Err(error)) = &published {
        cannot_change(error);
    }
    hint(&args.select, &rules, matches!(published, Some(Ok(()))));
    if let Some(path) = &args.ready_file {
        fs::write(path, b"").with_context(|| format!("cannot create {}", path.display()))?;
    }

    let (stop, stopped) = watch::channel(false);
    let (done, mut is_done) = mpsc::channel(1);
    let offset_ns = clock::unix_offset_ns();
    let pipeline = Pipeline::with_bypass(args.bounds.limits(), offset_ns, bypass);
    let read = reader::read(
        rings,
        pipeline,
        offset_ns,
        RequestLimit::new(Printer::new(&args.results, Box::new(interface_name)), args.results.count),
        stopped,
        done,
    );
    // On a thread of its own: while it is blocked in writing, a worker would wait for neither signals nor timers.
    let handle = Handle::current();
    let reader = tokio::task::spawn_blocking(move || handle.block_on(read));

    let failure = tokio::select! {
        () = interrupts.any() => None,
        () = elapsed(args.duration) => None,
        () = all_gone(&mut attached) => Some(anyhow!("ended: no interface is left")),
        never = explain(&counters, &targets, config.pairs()) => match never {},
        never = sweep(&shared, &counters, pins.as_ref(), args.bounds.flows) => match never {},
        never = follow_existing(existing, pins.as_ref()) => match never {},
        never = distrust(&untrusted), if config.restricts_balancers() => match never {},
        done = is_done.recv() => match done {
            Some(Done::Output(error)) => printer::failure(error),
            _ => None,
        },
    };
    // First nothing more comes in, then what is in the rings is read, and then everything is counted.
    drop(attached);
    // The receiver is only gone when the reader has failed, which is found below.
    let _ = stop.send(true);
    let read = interrupts.finish(reader).await?;
    drop(pins);
    let mut written = None;
    if let Some(read) = read {
        let (ledger, mut printer) = read.context("cannot read the rings")?;
        let kernel = counters.read()?.ledger();
        // There is nobody to tell when this cannot be written.
        let summary = Summary { kernel: &kernel, pipeline: &ledger }.to_string();
        let _ = io::stderr().write_all(summary.as_bytes());
        let time_ns = clock::monotonic_ns() + offset_ns;
        let last_line = tokio::task::spawn_blocking(move || {
            printer.ledger(&Summary { kernel: &kernel, pipeline: &ledger }, time_ns)
        });
        written = interrupts.finish(last_line).await?;
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

/// Finds interfaces. One that is named twice, or by two of its names, is one.
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

/// Pins the maps and returns their numbers, or says why changing the watched set from outside will not work.
fn pin(loaded: &Loaded) -> Option<(Pins, [u32; PINNED.len()])> {
    let pinned = || -> Result<_> {
        let pins = Pins::new()?;
        let mut ids = [0; PINNED.len()];
        for (name, id) in PINNED.into_iter().zip(&mut ids) {
            let map = loaded.map(name)?;
            *id = map_id(map)?;
            pins.pin(name, map)?;
        }
        Ok((pins, ids))
    };
    pinned().inspect_err(cannot_change).ok()
}

fn cannot_change(error: &anyhow::Error) {
    stderr::line(format_args!("the rules cannot be changed from outside: {error:#}"));
}

fn open_rings(loaded: &Loaded, bytes: Option<usize>) -> Result<Rings> {
    let Map::PerfEventArray(map) = loaded.map("EVENTS")? else {
        anyhow::bail!("the map of rings is none");
    };
    let bytes = bytes.unwrap_or_else(rings::default_ring_bytes);
    debug!("a ring of {bytes} bytes for each CPU");
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
    let (interface, mode, count) = (target.interface(), attached.mode.describe(), rules.len());
    let noun = if count == 1 { "rule" } else { "rules" };
    stderr::line(format_args!("attached to {interface} ({mode}), {count} {noun}"));
}

/// Says what is probably not meant.
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

/// A port that clients connect to is seldom one that they connect from.
fn hint_at_listening(ports: &[u16]) {
    // What cannot be seen is no reason for a hint.
    let listeners =
        if ports.is_empty() { Ok(Vec::new()) } else { SockDiag::new().and_then(|mut it| it.listeners()) };
    let listeners = listeners.unwrap_or_default();
    for port in ports.iter().filter(|port| listeners.iter().any(|listener| listener.port == **port)) {
        stderr::line(format_args!(
            "this host listens on port {port}, but what was given is the real client's port: for this host's \
             give --server-port {port}, with --any for every client"
        ));
    }
}

async fn elapsed(duration: Option<jiff::SignedDuration>) {
    match duration.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}
