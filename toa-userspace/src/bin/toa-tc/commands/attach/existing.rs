//! Follows connections that were open before we attached: at the start, and whenever rules are added.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Error, Result};
use toa_common::{attribution::Attribution, config::Config};
use toa_userspace::{
    live::{
        existing::{
            Counts, OtherNamespaces, ScannedConnection, Scanner, Select, UnknownReason, module::Module,
            other_namespaces,
        },
        host::{
            clock,
            sock_diag::{Established, SockDiag},
        },
        maps::{flows::Flows, watch::Watch},
        remember::reader::ReadError,
        runs::pins::Pins,
    },
    print::{
        count::Count,
        existing::{Tally, describe_other_namespaces, describe_without_memory, explain_unknown},
    },
    rule::balancers::Balancers,
};
use tokio::time::sleep;

use super::scan_thread;
use crate::stderr;

/// Delay before the second scan, by when handshakes in progress have completed.
const AGAIN: Duration = Duration::from_secs(1);

/// Longest delay between scans while some connections were not accepted or had no visible owner. The delays grow
/// exponentially, like those between retransmissions of a lost handshake packet (RFC 6298 sections 2 and 5).
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// How often to check whether rules were added.
const INTERVAL: Duration = Duration::from_millis(200);

/// The followed connections of a run, which several tasks change.
pub(crate) struct SharedFlows {
    flows: Mutex<Flows>,
    /// Connections that user space, not the kernel, began to follow.
    begun_here: AtomicU64,
    /// Most open connections that the kernel was ever known to have evicted.
    evicted: AtomicU64,
    /// How many were open when that was last counted.
    open: AtomicU64,
}

