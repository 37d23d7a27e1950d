//! Through a balancer, whichever packets it marks, exactly the watched client's requests are printed with the
//! client's own address and port, while the server sees only the balancer.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::Result;
use toa_tests::{
    lab::{balancer::Balancer, marker::Habit},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        expected_rows::Log,
        printed::{Printed, Row},
        toa_tc::ToaTc,
    },
    wait,
};

const CLIENTS: u8 = 5;
const WATCHED: IpAddr = client(3);
const CONNECTIONS: usize = 50;
const REQUESTS: usize = 20;

const fn client(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(120, 120, 111, 110 + number))
}

fn check(habit: Habit) -> Result<()> {
    let clients: Vec<IpAddr> = (1..=CLIENTS).map(client).collect();
    let lab = Balancer::new(habit, &clients)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--ip", &WATCHED.to_string()])?;
    let of_clients = clients.iter().cycle().take(CONNECTIONS);
    let mut connections = of_clients.map(|client| lab.connect(*client)).collect::<Result<Vec<_>>>()?;
    for number in 0..REQUESTS {
        for (index, connection) in connections.iter_mut().enumerate() {
            let request = Request::get(&format!("/orders/{index}?number={number}"))
                .field("x-request-id", &format!("{index}-{number}"))
                .field("x-team", &format!("team-{}", connection.local().ip()));
            connection.ask(request)?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    assert_eq!(logged.len(), CONNECTIONS * REQUESTS);
    let log = Log::new(&logged)?;
    log.rows(&connections)?;
    let of_watched: Vec<&Connection> =
        connections.iter().filter(|connection| connection.local().ip() == WATCHED).collect();
    let expected = log.rows(of_watched.iter().copied())?;
    assert_eq!(expected.len(), CONNECTIONS * REQUESTS / usize::from(CLIENTS));
    let requests = output.requests()?;
    let printed: BTreeSet<Row> = requests.iter().map(Printed::row).collect();
    assert_eq!(printed, expected, "{habit:?}");
    assert_eq!(requests.len(), expected.len(), "{habit:?}: printed more than once");
    assert!(requests.iter().all(|request| request.marks.is_empty()), "{habit:?}");
    let ledger = output.ledger()?;
    ledger.check()?;
    let sent: usize = of_watched.iter().map(|connection| connection.sent_bytes()).sum();
    assert_eq!(ledger.bytes_once()?, u64::try_from(sent)?, "{habit:?}");
    assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{habit:?}");
    Ok(())
}

#[test]
fn behind_a_balancer_that_marks_the_syn_only() -> Result<()> {
    check(Habit::Syn)
}

#[test]
fn behind_a_balancer_that_marks_the_syn_and_early_packets() -> Result<()> {
    check(Habit::SynAndEarly)
}

#[test]
fn behind_a_balancer_that_marks_early_packets_only() -> Result<()> {
    check(Habit::Early)
}

#[test]
fn behind_a_balancer_that_marks_the_handshake_ack_only() -> Result<()> {
    check(Habit::HandshakeAck)
}

#[test]
fn behind_a_balancer_that_marks_the_first_data_only() -> Result<()> {
    check(Habit::FirstData)
}

/// Returns whether a thread of any process is in the network namespace with this inode number.
fn is_in_use(namespace: u64) -> Result<bool> {
    let threads = |process: fs::DirEntry| fs::read_dir(process.path().join("task"));
    for process in fs::read_dir("/proc")?.flatten() {
        // Not a process, or one that has just exited.
        let Ok(threads) = threads(process) else { continue };
        let mut spaces =
            threads.flatten().filter_map(|thread| fs::metadata(thread.path().join("ns/net")).ok());
        if spaces.any(|space| space.ino() == namespace) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_panic_leaves_nothing_of_the_lab() -> Result<()> {
    let known = Mutex::new((Vec::new(), Vec::new()));
    let ended = thread::scope(|scope| {
        let run = || -> Result<()> {
            let lab = Balancer::new(Habit::SynAndEarly, &[WATCHED])?;
            let nginx = lab.nginx()?;
            let tool = ToaTc::attach(&lab.server, &["--any"])?;
            let mut connection = lab.connect(WATCHED)?;
            connection.ask(Request::get("/"))?;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            for device in [&lab.clients, &lab.server] {
                known.0.push(fs::metadata(device.namespace.path())?.ino());
            }
            known.1.extend([nginx.id(), tool.id()]);
            drop(known);
            panic!("on purpose");
        };
        scope.spawn(run).join()
    });
    assert!(ended.is_err());
    let (namespaces, processes) = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!((namespaces.len(), processes.len()), (2, 2));
    for process in processes {
        assert!(!Path::new(&format!("/proc/{process}")).exists());
    }
    for namespace in namespaces {
        wait::until("the end of a namespace", || Ok((!is_in_use(namespace)?).then_some(())))?;
    }
    Ok(())
}
