//! Responsible for following connections that were open before anybody looked, at first and whenever rules were added.
//! Not responsible for finding out who their clients are.

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
        existing::{Counts, Elsewhere, Found, Reason, Select, Survey, elsewhere, module::Module},
        host::{clock, sock_diag::SockDiag},
        maps::{flows::Flows, watch::Watch},
        runs::pins::Pins,
    },
    print::count::Count,
    rule::balancers::Balancers,
};
use tokio::{task::spawn_blocking, time::sleep};

use crate::stderr;

/// When it is looked again first: connections whose handshake was going on are accepted by then.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked again at least, for what a look has left (RFC 6298 section 2: a lost packet of a handshake is
/// sent again after a second, after two more, and so on).
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// How often it is looked whether rules were added.
const INTERVAL: Duration = Duration::from_millis(200);

/// The flows of a run, which several tasks change.
pub(crate) struct FollowedFlows {
    flows: Mutex<Flows>,
    /// Connections whose following began here, and not in the kernel.
    begun_here: AtomicU64,
}

impl FollowedFlows {
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
    survey: Survey,
    /// The kernel's table once more, to look again what another look has found.
    table: SockDiag,
    watch: Watch,
    shared: Arc<FollowedFlows>,
    config: Box<Config>,
    balancers: Balancers,
    /// The cookies of connections whose following began since rules were added: one that the map evicted is not
    /// brought back, where it would evict another.
    begun: HashSet<u64>,
}

/// What one look has come to.
struct Looked {
    counts: Counts,
    begun: u64,
    elsewhere: Elsewhere,
}

impl Looked {
    /// Whether a later look can find more.
    fn is_unfinished(&self) -> bool {
        self.counts.of(Reason::Queued) + self.counts.of(Reason::Unseen) > 0
    }
}

impl ExistingConnections {
    pub(crate) fn new(
        watch: Watch,
        shared: Arc<FollowedFlows>,
        config: &Config,
        balancers: Balancers,
    ) -> Result<Self> {
        Ok(Self {
            survey: Survey::new()?,
            table: SockDiag::new()?,
            watch,
            shared,
            config: Box::new(*config),
            balancers,
            begun: HashSet::new(),
        })
    }

    /// Looks at all connections, and follows those that a rule watches; again those that were evicted only if there are
    /// `new_rules`.
    fn look(&mut self, new_rules: bool) -> Result<Looked> {
        let Self { survey, table, watch, shared, config, balancers, begun } = self;
        if new_rules {
            begun.clear();
        }
        let before = begun.len();
        let mut failure = None;
        let counts = survey.look(&Select { config, balancers }, false, |found| {
            if failure.is_none() && !begun.contains(&found.connection.cookie()) {
                match follow(found, table, watch, shared) {
                    Ok(true) => _ = begun.insert(found.connection.cookie()),
                    Ok(false) => {}
                    Err(error) => failure = Some(error),
                }
            }
        })?;
        let begun = begun.len().saturating_sub(before) as u64;
        // What cannot be seen is not told of.
        let elsewhere = elsewhere().unwrap_or_default();
        failure.map_or(Ok(Looked { counts, begun, elsewhere }), Err)
    }
}

/// Follows a connection that was found if a rule watches its client. Returns whether that is new.
fn follow(found: &Found<'_>, table: &mut SockDiag, watch: &Watch, shared: &FollowedFlows) -> Result<bool> {
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
    // What is there before and after was there meanwhile. Otherwise the 4-tuple may be another connection's by now, or
    // who removed the rule has ended the following of its connections too early for this one.
    if !table.is_there(connection)? || !watch.contains(&client, true)? {
        shared.lock().take_back(&key, now_ns)?;
        return Ok(false);
    }
    // A packet may have named the client at the same time: then the program has counted it.
    let is_ours = shared.lock().is_begun(&key, now_ns)?;
    shared.begun_here.fetch_add(u64::from(is_ours), Ordering::Relaxed);
    Ok(is_ours)
}

/// Looks at once, again when connections that were being opened are, and then whenever rules were added or as long as
/// something is left.
pub(crate) async fn follow_existing(
    existing: Option<ExistingConnections>,
    pins: Option<&Pins>,
) -> Infallible {
    let Some(mut existing) = existing else {
        return pending().await;
    };
    // Before sockets are asked, which moves the module's counters.
    let module = Module::now();
    let additions = || pins.and_then(|pins| pins.info().ok()).map_or(0, |info| info.rule_additions);
    let (mut is_told, mut pause, mut new_rules) = (false, AGAIN, true);
    loop {
        let known_additions = additions();
        let looked;
        let look = spawn_blocking(move || {
            let looked = existing.look(new_rules);
            (existing, looked)
        });
        // It fails when the runtime ends.
        let Ok(done) = look.await else {
            return pending().await;
        };
        (existing, looked) = done;
        let is_unfinished = looked.as_ref().map_or(true, Looked::is_unfinished);
        match looked {
            Err(error) => stderr::line(format_args!("open connections are not all followed: {error:#}")),
            Ok(looked) if !is_told => {
                is_told = true;
                tell(&looked, &module);
            }
            Ok(Looked { begun: 0, .. }) => {}
            Ok(Looked { begun, .. }) => {
                stderr::line(format_args!("open connections: {} more are followed", Count(begun)));
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

/// Says what other network namespaces have.
pub(crate) fn tell_elsewhere(elsewhere: Elsewhere) {
    let Elsewhere { sockets, namespaces } = elsewhere;
    if sockets > 0 {
        stderr::line(format_args!(
            "not looked at: {} TCP sockets in {} other network namespaces, of containers perhaps",
            Count(sockets),
            Count(namespaces)
        ));
    }
}

/// Says what the first look has come to.
fn tell(looked: &Looked, module: &Module) {
    let Looked { counts, begun, elsewhere } = looked;
    stderr::line(format_args!("open connections: {} are followed, of {counts}", Count(*begun)));
    tell_elsewhere(*elsewhere);
    if counts.named == 0 && counts.of(Reason::Same) > 0 {
        stderr::line(format_args!("{}", module.explain()));
    }
}