impl SharedFlows {
    pub(crate) fn new(flows: Flows) -> Self {
        Self {
            flows: Mutex::new(flows),
            begun_here: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begun_here(&self) -> u64 {
        self.begun_here.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Returns how many were open when that was last counted.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes how many are open.
    pub(crate) fn note_open(&self, open: u64) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Notes how many open connections the kernel has evicted at least.
    pub(crate) fn note_evicted(&self, evicted: u64) {
        self.evicted.fetch_max(evicted, Ordering::Relaxed);
    }
}

/// Follows existing connections.
pub(crate) struct ExistingConnections {
    scanner: Scanner,
    /// A second socket table, to check again what a scan has found.
    table: SockDiag,
    watch: Arc<Watch>,
    shared: Arc<SharedFlows>,
    config: Box<Config>,
    balancers: Balancers,
    /// Cookies of connections that were begun since rules were last added. One that the map evicted is not followed
    /// again: it would evict another.
    begun: HashSet<u64>,
}

/// The result of one scan.
struct ScanResult {
    counts: Counts,
    begun: u64,
    /// Why the remembered clients could not be read.
    unreadable: Option<ReadError>,
    other_namespaces: OtherNamespaces,
    /// Why only the servers' sockets were queried, if so.
    without_memory: Option<String>,
}

impl ScanResult {
    /// Returns whether a later scan can find more.
    fn is_unfinished(&self) -> bool {
        self.counts.of(UnknownReason::Queued) + self.counts.of(UnknownReason::Unseen) > 0
    }
}

impl ExistingConnections {
    pub(crate) fn new(
        watch: Arc<Watch>,
        shared: Arc<SharedFlows>,
        config: &Config,
        balancers: Balancers,
    ) -> Result<Self> {
        Ok(Self {
            scanner: Scanner::new()?,
            table: SockDiag::new()?,
            watch,
            shared,
            config: Box::new(*config),
            balancers,
            begun: HashSet::new(),
        })
    }

    /// Scans all connections, and follows those that a rule watches. Evicted ones are followed again only if there are
    /// `new_rules`.
    fn scan(&mut self, new_rules: bool) -> Result<ScanResult> {
        let Self { scanner, table, watch, shared, config, balancers, begun } = self;
        if new_rules {
            begun.clear();
        }
        let before = begun.len();
        let mut failure = None;
        let counts = scanner.scan(&Select { config, balancers }, false, |found| {
            if failure.is_none() && !begun.contains(&found.connection.cookie()) {
                match follow(found, table, watch, shared) {
                    Ok(true) => _ = begun.insert(found.connection.cookie()),
                    Ok(false) => {}
                    Err(error) => failure = Some(error),
                }
            }
        })?;
        let begun = begun.len().saturating_sub(before) as u64;
        let unreadable = scanner.take_unreadable();
        // Without permission to see them, there is nothing to report.
        let other_namespaces = other_namespaces().unwrap_or_default();
        let without_memory = scanner.without_memory().map(describe_without_memory);
        failure.map_or(Ok(ScanResult { counts, begun, unreadable, other_namespaces, without_memory }), Err)
    }
}

/// Follows a scanned connection if a rule watches its client. Returns whether it was not followed before.
fn follow(
    found: &ScannedConnection<'_>,
    table: &mut SockDiag,
    watch: &Watch,
    shared: &SharedFlows,
) -> Result<bool> {
    let Ok(real) = found.client else {
        return Ok(false);
    };
    follow_client(found.connection, &real.attribution(), table, watch, shared)
}

/// Follows an open connection if a rule watches its client. Returns whether it was not followed before.
pub(super) fn follow_client(
    connection: &Established,
    attribution: &Attribution,
    table: &mut SockDiag,
    watch: &Watch,
    shared: &SharedFlows,
) -> Result<bool> {
    let (client, has_port) = (attribution.client(), attribution.has_port());
    if !watch.contains(&client, has_port)? || !table.is_there(connection)? {
        return Ok(false);
    }
    let (key, now_ns) = (connection.key(), clock::monotonic_ns());
    if !shared.lock().begin(&key, attribution, now_ns)? {
        return Ok(false);
    }
    // A connection and a rule that exist before and after also existed in between. Otherwise the 4-tuple may belong to
    // another connection by now, or the process that removed the rule may have missed this entry.
    if !table.is_there(connection)? || !watch.contains(&client, has_port)? {
        shared.lock().take_back(&key, now_ns)?;
        return Ok(false);
    }
    // If a packet named the client at the same time, the kernel program has counted the connection.
    let is_ours = shared.lock().is_begun(&key, now_ns)?;
    shared.begun_here.fetch_add(u64::from(is_ours), Ordering::Relaxed);
    Ok(is_ours)
}

/// Scans at once, again when handshakes in progress have completed, and then whenever rules were added or while
/// connections are left whose client may still become known.
pub(crate) async fn follow_existing(
    existing: Option<ExistingConnections>,
    pins: Option<&Pins>,
) -> Infallible {
    let Some(mut existing) = existing else {
        return pending().await;
    };
    // Before the scan, which changes the module's counters.
    let module = Module::now();
    let additions = || pins.and_then(|pins| pins.info().ok()).map_or(0, |info| info.rule_additions);
    let (mut is_told, mut pause, mut new_rules) = (false, AGAIN, true);
    loop {
        let known_additions = additions();
        let result;
        let look = move || {
            let result = existing.scan(new_rules);
            (existing, result)
        };
        match scan_thread::run(look).await {
            Ok(done) => (existing, result) = done,
            Err(error) => {
                stderr::error(format_args!("cannot follow open connections: {error}"));
                return pending().await;
            }
        }
        let is_unfinished = result.as_ref().map_or(true, ScanResult::is_unfinished);
        match result {
            Err(error) => stderr::error(format_args!("cannot follow all open connections: {error:#}")),
            Ok(result) if !is_told => {
                is_told = true;
                report(result, &module);
            }
            Ok(ScanResult { begun: 0, .. }) => {}
            Ok(ScanResult { begun, .. }) => {
                stderr::note(format_args!("open connections: following {} more", Count(begun)));
            }
        }
        let is_second = pause == AGAIN;
        let due = (is_second || is_unfinished).then(|| Instant::now() + pause);
        pause = pause.saturating_mul(3).min(AGAIN_AT_MOST);
        new_rules = loop {
            if additions() != known_additions {
                break true;
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                break false;
            }
            sleep(INTERVAL).await;
        };
    }
}

/// Reports the result of the first scan.
fn report(result: ScanResult, module: &Module) {
    let ScanResult { counts, begun, unreadable, other_namespaces, without_memory } = result;
    if let Some(error) = unreadable {
        let error = Error::new(error);
        stderr::warning(format_args!("cannot read the clients that toa-tc remember has noted: {error:#}"));
    }
    let (begun, total) = (Count(begun), Count(counts.total()));
    stderr::note(format_args!("open connections: following {begun} of {total} ({})", Tally(&counts)));
    let hints =
        [without_memory, describe_other_namespaces(&other_namespaces), explain_unknown(&counts, module)];
    hints.into_iter().flatten().for_each(|hint| stderr::note(format_args!("{hint}")));
}
