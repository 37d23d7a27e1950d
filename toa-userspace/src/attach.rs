//! Responsible for the command `attach`, from its arguments to its last line. Not responsible for the parts that
//! do the work.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::maps::Map;
use jiff::tz::TimeZone;
use log::LevelFilter;
use toa_userspace::{
    http::head::HttpRequest,
    ledger::Ledger,
    limits::Limits,
    live::{
        attach::{Attached, Target, attach},
        clock,
        counters::Counters,
        load::Loaded,
        log::KernelLog,
        perf::{PerfError, Rings},
        pins::{Pins, PinsError},
        privileges,
        reader::{self, Done, Output},
        watch::Watch,
    },
    pipeline::{Pipeline, Sink},
    print::{redact::Redactor, summary::Summary, text::Text},
    rule::Rule,
    stream::connection::Connection,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    cli::{AttachArgs, Format},
    stderr,
};

/// Bytes of all rings together, if nothing else is said.
const RINGS_BYTES: usize = 64 << 20;
/// Bounds of one ring, if nothing else is said.
const RING_BYTES: (usize, usize) = (256 << 10, 4 << 20);

/// How long a reader that is blocked in writing is waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

/// Maps that other processes reach through their pins.
const PINNED: [&str; 4] = ["WATCH", "SHAPES", "FLOWS", "COUNTERS"];

/// Runs the command.
pub(crate) fn run(args: AttachArgs) -> Result<()> {
    let level = match args.verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    stderr::start_log(level);
    privileges::check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(attach_and_read(args));
    // A reader that is still blocked in writing must not keep us.
    runtime.shutdown_background();
    result
}

async fn attach_and_read(args: AttachArgs) -> Result<()> {
    let log_level = log::max_level().to_level().map(|level| match level {
        log::Level::Trace => aya_log::Level::Trace,
        _ => aya_log::Level::Debug,
    });
    let targets = args.interfaces.iter().map(|name| Target::find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut loaded = Loaded::new(targets.iter().map(Target::program), log_level)?;
    // Before the signals could end us, and before anything is pinned.
    let mut interrupts = Interrupts::new()?;
    if log_level.is_some() {
        tokio::spawn(KernelLog::new(&mut loaded)?.read());
    }

    let pins = pin(&loaded);
    let rules = rules(&args);
    let mut watch = Watch::new(loaded.take_map("WATCH")?, loaded.take_map("SHAPES")?)?;
    watch.add(&rules).context("cannot write the rules")?;
    let counters = Counters::new(loaded.take_map("COUNTERS")?)?;
    let rings = open_rings(&loaded, args.ring_size)?;

    let mut attached = Vec::new();
    for target in &targets {
        attached.push(attach(&mut loaded, target)?);
    }
    for (target, attached) in targets.iter().zip(&attached) {
        announce(target, attached, &rules);
    }
    if rules.is_empty() {
        stderr::line(format_args!("nothing is watched: give --ip, --port or --any"));
    }
    if let Some(path) = &args.ready_file {
        fs::write(path, b"").with_context(|| format!("cannot create {}", path.display()))?;
    }

    let (stop, stopped) = watch::channel(false);
    let (done, mut is_done) = mpsc::channel(1);
    let offset_ns = clock::unix_offset_ns();
    let pipeline = Pipeline::new(Limits::default(), offset_ns);
    let reader =
        tokio::spawn(reader::read(rings, pipeline, offset_ns, output(&args), args.count, stopped, done));

    let failure = tokio::select! {
        () = interrupts.any() => None,
        () = elapsed(args.duration) => None,
        done = is_done.recv() => match done {
            Some(Done::Output(error)) if error.kind() != io::ErrorKind::BrokenPipe => Some(error),
            _ => None,
        },
    };
    // First nothing more comes in, then what is in the rings is read, and then everything is counted.
    drop(attached);
    // The receiver is only gone when the reader has failed, which is found below.
    let _ = stop.send(true);
    let ledger = finish(reader, &mut interrupts).await?;
    drop(pins);
    if let Some(ledger) = ledger {
        let kernel = counters.read()?.ledger();
        let summary = Summary { kernel: Some(&kernel), pipeline: &ledger };
        // There is nobody to tell when this cannot be written.
        let _ = io::stderr().write_all(summary.to_string().as_bytes());
    } else {
        stderr::line(format_args!("gave up: stdout takes nothing, so not everything was printed or counted"));
    }
    failure.map_or(Ok(()), |error| Err(error).context("cannot write to stdout"))
}

fn rules(args: &AttachArgs) -> Vec<Rule> {
    let mut rules = Rule::combine(&args.rules, &args.ports);
    if args.any {
        rules.push(Rule::Any);
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// Pins the maps, or says why changing the watched set from outside will not work.
fn pin(loaded: &Loaded) -> Option<Pins> {
    let pinned = Pins::new().and_then(|pins| {
        for name in PINNED {
            if let Ok(map) = loaded.map(name) {
                pins.pin(name, map)?;
            }
        }
        Ok(pins)
    });
    match pinned {
        Ok(pins) => Some(pins),
        Err(error) => {
            let error: anyhow::Error = PinsError::into(error);
            stderr::line(format_args!("the rules cannot be changed from outside: {error:#}"));
            None
        }
    }
}

fn open_rings(loaded: &Loaded, bytes: Option<usize>) -> Result<Rings> {
    let Map::PerfEventArray(map) = loaded.map("EVENTS")? else {
        anyhow::bail!("the map of rings is none");
    };
    let cpus = aya::util::nr_cpus().map_or(1, |cpus| cpus.max(1));
    let (least, most) = RING_BYTES;
    let bytes = bytes.unwrap_or_else(|| (RINGS_BYTES / cpus).next_power_of_two().clamp(least, most));
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

/// What prints requests.
enum Printer {
    Text(Text<BufWriter<io::Stdout>>),
}

fn output(args: &AttachArgs) -> Printer {
    let redactor = if args.show_secrets { Redactor::show_secrets() } else { Redactor::default() };
    // Large enough for what one round of reading prints; flushed after each.
    let stdout = BufWriter::with_capacity(1 << 16, io::stdout());
    match args.output {
        Format::Text => Printer::Text(Text::new(stdout, redactor, TimeZone::system())),
    }
}

impl Sink for Printer {
    fn request(&mut self, connection: &Connection, request: &HttpRequest) {
        match self {
            Self::Text(text) => text.request(connection, request),
        }
    }
}

impl Output for Printer {
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Text(text) => match text.take_error() {
                Some(error) => Err(error),
                None => text.writer().flush(),
            },
        }
    }
}

/// The signals that end a run.
struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Interrupts {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn elapsed(duration: Option<jiff::SignedDuration>) {
    match duration.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Waits for the reader's last round. `None` if it is blocked in writing and does not come back.
async fn finish(
    reader: JoinHandle<io::Result<Ledger>>,
    interrupts: &mut Interrupts,
) -> Result<Option<Ledger>> {
    tokio::select! {
        result = timeout(GRACE, reader) => match result {
            Ok(result) => Ok(Some(result.context("the reader failed")?.context("cannot read the rings")?)),
            Err(_) => Ok(None),
        },
        () = interrupts.any() => Ok(None),
    }
}
