//! Measures how much later a client sees the end of a connection while another process inspects the server's
//! descriptors. Run it with `cargo xtask bench closes`.
//!
//! The server writes its clock and closes; the client takes the time when it reads the end of the stream. In
//! the meantime, one of three runs over and over: nothing; `ss -p`, which walks the same descriptors without
//! duplicating any; or `toa-tc flows --existing`. They alternate in forward and reverse order, so that other
//! load on the machine affects them alike. The benchmark also counts how often epoll reported a descriptor
//! that a worker had closed.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{BALANCER, Lab, marker::Habit, netns::Namespace, toa_module::ToaModule},
    peers::{
        churn::{self, Churn, Tally, ask_to_end},
        client::{Bound, Request},
    },
    tool::toa_tc,
};

/// Rounds, each of one turn in forward order and one in reverse.
const ROUNDS: usize = 2;
/// Clients that send requests concurrently.
const VISITORS: u16 = 2;
/// Number of connections that each client opens in a turn, each from its own port.
const CLOSES: u16 = 5_000;
/// The first of these ports.
const FIRST_PORT: u16 = 20_000;
/// Number of server processes.
const WORKERS: usize = 4;
/// A close that a client sees later than this counts as late.
const LATE: Duration = Duration::from_millis(10);

/// What inspects the descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Looker {
    None,
    Ss,
    ToaTc,
}

impl Looker {
    const ALL: [Self; 3] = [Self::None, Self::Ss, Self::ToaTc];

    fn command(self, namespace: &Namespace) -> Result<Option<Command>> {
        let mut command = match self {
            Self::None => return Ok(None),
            Self::Ss => {
                let mut command = namespace.command("ss");
                command.arg("-tnpH");
                command
            }
            Self::ToaTc => {
                let mut command = namespace.command(toa_tc::binary()?);
                command.args(["flows", "--existing"]);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Some(command))
    }
}

/// The results of all turns of a looker.
#[derive(Default)]
struct Seen {
    delays: Vec<Duration>,
    looks: u64,
    stale: [u64; 2],
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::new(BALANCER.into(), port)
}

/// Opens connections one after another and lets the server close each.
fn visit(lab: &Lab, first: u16) -> Result<Vec<Duration>> {
    let visit = |port: u16| {
        let connection = Bound::new(&lab.balancer.namespace, peer(port))?.connect(churn::address())?;
        ask_to_end(connection, &Request::get("/close"), port.is_multiple_of(2))
    };
    (first..first + CLOSES).map(visit).collect()
}

fn turn(looker: Looker, seen: &mut Seen) -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    for port in FIRST_PORT..FIRST_PORT + VISITORS * CLOSES {
        module.name_client(peer(port), ([203, 0, 113, 9], port).into())?;
    }
    let server = Churn::start(&lab.server.namespace, Path::new(env!("CARGO_BIN_EXE_toa-churn")), WORKERS)?;
    let stop = AtomicBool::new(false);
    let (looks, visits) = thread::scope(|scope| {
        let (lab, stop) = (&lab, &stop);
        let looks = scope.spawn(move || -> Result<u64> {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed)
                && let Some(mut command) = looker.command(&lab.server.namespace)?
            {
                ensure!(command.status()?.success(), "{looker:?} failed");
                looks += 1;
            }
            Ok(looks)
        });
        let visitors: Vec<_> = (0..VISITORS)
            .map(|number| scope.spawn(move || visit(lab, FIRST_PORT + number * CLOSES)))
            .collect();
        let visits: Vec<_> = visitors.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        (looks.join(), visits)
    });
    for visit in visits {
        seen.delays.extend(visit.ok().context("a visitor panicked")??);
    }
    seen.looks += looks.ok().context("a looker panicked")??;
    let Tally { level, edge } = server.stop()?;
    let [of_level, of_edge] = &mut seen.stale;
    (*of_level, *of_edge) = (*of_level + level.stale, *of_edge + edge.stale);
    Ok(())
}

/// Returns the value that `permille` of a thousand do not exceed, in milliseconds.
fn quantile(sorted: &[Duration], permille: usize) -> f64 {
    let value = sorted.get((sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1)));
    value.map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}

fn main() -> Result<()> {
    let mut all = Looker::ALL.map(|looker| (looker, Seen::default()));
    for round in 0..ROUNDS * 2 {
        let order: Vec<_> = if round % 2 == 0 { vec![0, 1, 2] } else { vec![2, 1, 0] };
        for index in order {
            let (looker, seen) = all.get_mut(index).context("nobody")?;
            turn(*looker, seen).with_context(|| format!("{looker:?}"))?;
        }
    }
    println!(
        "| who looks | looks | closes | ms from close to end, median | 99.9 % | highest | later than {} ms \
              | events of closed descriptors, level-triggered | edge-triggered |",
        LATE.as_millis()
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (looker, mut seen) in all {
        seen.delays.sort_unstable();
        let [level, edge] = seen.stale;
        println!(
            "| {looker:?} | {} | {} | {:.3} | {:.3} | {:.3} | {} | {level} | {edge} |",
            seen.looks,
            seen.delays.len(),
            quantile(&seen.delays, 500),
            quantile(&seen.delays, 999),
            quantile(&seen.delays, 1000),
            seen.delays.iter().filter(|delay| **delay > LATE).count(),
        );
    }
    Ok(())
}
