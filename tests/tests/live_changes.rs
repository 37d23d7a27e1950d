//! A second process changes the watched set every 50 ms at full rate, behind a balancer of each habit. Each
//! change takes effect at once, and a client that is always watched loses nothing.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use toa_tests::{
    lab::{
        balancer::{Balancer, SERVICE},
        marker::Habit,
        mounts,
    },
    peers::{
        client::{Connection, Request},
        wrk::{self, Load, Requests},
    },
    process::Signal,
    tool::{
        expected_rows::Log,
        printed::{Printed, Row},
        toa_tc::ToaTc,
    },
};

/// Concurrent loads would distort each other's rates.
static ALONE: Mutex<()> = Mutex::new(());

/// How long wrk sends requests.
const DURATION: Duration = Duration::from_secs(5);
/// How long wrk sends requests for all habits but one.
const SHORT: Duration = Duration::from_secs(2);
/// Minimum number of connections opened per second before their client is watched or while it is.
const CHANGES_PER_SECOND: u64 = 4;
/// Time between two changes.
const INTERVAL: Duration = Duration::from_millis(50);
/// Connections of the client that is always watched.
const CONSTANT_CONNECTIONS: usize = 4;

const fn client(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(120, 120, 111, number))
}

/// The address of wrk, which is never watched.
const LOAD: IpAddr = client(1);
/// A client that is always watched.
const CONSTANT: IpAddr = client(2);
/// Clients that are watched from time to time.
const CHANGING: [IpAddr; 3] = [client(3), client(4), client(5)];

/// Sends a request with a unique id.
fn ask(connection: &mut Connection) -> Result<()> {
    let id = format!("{}-{}", connection.local(), connection.sent().len());
    let request = Request::get("/orders").field("x-request-id", &id).field("x-team", "changes");
    connection.ask(request)
}

/// Connections, each with the numbers of the requests that were sent while it was watched.
type Asked = Vec<(Connection, BTreeSet<usize>)>;

/// Sends requests on several connections until `end`.
fn ask_all_the_time(lab: &Balancer, end: Instant) -> Result<Asked> {
    let connections = (0..CONSTANT_CONNECTIONS).map(|_| lab.connect(CONSTANT));
    let mut connections = connections.collect::<Result<Vec<_>>>()?;
    while Instant::now() < end {
        for connection in &mut connections {
            ask(connection)?;
        }
    }
    let watched = |connection: Connection| {
        let all = (0..connection.sent().len()).collect();
        (connection, all)
    };
    Ok(connections.into_iter().map(watched).collect())
}

/// Adds and removes clients and lets them send requests, until `end`.
fn change(lab: &Balancer, tool: &ToaTc, end: Instant) -> Result<Asked> {
    let mut asked = Asked::new();
    let mut last = Instant::now();
    for client in CHANGING.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let rule = client.to_string();
        // This connection is never watched, even when its client is.
        let mut before = lab.connect(*client)?;
        ask_until(&mut before, last + INTERVAL)?;
        last = Instant::now();
        tool.watch("add", &rule)?;
        let mut during = lab.connect(*client)?;
        ask_until(&mut during, last + INTERVAL)?;
        ask(&mut before)?;
        let watched = (0..during.sent().len()).collect();
        last = Instant::now();
        tool.watch("remove", &rule)?;
        ask(&mut during)?;
        asked.extend([(before, BTreeSet::new()), (during, watched)]);
    }
    Ok(asked)
}

/// Sends at least one request, and further ones until `end`.
fn ask_until(connection: &mut Connection, end: Instant) -> Result<()> {
    loop {
        ask(connection)?;
        if Instant::now() >= end {
            return Ok(());
        }
    }
}

fn check(habit: Habit, duration: Duration) -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    mounts::with_bpf_file_system(|| {
        let clients: Vec<IpAddr> = [LOAD, CONSTANT].into_iter().chain(CHANGING).collect();
        let lab = Balancer::new(habit, &clients)?;
        let nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--ip", &CONSTANT.to_string()])?;

        let end = Instant::now() + duration;
        let (report, constant, changing) = thread::scope(|scope| {
            let load = scope.spawn(|| {
                let load = Load { connections: 50, duration, requests: Requests::Small };
                wrk::run(&lab.clients.namespace, SERVICE, load)
            });
            let constant = scope.spawn(|| ask_all_the_time(&lab, end));
            let changing = change(&lab, &tool, end);
            let joined = |_| anyhow::anyhow!("a thread panicked");
            (load.join().map_err(joined), constant.join().map_err(joined), changing)
        });
        let (report, constant, changing) = (report??, constant??, changing?);
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let logged = nginx.stop()?;

        let log = Log::new(&logged)?;
        let mut expected = BTreeSet::new();
        let mut asked = 0;
        for (connection, watched) in constant.iter().chain(&changing) {
            for (number, request) in connection.sent().iter().enumerate() {
                let row = log.row(connection, request)?;
                asked += 1;
                if watched.contains(&number) {
                    expected.insert(row);
                }
            }
        }
        let of_load = usize::try_from(report.requests)?;
        ensure!(logged.len() == asked + of_load, "{asked} and {of_load} asked, {} logged", logged.len());
        let requests = output.requests()?;
        let printed: BTreeSet<Row> = requests.iter().map(Printed::row).collect();
        println!(
            "{habit:?}: wrk {:.0} requests/s through the balancer; {} changes; {} requests of a client that is \
             always watched and {} of others, {} expected, {} printed",
            report.rate,
            changing.len(),
            constant.iter().map(|(connection, _)| connection.sent().len()).sum::<usize>(),
            changing.iter().map(|(connection, _)| connection.sent().len()).sum::<usize>(),
            expected.len(),
            printed.len()
        );
        let missing: Vec<_> = expected.difference(&printed).take(5).collect();
        let foreign: Vec<_> = printed.difference(&expected).take(5).collect();
        assert!(missing.is_empty() && foreign.is_empty(), "missing: {missing:?}, foreign: {foreign:?}");
        assert_eq!(requests.len(), expected.len(), "printed more than once");
        assert!(requests.iter().all(|request| request.marks.is_empty()));
        let changes = u64::try_from(changing.len())?;
        assert!(changes >= CHANGES_PER_SECOND * duration.as_secs(), "only {changes} changes show little");
        let ledger = output.ledger()?;
        ledger.check()?;
        assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{}", output.stderr);
        Ok(())
    })
    .context("with changes at run time")
}

#[test]
fn every_change_holds_at_once_where_the_syn_is_marked() -> Result<()> {
    check(Habit::Syn, SHORT)
}

#[test]
fn every_change_holds_at_once_where_the_syn_and_early_packets_are_marked() -> Result<()> {
    check(Habit::SynAndEarly, DURATION)
}

#[test]
fn every_change_holds_at_once_where_early_packets_are_marked() -> Result<()> {
    check(Habit::Early, SHORT)
}

#[test]
fn every_change_holds_at_once_where_the_handshake_ack_is_marked() -> Result<()> {
    check(Habit::HandshakeAck, SHORT)
}

#[test]
fn every_change_holds_at_once_where_the_first_data_is_marked() -> Result<()> {
    check(Habit::FirstData, SHORT)
}
