//! Responsible for following connections that were open before anybody looked, at first and whenever rules were added.
//! Not responsible for finding out who their clients are.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use ipnet::IpNet;
use toa_common::config::Config;
use toa_userspace::{
    live::{
        clock,
        existing::{Counts, Elsewhere, Found, Reason, Select, Survey, elsewhere, module::Module},
        flows::Flows,
        pins::Pins,
        sock_diag::SockDiag,
        watch::Watch,
    },
    print::summary::Count,
};
use tokio::{task::spawn_blocking, time::sleep};

use crate::stderr;

/// When it is looked again before any rule is added: connections whose handshake was going on are accepted by then, also
/// if a packet of it was lost (RFC 6298 section 2: a retransmission after a second, then after two).
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// How often it is looked whether rules were added.
const INTERVAL: Duration = Duration::from_millis(200);

/// The flows of a run, which several tasks change.
pub(crate) struct Shared {
    pub(crate) flows: Mutex<Flows>,
    /// Connections whose following began here.
    pub(crate) begun: AtomicU64,
}

/// Follows existing connections.
pub(crate) struct Existing {
    survey: Survey,
    /// The kernel's table once more, to look again what another look has found.
    table: SockDiag,
    watch: Watch,
    shared: Arc<Shared>,
    config: Box<Config>,
    balancers: Vec<IpNet>,
}

/// What one look has come to.
struct Looked {
    counts: Counts,
    begun: u64,
}

impl Existing {
    pub(crate) fn new(
        watch: Watch,
        shared: Arc<Shared>,
        config: &Config,
        balancers: Vec<IpNet>,
    ) -> Result<Self> {
        Ok(Self {
            survey: Survey::new()?,
            table: SockDiag::new()?,
            watch,
            shared,
            config: Box::new(*config),
            balancers,
        })
    }

    /// Looks at all connections, and follows those that a rule watches.
    fn look(&mut self) -> Result<Looked> {
        let Self { survey, table, watch, shared, config, balancers } = self;
        let (mut begun, mut failure) = (0, None);
        let counts = survey.look(&Select { config, balancers }, false, |found| {
            if failure.is_none() {
                match follow(found, table, watch, shared) {
                    Ok(is_new) => begun += u64::from(is_new),
                    Err(error) => failure = Some(error),
                }
            }
        })?;
        failure.map_or(Ok(Looked { counts, begun }), Err)
    }
}

/// Follows a connection that was found if a rule watches its client. Returns whether that is new.
fn follow(found: &Found<'_>, table: &mut SockDiag, watch: &Watch, shared: &Shared) -> Result<bool> {
    let Ok(client) = found.client.map(|real| real.client()) else {
        return Ok(false);
    };
    let connection = found.connection;
    if !watch.contains(&client, true)? || !table.is_there(connection)? {
        return Ok(false);
    }
    let (key, now_ns) = (connection.key(), clock::monotonic_ns());
    let flows = || shared.flows.lock().unwrap_or_else(PoisonError::into_inner);
    if !flows().begin(&key, &client, now_ns)? {
        return Ok(false);
    }
    // What is there before and after was there meanwhile. Otherwise the 4-tuple may be another connection's by now, or
    // who removed the rule has ended the following of its connections too early for this one.
    if !table.is_there(connection)? || !watch.contains(&client, true)? {
        flows().take_back(&key, now_ns)?;
        return Ok(false);
    }
    shared.begun.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// Looks at once, again when connections that were being opened are, and then whenever rules were added.
pub(crate) async fn follow_existing(existing: Option<Existing>, pins: Option<&Pins>) -> Infallible {
    let Some(mut existing) = existing else {
        return pending().await;
    };
    // Before sockets are asked, which moves the module's counters.
    let module = Module::now();
    let additions = || pins.and_then(|pins| pins.info().ok()).map_or(0, |info| info.additions);
    let mut is_first = true;
    let mut again = AGAIN.into_iter();
    loop {
        let known_additions = additions();
        let looked;
        let look = spawn_blocking(move || {
            let looked = existing.look();
            (existing, looked)
        });
        // It fails when the runtime ends.
        let Ok(done) = look.await else {
            return pending().await;
        };
        (existing, looked) = done;
        match looked {
            Err(error) => stderr::line(format_args!("open connections are not all followed: {error:#}")),
            Ok(looked) if is_first => tell(&looked, &module),
            Ok(Looked { begun: 0, .. }) => {}
            Ok(Looked { begun, .. }) => {
                stderr::line(format_args!("open connections: {} more are followed", Count(begun)));
            }
        }
        is_first = false;
        let due = again.next().map(|pause| Instant::now() + pause);
        while additions() == known_additions && due.is_none_or(|due| Instant::now() < due) {
            sleep(INTERVAL).await;
        }
    }
}

/// Says what other network namespaces have.
pub(crate) fn tell_elsewhere() {
    // What cannot be seen is not told of.
    let Elsewhere { sockets, namespaces } = elsewhere().unwrap_or_default();
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
    let Looked { counts, begun } = looked;
    stderr::line(format_args!("open connections: {} are followed, of {counts}", Count(*begun)));
    tell_elsewhere();
    if counts.named == 0 && counts.of(Reason::Same) > 0 {
        stderr::line(format_args!("{}", module.explain()));
    }
}
