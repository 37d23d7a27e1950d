//! One leg: wrk's load on nginx, with or without a program beside it.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{
        nginx::Logged,
        wrk::{self, Load, PROBES, Requests},
    },
    tool::program_cost,
};

use crate::{
    cost::Cost,
    ids::Ids,
    row::{Program, Row, Shows},
    running::Running,
};

/// Connections, each of a client of its own, so that one is 1 %.
pub(crate) const CONNECTIONS: u8 = 100;

/// What a leg gave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leg {
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// Requests that nginx logged.
    pub(crate) logged: usize,
    /// What the program beside it did.
    pub(crate) beside: Beside,
}

/// What the program beside nginx did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// Logged requests that it should have shown.
    pub(crate) expected: usize,
    /// Those of them that it showed.
    pub(crate) shown: usize,
    /// Packets that it admits to have lost, if it says so.
    pub(crate) lost: Option<u64>,
    /// CPU time in its processes.
    pub(crate) cpu: Duration,
    /// Peak resident memory in KiB.
    pub(crate) peak_kib: u64,
    /// The cost of its BPF programs, if it was asked for and it has any.
    pub(crate) programs: Option<Cost>,
}

/// Returns the client of the connection with this number.
fn client(number: u8) -> SocketAddr {
    ([203, 0, 113, 1 + number], 10_000 + u16::from(number)).into()
}

/// Runs a leg in a lab of its own. `has_cost` asks for the cost of the program's BPF programs, which slows them down.
pub(crate) fn run(row: Option<&Row>, duration: Duration, has_cost: bool) -> Result<Leg> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let nobody = (0..PROBES).map(|_| SocketAddr::from(([198, 51, 100, 1], 1)));
    let options: Vec<_> = nobody.chain((0..CONNECTIONS).map(client)).map(toa_option).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let load = Load { connections: CONNECTIONS.into(), duration, requests: Requests::Small };
    let send = || wrk::run(&lab.balancer.namespace, nginx_address(), load);
    let Some(row) = row else {
        let report = send()?;
        return Ok(Leg { rate: report.rate, logged: nginx.stop()?.len(), ..Leg::default() });
    };

    let running = Running::start(&row.program, &lab.server)?;
    let counting = has_cost.then(program_cost::count).transpose()?;
    let before = running.usage()?;
    let report = send()?;
    let after = running.usage_when_idle()?;
    let programs = counting.map(|counting| counting.of(running.id())).transpose()?;
    let programs = programs.and_then(|programs| Cost::sum(&programs, duration));
    let left = running.stop()?;
    let logged = nginx.stop()?;
    ensure!(report.requests == u64::try_from(logged.len())?, "{report:?}, logged: {}", logged.len());
    let clients: HashMap<_, _> = lab.marker.options()?.into_iter().collect();
    let watched = toa_option(client(0));
    let expected = |logged: &&Logged| match row.shows {
        Shows::None => false,
        Shows::One => clients.get(&logged.peer.port()) == Some(&watched),
        Shows::All | Shows::Stores => true,
    };
    let mut ids = Ids::default();
    logged.iter().filter(expected).for_each(|logged| ids.add(logged.request_id.as_bytes()));
    let shown = left.ids.common(&ids);
    if matches!(row.program, Program::ToaTc(_)) {
        let unshown = u64::try_from(ids.len() - shown)?;
        ensure!(left.ids.len() == shown, "requests of others were printed");
        ensure!(left.lost.context("no ledger")? >= unshown, "{unshown} requests vanished without a word");
    }
    let beside = Beside {
        expected: ids.len(),
        shown,
        lost: left.lost,
        cpu: after.cpu.saturating_sub(before.cpu),
        peak_kib: after.peak_kib,
        programs,
    };
    Ok(Leg { rate: report.rate, logged: logged.len(), beside })
}
