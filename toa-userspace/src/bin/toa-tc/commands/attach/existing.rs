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

use anyhow::Result;
use toa_common::config::Config;
use toa_userspace::{
    live::{
        existing::{
            Counts, OtherNamespaces, ScannedConnection, Scanner, Select, UnknownReason, module::Module,
            other_namespaces,
        },
        host::{clock, sock_diag::SockDiag},
        maps::{flows::Flows, watch::Watch},
        runs::pins::Pins,
    },
    print::{
        count::Count,
        existing::{Tally, describe_other_namespaces, explain_unknown},
    },
    rule::balancers::Balancers,
};
use tokio::{task::spawn_blocking, time::sleep};

use crate::stderr;

/// Delay before the second scan, by when handshakes in progress have completed.
const AGAIN: Duration = Duration::from_secs(1);

/// Longest delay between scans while some connections were not accepted or had no visible owner. The delays grow
/// exponentially, like those between retransmissions of a lost handshake packet (RFC 6298 sections 2 and 5).
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// How often to check whether rules were added.
const INTERVAL: Duration = Duration::from_millis(200);

/// The followed connections of a run, which several tasks change.
pub(crate) struct SharedFlows {
    flows: Mutex<Flows>,
    /// Connections that user space, not the kernel, began to follow.
    begun_here: AtomicU64,
}

impl SharedFlows {
    pub(crate) fn new(flows: Flows) -> Self {
        Self { flows: Mutex::new(flows), begun_here: AtomicU64::new(0) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begun_here(&self) -> u64 {
        self.begun_here.load(Ordering::Relaxed)
    }
}

/// Follows existing connections.
pub(crate) struct ExistingConnections {
    scanner: Scanner,
    /// A second socket table, to check again what a scan has found.
    table: SockDiag,
    watch: Watch,
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
    other_namespaces: OtherNamespaces,
}

impl ScanResult {
    /// Returns whether a later scan can find more.
    fn is_unfinished(&self) -> bool {
        self.counts.of(UnknownReason::Queued) + self.counts.of(UnknownReason::Unseen) > 0
    }
}

impl ExistingConnections {
    pub(crate) fn new(
        watch: Watch,
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
        // Without permission to see them, there is nothing to report.
        let other_namespaces = other_namespaces().unwrap_or_default();
        failure.map_or(Ok(ScanResult { counts, begun, other_namespaces }), Err)
    }
}

/// Follows a scanned connection if a rule watches its client. Returns whether it was not followed before.
fn follow(
    found: &ScannedConnection<'_>,
    table: &mut SockDiag,
    watch: &Watch,
    shared: &SharedFlows,
) -> Result<bool> {
    let Ok(client) = found.client.map(|real| real.client()) else {
        return Ok(false);
    };
    let connection = found.connection;
    if !watch.contains(&client, true)? || !table.is_there(connection)? {
        return Ok(false);
    }
    let (key, now_ns) = (connection.key(), clock::monotonic_ns());
    if !shared.lock().begin(&key, &client, now_ns)? {
        return Ok(false);
    }
    // A connection and a rule that exist before and after also existed in between. Otherwise the 4-tuple may belong to
    // another connection by now, or the process that removed the rule may have missed this entry.
    if !table.is_there(connection)? || !watch.contains(&client, true)? {
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
        let look = spawn_blocking(move || {
            let result = existing.scan(new_rules);
            (existing, result)
        });
        // It fails only when the runtime shuts down.
        let Ok(done) = look.await else {
            return pending().await;
        };
        (existing, result) = done;
        let is_unfinished = result.as_ref().map_or(true, ScanResult::is_unfinished);
        match result {
            Err(error) => stderr::line(format_args!("cannot follow all open connections: {error:#}")),
            Ok(result) if !is_told => {
                is_told = true;
                report(&result, &module);
            }
            Ok(ScanResult { begun: 0, .. }) => {}
            Ok(ScanResult { begun, .. }) => {
                stderr::line(format_args!("open connections: following {} more", Count(begun)));
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
fn report(result: &ScanResult, module: &Module) {
    let ScanResult { counts, begun, other_namespaces } = result;
    let (begun, total) = (Count(*begun), Count(counts.total()));
    stderr::line(format_args!("open connections: following {begun} of {total} ({})", Tally(counts)));
    let hints = [describe_other_namespaces(other_namespaces), explain_unknown(counts, module)];
    hints.into_iter().flatten().for_each(|hint| stderr::line(format_args!("{hint}")));
}
