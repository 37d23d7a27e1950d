//! One leg: wrk's load on nginx with TLS, with or without something beside it.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tls_address},
    peers::{
        nginx::{Also, Logged, Nginx, Setup},
        wrk::{self, Load, PROBES, Requests},
    },
    process::Signal,
    tool::{
        program_cost::{self, Cost},
        toa_tc::{Output, ToaTc},
    },
};

use crate::{
    empty_probes::EmptyProbes,
    row::{Program, Row},
};

/// Keep-alive connections, each of a client of its own.
pub(crate) const CONNECTIONS: u8 = 100;

/// What a leg gave.
#[derive(Debug)]
pub(crate) struct Leg {
    /// Answered requests per second.
    pub(crate) rate: f64,
    /// What there was beside nginx.
    pub(crate) beside: Beside,
}

/// What there was beside nginx.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Requests that nginx logged.
    pub(crate) logged: u64,
    /// Those of them that were printed.
    pub(crate) printed: u64,
    /// Reads of plaintext that the tool says it has lost.
    pub(crate) lost: u64,
    /// The cost of the BPF programs, if it was asked for.
    pub(crate) programs: Vec<Cost>,
}

/// What runs beside nginx.
enum Running {
    EmptyProbes(EmptyProbes),
    ToaTc(ToaTc),
}

impl Running {
    fn start(program: &Program, lab: &Lab, nginx: &Nginx) -> Result<Self> {
        Ok(match program {
            Program::EmptyProbes(place) => Self::EmptyProbes(EmptyProbes::attach(nginx.id(), *place)?),
            Program::Watching(options) | Program::Printing(options) => {
                Self::ToaTc(ToaTc::attach(&lab.server, options)?)
            }
        })
    }

    /// Returns the process that has the BPF programs.
    fn id(&self) -> u32 {
        match self {
            Self::EmptyProbes(_) => std::process::id(),
            Self::ToaTc(tool) => tool.id(),
        }
    }

    /// Stops it. Returns what the tool has printed, if it is the tool.
    fn stop(self) -> Result<Option<Output>> {
        match self {
            Self::EmptyProbes(probes) => {
                probes.detach();
                Ok(None)
            }
            Self::ToaTc(tool) => tool.stop(Signal::Interrupt)?.succeeded().map(Some),
        }
    }
}

/// Returns the client of the connection with this number.
fn client(number: u8) -> SocketAddr {
    ([203, 0, 113, 1 + number], 10_000 + u16::from(number)).into()
}

/// Runs a leg in a lab of its own. `has_cost` asks for the cost of the BPF programs, which slows them down.
pub(crate) fn run(row: Option<&Row>, duration: Duration, has_cost: bool) -> Result<Leg> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Tls, ..Setup::default() })?;
    let nobody = (0..PROBES).map(|_| SocketAddr::from(([198, 51, 100, 1], 1)));
    let options: Vec<_> = nobody.chain((0..CONNECTIONS).map(client)).map(toa_option).collect();
    lab.marker.assign_next(options.iter().map(Vec::as_slice))?;
    let load = Load { connections: CONNECTIONS.into(), duration, requests: Requests::Small };
    let running = row.map(|row| Running::start(&row.program, &lab, &nginx)).transpose()?;
    let counting = has_cost.then(program_cost::count).transpose()?;
    let report = wrk::run_tls(&lab.balancer.namespace, tls_address(), load)?;
    let id = running.as_ref().map(Running::id);
    let programs = counting.zip(id).map(|(counting, id)| counting.of(id)).transpose()?;
    let output = running.map(Running::stop).transpose()?.flatten();
    let logged = nginx.stop()?;
    ensure!(report.requests == u64::try_from(logged.len())?, "{report:?}, logged: {}", logged.len());
    let mut beside =
        Beside { logged: report.requests, programs: programs.unwrap_or_default(), ..Beside::default() };
    if let (Some(row), Some(output)) = (row, &output) {
        account(row, output, &logged, &mut beside)?;
    }
    Ok(Leg { rate: report.rate, beside })
}

/// Compares what was printed with what nginx logged.
fn account(row: &Row, output: &Output, logged: &[Logged], beside: &mut Beside) -> Result<()> {
    let ledger = output.ledger()?;
    ledger.check()?;
    let logged: HashSet<_> = logged.iter().map(|logged| logged.request_id.as_str()).collect();
    let printed = ids(&output.stdout);
    ensure!(printed.is_subset(&logged), "what nginx has not logged was printed");
    beside.printed = u64::try_from(printed.len())?;
    beside.lost = ledger.plaintext_reads("lost")?;
    let reads = ledger.plaintext_reads("matched")?;
    if row.prints() {
        let missing = beside.logged - beside.printed;
        ensure!(reads == beside.logged, "{reads} reads, but {} requests logged", beside.logged);
        ensure!(beside.lost >= missing, "{missing} requests are missing, {} reads lost", beside.lost);
    } else {
        ensure!(reads == 0 && printed.is_empty(), "{reads} reads, {} printed", printed.len());
    }
    Ok(())
}

/// Returns the request ids in text or JSON.
fn ids(stdout: &str) -> HashSet<&str> {
    stdout.lines().filter_map(id_in).collect()
}

/// Returns the request id in a line, if it has one.
fn id_in(line: &str) -> Option<&str> {
    if let Some(id) = line.strip_prefix("    x-request-id: ") {
        return Some(id);
    }
    let (_, rest) = line.split_once(r#""x-request-id":[""#)?;
    rest.split_once('"').map(|(id, _)| id)
}
